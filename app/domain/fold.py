"""The fold: what one event says, as rows to be merged into those that are stored.

The cost of an event does not grow with its team: a deleted team changes one row, and what that hides is worked out when state is read
(``app.domain.state``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from app.domain.events import Source, UnifiedEvent
from app.domain.ranks import rank
from app.domain.rows import (
    EMPTY,
    Row,
    candidate_row_key,
    member_row_key,
    merge,
    personal_task_row_key,
    task_row_key,
    team_row_key,
    user_row_key,
)

Delta = tuple[str, Row]
"""A row key, and what is to be merged into that row."""

MEMBERSHIP: Final = "_user.membership"
"""Internal record beside every event that makes or ends a membership: routed to the user, it says in which teams to look for them."""

DEFAULT_ROLE: Final = "member"
OWNER_ROLE: Final = "owner"

SEEN: Final = Row({"seen": ""}, {})
"""Says only that the team has had an event. The rank is the same for all, so that every event but the first changes nothing."""

_MEMBERSHIP_KINDS: Final = {"added": "team.member_added", "created": "team.created", "removed": "team.member_removed"}
# Identity, and what the ranks already tell.
NO_TASK_FIELDS: Final = frozenset({"taskId", "teamId", "createdAt", "updatedAt"})
_NO_TEAM_FIELDS: Final = frozenset({"teamId", "updatedAt"})
_NO_USER_FIELDS: Final = frozenset({"userId"})


def deltas(event: UnifiedEvent, source: Source) -> list[Delta]:
    """What the event says, in at most three rows; nothing for a type that we do not know.

    Args:
        event: the event. Its values become part of the rows and must not be changed afterwards.
        source: the source record that it came from; for ``_user.membership`` that of the membership event.

    Raises:
        ValueError: the event lacks an id that its type needs.
    """
    fold = _FOLDS.get(event.type)
    return fold(event, source) if fold else []


def apply(stored: Callable[[str], Row | None], changes: Iterable[Delta]) -> dict[str, Row]:
    """Merge deltas, of one event or of many, into the rows that ``stored`` gives.

    Returns:
        The rows that changed, by key: what the caller has to write.
    """
    changed: dict[str, Row] = {}
    for key, delta in changes:
        row = changed.get(key) or stored(key)
        merged = merge(row or EMPTY, delta)
        if merged is not row:
            changed[key] = merged
    return changed


def owner_of(event: UnifiedEvent) -> int:
    """Whom a ``team.created`` makes the first member: the owner, else the actor.

    Raises:
        ValueError: it names neither.
    """
    owner = event.data.get("ownerId")
    return _id(event.actor_id if owner is None else owner, "ownerId")


def _task(event: UnifiedEvent, source: Source) -> list[Delta]:
    data = event.data
    at = rank(event.type, event.timestamp, source)
    if event.type == "task.deleted":
        row = Row({"deleted": at}, {})
    else:
        marks = {"created": at, "changed": at} if event.type == "task.created" else {"changed": at}
        row = Row(marks, _fields(data, NO_TASK_FIELDS, at))
    task_id = _id(data.get("taskId"), "taskId")
    if event.team_id is None:
        return [(personal_task_row_key(int(event.key.removeprefix("user:")), task_id), row)]
    return [(task_row_key(event.team_id, task_id), row), (team_row_key(event.team_id), SEEN)]


def _team(event: UnifiedEvent, source: Source) -> list[Delta]:
    at = rank(event.type, event.timestamp, source)
    team_id = _id(event.team_id, "teamId")
    key = team_row_key(team_id)
    if event.type == "team.deleted":
        return [(key, Row({"seen": "", "deleted": at}, {}))]
    row = Row({"seen": "", "changed": at}, _fields(event.data, _NO_TEAM_FIELDS, at))
    if event.type == "team.updated":
        return [(key, row)]
    row.marks["created"] = at
    owner = Row({"added": at}, {"role": (at, OWNER_ROLE)})
    return [(key, row), (member_row_key(team_id, owner_of(event)), owner)]


def _member(event: UnifiedEvent, source: Source) -> list[Delta]:
    at = rank(event.type, event.timestamp, source)
    team_id = _id(event.team_id, "teamId")
    role = event.data.get("role")
    if event.type == "team.member_removed":
        row = Row({"removed": at}, {})
    elif event.type == "team.member_added":
        row = Row({"added": at}, {"role": (at, DEFAULT_ROLE if role is None else role)})
    elif role is None:
        raise ValueError("role is missing")
    else:
        row = Row({}, {"role": (at, role)})
    user_id = _id(event.data.get("userId"), "userId")
    return [(member_row_key(team_id, user_id), row), (team_row_key(team_id), SEEN)]


def _user(event: UnifiedEvent, source: Source) -> list[Delta]:
    at = rank(event.type, event.timestamp, source)
    row = Row({"created": at, "changed": at}, _fields(event.data, _NO_USER_FIELDS, at))
    return [(user_row_key(_id(event.data.get("userId"), "userId")), row)]


def _membership(event: UnifiedEvent, source: Source) -> list[Delta]:
    data = event.data
    event_type = _MEMBERSHIP_KINDS.get(data.get("kind", ""))
    if event_type is None:
        raise ValueError("kind is none of added, created, removed")
    # The rank of the membership event itself, so that this row and the team's member row decide alike.
    at = rank(event_type, event.timestamp, source)
    key = candidate_row_key(_id(data.get("userId"), "userId"), _id(data.get("teamId"), "teamId"))
    return [(key, Row({"removed" if event_type == "team.member_removed" else "added": at}, {}))]


def _fields(data: dict[str, Any], left_out: frozenset[str], at: str) -> dict[str, tuple[str, Any]]:
    return {name: (at, value) for name, value in data.items() if name not in left_out}


def _id(value: Any, name: str) -> int:
    if type(value) is not int:  # bool is an int, and no id
        raise ValueError(f"{name} is missing or no integer")
    return value


_FOLDS: Final[dict[str, Callable[[UnifiedEvent, Source], list[Delta]]]] = {
    "task.created": _task,
    "task.updated": _task,
    "task.completed": _task,
    "task.deleted": _task,
    "team.created": _team,
    "team.updated": _team,
    "team.deleted": _team,
    "team.member_added": _member,
    "team.member_role_updated": _member,
    "team.member_removed": _member,
    "user.created": _user,
    MEMBERSHIP: _membership,
}
