"""State: what people see of rows, and whether an event alone would tell it to them."""

from __future__ import annotations

from typing import Any, Final

import orjson

from app.domain.events import UnifiedEvent
from app.domain.fold import DEFAULT_ROLE, OWNER_ROLE
from app.domain.ranks import timestamp_of
from app.domain.rows import MAX_FIELDS, TASK_FIELDS, TEAM_FIELDS, USER_FIELDS, Row

State = dict[str, Any]
"""One task, member, team or user, as in a snapshot."""

_COMPUTED: Final = frozenset({"createdAt", "updatedAt"})
_IDENTITY: Final = frozenset({"taskId", "teamId"})
_UPDATES: Final = frozenset({"task.updated", "task.completed", "team.updated"})


def deleted_rank(team_row: Row | None) -> str | None:
    """The rank of a team's newest deletion: what hides its older tasks and members."""
    return team_row.marks.get("deleted") if team_row else None


def task_exists(row: Row | None, team_deleted: str | None) -> bool:
    """Whether there is a task to see: its row is there, and it has never been deleted, or has been created since."""
    if row is None:
        return False
    deleted = max(row.marks.get("deleted") or "", team_deleted or "")
    return not deleted or row.marks.get("created", "") >= deleted


def task_state(task_id: int, row: Row | None, team_deleted: str | None) -> State | None:
    """A task as in a snapshot, unknown members included; None where there is none.

    It exists when it has never been deleted, or has been created since. Members that nobody gave are null.

    Args:
        task_id: its id.
        row: what is stored of it.
        team_deleted: ``deleted_rank`` of its team; None for a personal task.
    """
    if row is None or not task_exists(row, team_deleted):
        return None
    marks = row.marks
    created = marks.get("created")
    deleted = max(marks.get("deleted") or "", team_deleted or "")
    state: State = {"taskId": task_id, **dict.fromkeys(TASK_FIELDS), "createdAt": None, "updatedAt": None}
    for name, (rank, value) in row.fields.items():
        if rank > deleted:
            state[name] = value
    state["createdAt"] = timestamp_of(created) if created else None
    state["updatedAt"] = _time_since(marks.get("changed"), deleted)
    return state


def team_state(team_id: int, row: Row | None, has_members: bool) -> State | None:
    """A team as in a snapshot; None where there is none.

    A team exists from its first event on, of whatever kind, unless it has been deleted since it was last created; one with a member exists.
    """
    marks = row.marks if row else {}
    deleted = marks.get("deleted") or ""
    if not has_members and (row is None or (deleted and marks.get("created", "") < deleted)):
        return None
    state: State = {"teamId": team_id}
    for name in TEAM_FIELDS:
        pair = row.fields.get(name) if row else None
        state[name] = pair[1] if pair and pair[0] > deleted else None
    state["updatedAt"] = _time_since(marks.get("changed"), deleted)
    return state


def member_role(row: Row | None, team_deleted: str | None) -> str | None:
    """The role of a member; None for someone who is none.

    A member was added (or made the team) later than they were last removed and than the team was last deleted.
    """
    added = row.marks.get("added") if row else None
    if row is None or added is None or added < (row.marks.get("removed") or "") or added < (team_deleted or ""):
        return None
    # Whatever adds a member gives a role, so the newest role is never older than the membership.
    pair = row.fields.get("role")
    return str(pair[1]) if pair else DEFAULT_ROLE


def member_state(user_id: int, row: Row | None, team_deleted: str | None) -> State | None:
    """A member as in a snapshot; None for someone who is none."""
    role = member_role(row, team_deleted)
    return None if role is None else {"userId": user_id, "role": role}


def user_state(user_id: int, row: Row | None) -> State | None:
    """A user as in a snapshot; None for one whose ``user.created`` has not been seen."""
    if row is None:
        return None
    username, email = row.fields.get("username"), row.fields.get("email")
    return {"userId": user_id, "username": username[1] if username else None, "email": email[1] if email else None}


def apply_data(event_type: str, before: State | None, data: dict[str, Any], timestamp: str) -> State | None:
    """What a client holds of the event's task, team or member once it has applied ``data``, as if no event ever came late.

    An update of what the client does not hold makes it: some clients would.
    """
    kind, _, verb = event_type.partition(".")
    if verb in ("deleted", "member_removed"):
        return None
    if kind == "task":
        after: State = dict(before) if before else {"taskId": data["taskId"], **dict.fromkeys(TASK_FIELDS), "createdAt": None}
        after.update((name, value) for name, value in data.items() if name not in _IDENTITY)
        if verb == "created":
            after["createdAt"] = timestamp
    elif kind == "user":
        after = dict(before) if before else {"userId": data["userId"], **dict.fromkeys(USER_FIELDS)}
        after.update((name, data[name]) for name in USER_FIELDS if name in data)
        return after
    elif verb.startswith("member_"):
        return {"userId": data["userId"], "role": data.get("role", DEFAULT_ROLE)}
    else:
        after = dict(before) if before else {"teamId": data["teamId"], **dict.fromkeys(TEAM_FIELDS)}
        after.update((name, data[name]) for name in TEAM_FIELDS if name in data)
    after["updatedAt"] = timestamp
    return after


def effect(event: UnifiedEvent, before: State | None, after: State | None) -> bool:
    """Whether the event must carry ``after`` as its ``state``: a client that held ``before`` and applied the data would not end with it.

    Args:
        event: a task, team or member event.
        before: the task, team or member that it names, before the event was folded.
        after: the same, afterwards.
    """
    naive = apply_data(event.type, before, event.data, event.timestamp)
    if naive is None or after is None:
        return naive is not after
    # Here clients differ: some drop an update of what they do not hold, some take a payload's own createdAt or updatedAt for ours.
    if not _COMPUTED.isdisjoint(event.data) or (before is None and event.type in _UPDATES):
        return True
    # Encoded, because Python's 1 == True == 1.0 are not the same to a client.
    return _text(naive) != _text(after)


def tells_all(event: UnifiedEvent, before: Row | None, after: Row, team_deleted: str | None) -> bool:
    """Whether it is plain, without looking at any state, that an event of a task needs no ``state`` and changed what is seen.

    It is when the task was there, or the event makes it, and the event is later than everything that is known of it: what every
    client then comes to is what is stored. That is nearly every event; of the others `effect` knows more.

    Args:
        event: a task event.
        before: the task's row, before the event was folded.
        after: the same, afterwards.
        team_deleted: ``deleted_rank`` of its team; None for a personal task.
    """
    if event.type == "task.deleted" or team_deleted is not None or len(after.fields) >= MAX_FIELDS or not _COMPUTED.isdisjoint(event.data):
        return False
    if before is None:
        return event.type == "task.created"
    # Whatever gives a field also gives a mark, so no field's rank is above them all.
    return "deleted" not in before.marks and event.timestamp > timestamp_of(max(before.marks.values(), default=""))


def created_resets(carries_state: bool, owner_before: str | None, owner_after: str | None) -> bool:
    """Whether a ``team.created`` changed members in a way that clients cannot know.

    Its data makes the owner a member; its ``state`` is the team alone, and beside it some clients apply the data's owner and some do not.

    Args:
        carries_state: what ``effect`` said of the team.
        owner_before: ``member_role`` of ``fold.owner_of(event)`` before it was folded.
        owner_after: the same, afterwards.
    """
    return owner_after != OWNER_ROLE or (carries_state and owner_before != owner_after)


def deleted_resets(deleted_before: str | None, deleted_after: str | None, after: State | None) -> bool:
    """Whether a ``team.deleted`` hid some tasks and members of a team that lives on (it came late: the team had been created again).

    Args:
        deleted_before: ``deleted_rank`` before it was folded.
        deleted_after: the same, afterwards.
        after: the team, afterwards. Where there is none there is no member either, so nobody to tell.
    """
    return after is not None and deleted_before != deleted_after


def _time_since(changed: str | None, deleted: str) -> str | None:
    return timestamp_of(changed) if changed and changed > deleted else None


def _text(state: State) -> bytes:
    return orjson.dumps(state, option=orjson.OPT_SORT_KEYS)
