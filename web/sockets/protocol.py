"""The core of ``teamcast.v1``: a text message in, a command or what must happen instead out. No socket, no clock.

What a message that cannot be carried out gets, in the order of the checks:

1. larger than ``max_command_bytes``: close 1009; no UTF-8: close 1007.
2. no JSON object, or without ``type`` (a string): close 4503. Such a client does not speak this protocol at all.
3. without a usable ``id``, so that no reply could be told from another: ``error`` ``bad_request``, and the socket stays.
4. anything but ``auth`` before authentication: reply ``not_authenticated``; ``auth`` after it: reply ``already_authenticated``.
5. a ``type`` that is no command: reply ``unknown_command``.
6. a member that is missing or of the wrong kind: reply ``bad_request``, which names the member.
7. more teams than ``max_teams`` in one command: reply ``limit``.

Unknown members are ignored; of members with the same name the last counts, as everywhere in JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

import orjson

from app.domain.events import MAX_ID
from web.sockets.close_codes import REASONS, CloseCode
from web.sockets.commands import ALL, MAX_COMMAND_ID_LENGTH, All, Auth, Command, CommandId, Ping, Refresh, Subscribe, Unsubscribe
from web.sockets.messages import ErrorCode, error, reply_error

MAX_COMMAND_BYTES = 64 * 1024
MAX_POSITION_LENGTH = 200
"""Longest text taken for a position, in characters; what we give out is shorter."""

_ID: Final = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(slots=True, frozen=True)
class Refusal:
    """The command is not carried out, the client is told, and the socket stays."""

    id: CommandId | None
    """None when the command had none that could be used."""
    code: ErrorCode
    message: str

    @property
    def json(self) -> bytes:
        """The message to send: a reply, or ``error`` when there is no id to reply to."""
        if self.id is None:
            return error(self.code, self.message)
        return reply_error(self.id, self.code, self.message)


@dataclass(slots=True, frozen=True)
class Close:
    """The socket is to be closed."""

    code: int
    reason: str
    """At most 123 bytes, as a close frame takes them."""


Fault = Refusal | Close


class Protocol:
    """One connection's side of the conversation."""

    __slots__ = ("_max_command_bytes", "_max_teams", "_user_id")

    def __init__(self, max_teams: int, max_command_bytes: int = MAX_COMMAND_BYTES) -> None:
        """Begin without authentication.

        Args:
            max_teams: most different teams that one command may name; the user's own stream is none.
            max_command_bytes: most bytes of one message.
        """
        self._max_teams = max_teams
        self._max_command_bytes = max_command_bytes
        self._user_id: int | None = None

    @property
    def user_id(self) -> int | None:
        """Who this is; None before authentication."""
        return self._user_id

    def authenticated(self, user_id: int) -> None:
        """From now on every command but ``auth`` is taken: called once, after a handshake or an ``auth`` that said who this is.

        Raises:
            ValueError: someone is authenticated already. A connection never changes its user.
        """
        if self._user_id is not None:
            raise ValueError("a connection is authenticated once")
        self._user_id = user_id

    def receive(self, text: str | bytes) -> Command | Fault:
        """Take the next text message.

        Args:
            text: the payload, decoded or not.

        Returns:
            The command, checked; or what must happen instead. Nothing is raised, whatever the message.
        """
        message = self._message(text)
        if isinstance(message, Close):
            return message
        name, command_id = message.get("type"), message.get("id")
        if type(name) is not str:
            return _violation("no type")
        if not _is_command_id(command_id):
            limit = f"an integer of at most 2^53-1 or a string of at most {MAX_COMMAND_ID_LENGTH} characters"
            return Refusal(None, ErrorCode.BAD_REQUEST, f"id: {limit} is needed")
        if self._user_id is None and name != "auth":
            return Refusal(command_id, ErrorCode.NOT_AUTHENTICATED, "auth comes first")
        if self._user_id is not None and name == "auth":
            return Refusal(command_id, ErrorCode.ALREADY_AUTHENTICATED, "authenticated already; a newer token comes with refresh")
        read = _COMMANDS.get(name)
        if read is None:
            return Refusal(command_id, ErrorCode.UNKNOWN_COMMAND, f"type: the commands are {', '.join(_COMMANDS)}")
        try:
            command = read(command_id, message)
        except _BadMemberError as bad:
            return Refusal(command_id, ErrorCode.BAD_REQUEST, str(bad))
        if isinstance(command, Subscribe | Unsubscribe) and command.teams is not ALL and len(command.teams) > self._max_teams:
            return Refusal(command_id, ErrorCode.LIMIT, f"teams: at most {self._max_teams} in one command")
        return command

    def _message(self, text: str | bytes) -> dict[str, Any] | Close:
        # The characters first: they are never more than the bytes, and counting bytes copies the text.
        if len(text) > self._max_command_bytes:
            return _too_large(self._max_command_bytes)
        try:
            data = text.encode() if isinstance(text, str) else text
            if len(data) > self._max_command_bytes:
                return _too_large(self._max_command_bytes)
            data.decode()
            message = orjson.loads(data)
        except UnicodeError:
            return Close(CloseCode.INVALID_TEXT, REASONS[CloseCode.INVALID_TEXT])
        except orjson.JSONDecodeError:  # too deep as well, beyond some 1,000 levels
            return _violation("no JSON")
        return message if type(message) is dict else _violation("no JSON object")


class _BadMemberError(Exception):
    """A member of a command is missing or of the wrong kind; says which, and never what it held."""


def _violation(what: str) -> Close:
    code = CloseCode.PROTOCOL_VIOLATION
    return Close(code, f"{REASONS[code]}: {what}")


def _too_large(max_bytes: int) -> Close:
    return Close(CloseCode.TOO_LARGE, f"a command has at most {max_bytes} bytes")


def _is_command_id(value: object) -> TypeGuard[CommandId]:
    if type(value) is int:  # and not isinstance: true is no id
        return -MAX_ID <= value <= MAX_ID
    return type(value) is str and len(value) <= MAX_COMMAND_ID_LENGTH


def _token(message: dict[str, Any]) -> str:
    token = message.get("token")
    if type(token) is not str:
        raise _BadMemberError("token: a string is needed")
    return token


def _flag(message: dict[str, Any], name: str) -> bool:
    found = message.get(name, False)
    if type(found) is not bool:
        raise _BadMemberError(f"{name}: true or false is needed")
    return found


def _teams(message: dict[str, Any]) -> tuple[frozenset[int] | Literal[All.ALL], bool]:
    """The teams, and whether the user's own stream is among them."""
    found = message.get("teams")
    if found == "all":
        return ALL, True
    if type(found) is not list or not found:
        raise _BadMemberError('teams: "all", or a list that is not empty, is needed')
    teams: set[int] = set()
    for entry in found:
        if type(entry) is int and 0 < entry <= MAX_ID:
            teams.add(entry)
        elif entry != "me":
            raise _BadMemberError('teams: each is an integer from 1 to 2^53-1, or "me"')
    return frozenset(teams), "me" in found


def _since(message: dict[str, Any]) -> dict[int | Literal["me"], str]:
    found = message.get("since", {})
    if type(found) is not dict:
        raise _BadMemberError("since: an object is needed")
    since: dict[int | Literal["me"], str] = {}
    for name, position in found.items():
        if type(position) is not str or len(position) > MAX_POSITION_LENGTH:
            raise _BadMemberError(f"since: each position is a string of at most {MAX_POSITION_LENGTH} characters")
        if name == "me":
            since["me"] = position
        elif _ID.fullmatch(name) and int(name) <= MAX_ID:
            since[int(name)] = position
        else:
            raise _BadMemberError('since: each name is a team\'s id in decimal digits, or "me"')
    return since


def _subscribe(command_id: CommandId, message: dict[str, Any]) -> Subscribe:
    teams, me = _teams(message)
    since = _since(message)
    if teams is not ALL:
        since = {name: position for name, position in since.items() if (me if name == "me" else name in teams)}
    return Subscribe(command_id, teams, me, since, _flag(message, "snapshot"), _flag(message, "presence"))


_COMMANDS: Final[dict[str, Callable[[CommandId, dict[str, Any]], Command]]] = {
    "auth": lambda command_id, message: Auth(command_id, _token(message)),
    "subscribe": _subscribe,
    "unsubscribe": lambda command_id, message: Unsubscribe(command_id, *_teams(message)),
    "refresh": lambda command_id, message: Refresh(command_id, _token(message)),
    "ping": lambda command_id, _message: Ping(command_id),
}
