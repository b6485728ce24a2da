"""The rules of each source topic: which fields it needs, what they may hold, and what of them goes into ``data``.

Each check takes a ``Report``. One that raises stops at the first fault; with one that keeps them the check goes on, with a stand-in for
what is faulty, and so finds every fault once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any, NamedTuple

from app.domain.errors import Code, Report
from app.domain.events import MAX_ID, team_key, user_key
from app.domain.topics import MEMBER_TOPICS, TASK_TOPICS, TEAM_TOPICS, USER_TOPICS

MAX_UNKNOWN_MEMBERS = 64
MAX_ROLE_LENGTH = 64
MAX_EMAIL_LENGTH = 254
"""RFC 5321 with its erratum 1690: a path of 256 octets has two angle brackets."""

DEFAULT_ROLE = "member"
_ROLE_GIVEN = frozenset({"team.member_added", "team.member_role_updated"})
"""Types whose ``data`` always has a role."""

TEXT: frozenset[type] = frozenset({str, NoneType})
FLAG: frozenset[type] = frozenset({bool})
PRIORITY: frozenset[type] = frozenset({str, int, float, NoneType})
_SAID = {TEXT: "a string or null", FLAG: "a boolean", PRIORITY: "a string, a number or null"}

# One address as people type it. Comma, semicolon and angle brackets would make more, or other, recipients of it in a header.
_EMAIL = re.compile(r"[^\s\x00-\x1f\x7f-\x9f@,;<>]+@[^\s\x00-\x1f\x7f-\x9f@,;<>]+")

_STAND_IN = 1
"""The id used in place of a faulty one, when the report does not raise."""


class Routed(NamedTuple):
    """Whom an event reaches, and what it says."""

    key: str
    team_id: int | None
    actor_id: int | None
    data: dict[str, Any]


@dataclass(slots=True, frozen=True)
class Rules:
    """The rules of one topic."""

    route: Callable[[str, dict[str, Any], dict[str, Any], Report], Routed]
    """Check the ids of (topic, value, payload) and write them into the payload, which becomes ``data``."""
    known: Mapping[str, frozenset[type]]
    """The members of the payload that mean something here, and the types that they may have."""
    own: frozenset[str]
    """The members of ``data`` that the value itself gives: they win over members of the payload."""
    needed: tuple[str, ...]
    """The ids that ``data`` always has, besides teamId."""
    optional: tuple[str, ...] = ()
    """The ids that ``data`` may have; null where they are cleared."""
    owner: str | None = None
    """The id in ``data`` of the user whom an event without a team reaches; None where there is always a team."""
    team: bool = True
    """Whether the event may have a team."""


def check_payload(payload: Mapping[str, Any], rules: Rules, report: Report) -> None:
    """Check the members of a payload; unknown ones may hold anything, but they are not to be too many."""
    _check_members(payload, rules, report, "payload")
    if len(payload) > MAX_UNKNOWN_MEMBERS:
        unknown = sum(name not in rules.known and name not in rules.own for name in payload)
        if unknown > MAX_UNKNOWN_MEMBERS:
            report(Code.WRONG_TYPE, f"payload has {unknown} unknown members, at most {MAX_UNKNOWN_MEMBERS} are kept", "payload")


def check_data(topic: str, data: Mapping[str, Any], team_id: int | None, actor_id: int | None, report: Report) -> str:
    """Check a unified event of a source topic's type, as readers of the stream need it; members that they do not know may hold anything.

    Returns:
        The key that such an event has.
    """
    rules = RULES[topic]
    _check_members(data, rules, report, "data")
    for field in rules.needed:
        found = data.get(field)
        if type(found) is not int or not 0 < found <= MAX_ID:
            report(Code.WRONG_TYPE, f"data.{field} is no id", f"data.{field}")
    for field in rules.optional:
        found = data.get(field)
        if found is not None and (type(found) is not int or not 0 < found <= MAX_ID):
            report(Code.WRONG_TYPE, f"data.{field} is neither an id nor null", f"data.{field}")
    if "role" in rules.own:
        if "role" in data:
            _check_role(data["role"], "data.role", report)
        elif topic in _ROLE_GIVEN:
            report(Code.MISSING_FIELD, "data.role is missing", "data.role")
    if rules.team:
        if actor_id is None:
            report(Code.MISSING_FIELD, "actorId is missing", "actorId")
        if data.get("teamId") != team_id:
            report(Code.TYPE_MISMATCH, "data.teamId is not the event's teamId", "data.teamId")
        if team_id is not None:
            return team_key(team_id)
    if team_id is not None or rules.owner is None:
        report(Code.TYPE_MISMATCH, "teamId is not as the event's type has it", "teamId")
        return ""
    return user_key(id_of(data.get(rules.owner), f"data.{rules.owner}", report, needed=True) or _STAND_IN)


def _check_members(payload: Mapping[str, Any], rules: Rules, report: Report, path: str) -> None:
    known = rules.known
    for name, value in payload.items():
        allowed = known.get(name)
        if allowed is not None and type(value) not in allowed:
            report(Code.WRONG_TYPE, f"{path}.{name} is not {_SAID[allowed]}", f"{path}.{name}")
    email = payload.get("email")
    if type(email) is str and "email" in known and not is_email(email):
        report(Code.WRONG_TYPE, f"{path}.email is not one address of at most {MAX_EMAIL_LENGTH} characters", f"{path}.email")


def is_email(text: str) -> bool:
    """Whether ``text`` is one e-mail address, without control characters, spaces or a name."""
    return len(text) <= MAX_EMAIL_LENGTH and _EMAIL.fullmatch(text) is not None


def _check_role(value: object, field: str, report: Report) -> None:
    if type(value) is not str or not 0 < len(value) <= MAX_ROLE_LENGTH or not value.isprintable():
        report(Code.WRONG_TYPE, f"{field} is not 1 to {MAX_ROLE_LENGTH} printable characters", field)


def id_of(value: Any, field: str, report: Report, *, needed: bool = False) -> int | None:
    """The id that ``value`` is; None when it is missing: absent, null or 0."""
    if type(value) is int:  # and not isinstance: true is no id
        if 0 < value <= MAX_ID:
            return value
        if value != 0:
            report(Code.OUT_OF_RANGE, f"{field} is not between 1 and {MAX_ID}", field)
            return _STAND_IN
    elif value is not None:
        report(Code.WRONG_TYPE, f"{field} is not an integer", field)
        return _STAND_IN
    if needed:
        report(Code.MISSING_FIELD, f"{field} is missing", field)
        return _STAND_IN
    return None


def _needed_id(value: dict[str, Any], field: str, report: Report) -> int:
    found = value.get(field)
    if type(found) is int and 0 < found <= MAX_ID:  # nearly always: spares a call
        return found
    return id_of(found, field, report, needed=True) or _STAND_IN


def _else_of_payload(found: int | None, payload: dict[str, Any], field: str, report: Report) -> int | None:
    """The id that the value gives, else the one that its payload gives."""
    if found is None and field in payload:
        return id_of(payload[field], f"payload.{field}", report)
    return found


def _put(data: dict[str, Any], field: str, value: object) -> None:
    """Write a field that is there only when it says something."""
    if value is None:
        data.pop(field, None)
    else:
        data[field] = value


def _task(topic: str, value: dict[str, Any], payload: dict[str, Any], report: Report) -> Routed:
    task_id = _needed_id(value, "taskId", report)
    team_id = id_of(value.get("teamId"), "teamId", report)
    actor_id = _needed_id(value, "actorId", report)
    creator_id = id_of(value.get("creatorId"), "creatorId", report)
    if "assigneeId" in value:
        payload["assigneeId"] = id_of(value["assigneeId"], "assigneeId", report)  # null and 0: nobody any more
    elif "assigneeId" in payload:
        payload["assigneeId"] = id_of(payload["assigneeId"], "payload.assigneeId", report)
    if team_id is not None:
        key = team_key(team_id)
    else:
        # The creator in the value, not in the payload: that one says what a task is, and not whose.
        if creator_id is None:
            report(Code.MISSING_FIELD, "teamId is missing, and so is creatorId, which a personal task needs", "teamId")
        key = user_key(creator_id or _STAND_IN)
    payload["taskId"] = task_id
    payload["teamId"] = team_id
    _put(payload, "creatorId", _else_of_payload(creator_id, payload, "creatorId", report))
    return Routed(key, team_id, actor_id, payload)


def _team(topic: str, value: dict[str, Any], payload: dict[str, Any], report: Report) -> Routed:
    team_id = _needed_id(value, "teamId", report)
    actor_id = _needed_id(value, "actorId", report)
    owner_id = id_of(value.get("ownerId"), "ownerId", report)
    _put(payload, "ownerId", _else_of_payload(owner_id, payload, "ownerId", report))
    payload["teamId"] = team_id
    return Routed(team_key(team_id), team_id, actor_id, payload)


def _member(topic: str, value: dict[str, Any], payload: dict[str, Any], report: Report) -> Routed:
    team_id = _needed_id(value, "teamId", report)
    user_id = _needed_id(value, "userId", report)
    actor_id = _needed_id(value, "actorId", report)
    role = value.get("role")
    if role is None:
        if topic == "team.member_role_updated":
            report(Code.MISSING_FIELD, "role is missing", "role")
        elif topic == "team.member_added":
            role = DEFAULT_ROLE
    else:
        _check_role(role, "role", report)
    payload["teamId"] = team_id
    payload["userId"] = user_id
    _put(payload, "role", role)
    return Routed(team_key(team_id), team_id, actor_id, payload)


def _user(topic: str, value: dict[str, Any], payload: dict[str, Any], report: Report) -> Routed:
    user_id = _needed_id(value, "userId", report)
    # No field of this topic: what is no id there is ignored like any unknown member.
    actor = value.get("actorId")
    actor_id = actor if type(actor) is int and 0 < actor <= MAX_ID else None
    payload["userId"] = user_id
    return Routed(user_key(user_id), None, actor_id, payload)


_TASK = Rules(
    _task,
    known={"title": TEXT, "description": TEXT, "completed": FLAG, "priority": PRIORITY, "due": TEXT},
    own=frozenset({"taskId", "teamId", "creatorId", "assigneeId"}),
    needed=("taskId",),
    optional=("creatorId", "assigneeId"),
    owner="creatorId",
)
_TEAM = Rules(
    _team,
    known={"name": TEXT, "description": TEXT},
    own=frozenset({"teamId", "ownerId"}),
    needed=(),
    optional=("ownerId",),
)
_MEMBER = Rules(
    _member,
    known={},
    own=frozenset({"teamId", "userId", "role"}),
    needed=("userId",),
)
_USER = Rules(
    _user,
    known={"email": TEXT, "username": TEXT},
    own=frozenset({"userId"}),
    needed=("userId",),
    owner="userId",
    team=False,
)

RULES: Mapping[str, Rules] = {
    **dict.fromkeys(TASK_TOPICS, _TASK),
    **dict.fromkeys(TEAM_TOPICS, _TEAM),
    **dict.fromkeys(MEMBER_TOPICS, _MEMBER),
    **dict.fromkeys(USER_TOPICS, _USER),
}
"""The rules of every source topic."""
