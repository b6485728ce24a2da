"""Every message that a server sends besides events, as the bytes of its JSON. ``web/asyncapi.yaml`` describes each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from operator import itemgetter
from typing import Any, Literal

import orjson

from app.domain.state import State
from delivery import presence as presences
from delivery.listener import GapReason, LeftReason
from web.sockets.commands import CommandId

PART_BYTES = 256 * 1024
"""Largest part of a snapshot; a single task, team or user that is larger gets one of its own."""
MAX_MEMBERS = 5_000
"""A snapshot of a team with more says only how many; the list is had page by page over HTTP."""


class ErrorCode(StrEnum):
    """What a refused command, or an ``error`` message, says for programs."""

    BAD_REQUEST = "bad_request"
    """A member of the command is missing or of the wrong kind."""
    UNKNOWN_COMMAND = "unknown_command"
    NOT_AUTHENTICATED = "not_authenticated"
    ALREADY_AUTHENTICATED = "already_authenticated"
    BAD_TOKEN = "bad_token"  # noqa: S105  (a code, and no token)  # nosec B105
    WRONG_USER = "wrong_user"
    """The newer token is someone else's."""
    NOT_MEMBER = "not_member"
    """None of the teams is one of this user's; unknown and foreign teams look alike."""
    LIMIT = "limit"
    UNAVAILABLE = "unavailable"
    """Try again: the log, the key server or a team's owner is out of reach."""


def welcome(session: str, user_id: int, teams: Iterable[int], heartbeat: float, version: str) -> bytes:
    """The first message once authenticated.

    Args:
        session: names this connection, in logs too.
        user_id: who this is.
        teams: the user's teams.
        heartbeat: seconds between two pings.
        version: the server's.
    """
    return _dumps(
        {"type": "welcome", "session": session, "userId": user_id, "teams": sorted(teams), "heartbeat": heartbeat, "version": version}
    )


def reply_ok(command_id: CommandId, **members: Any) -> bytes:
    """The command was carried out."""
    return _dumps({"type": "reply", "id": command_id, "ok": True, **members})


def reply_subscribed(command_id: CommandId, positions: Mapping[int | Literal["me"], str], refused: Iterable[int]) -> bytes:
    """The answer to a subscribe that was carried out, in part at least.

    Args:
        command_id: the command's own id.
        positions: where each subscription begins.
        refused: teams that are none of this user's.
    """
    return reply_ok(command_id, positions={str(name): position for name, position in positions.items()}, refused=sorted(refused))


def reply_error(command_id: CommandId, code: ErrorCode, message: str) -> bytes:
    """The command was not carried out."""
    return _dumps({"type": "reply", "id": command_id, "ok": False, "error": {"code": code, "message": message}})


def pong(command_id: CommandId) -> bytes:
    """The answer to a ping, in place of a reply."""
    return _dumps({"type": "pong", "id": command_id})


def error(code: ErrorCode, message: str) -> bytes:
    """Something is wrong that answers no command that could be named."""
    return _dumps({"type": "error", "code": code, "message": message})


def joined(team_id: int) -> bytes:
    """The user is a member of one more team."""
    return _dumps({"type": "joined", "teamId": team_id})


def left(team_id: int, reason: LeftReason) -> bytes:
    """The user is no member of the team any more; its subscription has ended."""
    return _dumps({"type": "left", "teamId": team_id, "reason": reason})


def presence(message: presences.Message) -> bytes:
    """Who of a team is online; who came and went since the presence message before; or how many are online, where they are many."""
    if isinstance(message, presences.Online):
        return _dumps({"type": "presence", "teamId": message.team_id, "online": message.users})
    if isinstance(message, presences.Changed):
        return _dumps({"type": "presence", "teamId": message.team_id, "joined": message.joined, "left": message.left})
    return _dumps({"type": "presence", "teamId": message.team_id, "count": message.number})


def team_gap(team_id: int, reason: GapReason) -> bytes:
    """Some events of the team are not delivered: what the client holds of it is to be replaced by the snapshot that follows."""
    return _dumps({"type": "gap", "teamId": team_id, "reason": reason})


def user_gap(user_id: int, reason: GapReason) -> bytes:
    """The same for the user's own stream."""
    return _dumps({"type": "gap", "userId": user_id, "reason": reason})


def delayed(seconds: int) -> bytes:
    """This server is so far behind the log; 0 when it has caught up."""
    return _dumps({"type": "delayed", "seconds": seconds})


def team_snapshot(
    team_id: int, position: str, team: State | None, members: Sequence[State], tasks: Iterable[State], *, max_bytes: int = PART_BYTES
) -> list[bytes]:
    """The state of a team, in parts to be sent one after the other.

    Each part has type, teamId, position, part, parts, the lists ``members`` and ``tasks``, and is at most ``max_bytes`` long, except for
    one that holds nothing but a single longer task or the team. The lists of all parts, joined, are whole and sorted by id. Of more than
    ``MAX_MEMBERS`` members each part has ``membersTotal`` in place of ``members``. ``team`` is in the first part; the others repeat it when
    it is small.

    Args:
        team_id: its id.
        position: the last position that the state includes.
        team: as ``app.domain.state`` has it; None where there is none, which reads as a team of which nothing is known.
        members: likewise, in any order.
        tasks: likewise, in any order.
        max_bytes: length of a part.
    """
    head = {"type": "snapshot", "teamId": team_id, "position": position}
    subject = team or {"teamId": team_id, "name": None, "description": None, "ownerId": None, "updatedAt": None}
    lists = {"tasks": _sorted(tasks, "taskId")}
    total = len(members)
    if total > MAX_MEMBERS:
        return _parts(head, ("team", subject), {"membersTotal": total}, lists, max_bytes)
    return _parts(head, ("team", subject), {}, {"members": _sorted(members, "userId"), **lists}, max_bytes)


def user_snapshot(user_id: int, position: str, user: State | None, tasks: Iterable[State], *, max_bytes: int = PART_BYTES) -> list[bytes]:
    """The state of a user's own stream, in parts like those of a team: ``user`` in place of ``team``, and no members."""
    head = {"type": "snapshot", "userId": user_id, "position": position}
    subject = user or {"userId": user_id, "username": None, "email": None}
    return _parts(head, ("user", subject), {}, {"tasks": _sorted(tasks, "taskId")}, max_bytes)


_NUMBERS_BYTES = 16
"""Room for the digits of part and parts."""
_BLOCK = 64
"""Most objects encoded in one go: orjson is some 15 times as fast as one by one. What does not fit is encoded again in smaller blocks."""


def _parts(
    head: dict[str, Any], subject: tuple[str, State], more: dict[str, Any], lists: dict[str, list[State]], max_bytes: int
) -> list[bytes]:
    subject_json = _dumps({subject[0]: subject[1]})[1:-1]
    # A long one in every part would make a snapshot many times as large as what it tells.
    repeated = len(subject_json) <= max_bytes // 16
    start, rest = _dumps(head)[:-1], _dumps(more)[1:-1]
    bare = len(start) + len(rest) + sum(len(name) + 6 for name in lists) + len(b',"part":,"parts":,}') + _NUMBERS_BYTES
    room = max_bytes - bare - len(subject_json)
    parts = _split(lists, room, room if repeated else max_bytes - bare, first_is_empty=repeated)
    encoded = []
    for number, part in enumerate(parts, 1):
        pieces = [start, b'"part":%d,"parts":%d' % (number, len(parts))]
        if number == 1 or repeated:
            pieces.append(subject_json)
        if rest:
            pieces.append(rest)
        pieces += [b'"%s":[%s]' % (name.encode(), b",".join(blocks)) for name, blocks in part.items()]
        encoded.append(b",".join(pieces) + b"}")
    return encoded


def _split(lists: dict[str, list[State]], room: int, later_room: int, *, first_is_empty: bool) -> list[dict[str, list[bytes]]]:
    """The lists' objects, encoded, over parts with so much room; an object longer than that stands alone in its part."""
    parts: list[dict[str, list[bytes]]] = [{name: [] for name in lists}]
    empty, size, grows = first_is_empty, _BLOCK, True
    for name, states in lists.items():
        at = 0
        while at < len(states):
            block = _dumps(states[at : at + size])[1:-1]
            cost = len(block) + 1
            if cost > room and size > 1:
                size, grows = size // 2, False
            elif cost > room and not empty:
                parts.append({other: [] for other in lists})
                room, empty, grows = later_room, True, True
            else:
                parts[-1][name].append(block)
                at += size
                room -= cost
                empty = False
                size = min(size * 2, _BLOCK) if grows else size
    return parts


def _sorted(states: Iterable[State], key: str) -> list[State]:
    return sorted(states, key=itemgetter(key))


def _dumps(message: Any) -> bytes:
    return orjson.dumps(message)
