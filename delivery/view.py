"""The view: one team's state, or one user's own, folded live from the tail with the fold agent's own function."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from app.domain import later_event
from app.domain import state as states
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import apply, deltas, owner_of
from app.domain.ranks import CLASSES
from app.domain.recent_records import SharedRecord
from app.domain.rows import Row, decode, encode, merge
from app.domain.state import State

TASK_BYTES = 130
"""What a task costs beside its row: the object and its place (measured with tracemalloc)."""


class Change(NamedTuple):
    """What one event did."""

    carries_state: bool
    """Whether clients need ``state`` beside the data."""
    state: State | None
    """The task, member, team or user that the event names, afterwards; of use where it is carried."""
    joined: int | None = None
    """Who became a member."""
    left: tuple[int, ...] = ()
    """Who ceased to be one."""
    changed: bool = True
    """Whether anything is other than it was."""
    reset: bool = False
    """Whether more changed than any single object tells."""


PLAIN = Change(carries_state=False, state=None)
"""What an event did that tells all by itself."""


class View:
    """Rows of one key: members decoded, since they decide who listens; tasks as the bytes that the table stores."""

    def __init__(self, key: str, offset: int, rows: Iterable[tuple[str, bytes]]) -> None:
        """Begin with the rows as they stood at ``offset``."""
        self.key = key
        self.offset = offset
        """The fold is of every record up to here."""
        kind, _, number = key.partition(":")
        self.team_id = int(number) if kind == "team" else None
        self.user_id = int(number) if kind == "user" else None
        self._team: Row | None = None
        self._user: Row | None = None
        self._members: dict[int, Row] = {}
        self._tasks: dict[int, bytes] = {}
        self.tasks_known = True
        """Whether the tasks are here; they may be dropped to save memory, members never."""
        self.bytes = 0
        """Memory that the tasks take, about."""
        for name, value in rows:
            self._put(name, decode(value), value)

    # --- memory

    def forget_tasks(self) -> None:
        """Drop the tasks. Until they are restored only team and member events can be folded, and no task be told."""
        self._tasks.clear()
        self.tasks_known, self.bytes = False, 0

    def restore(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take the tasks from their owner again; what they are ahead of us, or we of them, merges.

        Tasks alone: who is a member changes record by record, so that everyone gets the last one that is theirs.
        """
        self.tasks_known = True
        for name, value in rows:
            if not name.startswith("task/"):
                continue
            known, row = self._stored(name), decode(value)
            self._put(name, row if known is None else merge(known, row))

    def can_fold(self, event: UnifiedEvent) -> bool:
        """Whether what the event changes is here."""
        return self.tasks_known or not event.type.startswith("task.")

    # --- reading

    @property
    def _deleted(self) -> str | None:
        return states.deleted_rank(self._team)

    def role(self, user_id: int) -> str | None:
        """The user's role; ``None`` for someone who is no member."""
        return states.member_role(self._members.get(user_id), self._deleted)

    def removed(self, user_id: int) -> str:
        """Rank of the newest removal of a user or deletion of the team; empty where there was none."""
        row = self._members.get(user_id)
        return max((row.marks.get("removed") if row else None) or "", self._deleted or "")

    def added(self, user_id: int) -> str:
        """Rank of the newest record that made a user a member; empty where there was none."""
        row = self._members.get(user_id)
        return (row.marks.get("added") if row else None) or ""

    def member_ids(self) -> list[int]:
        """Ids of the members, sorted."""
        return [user_id for user_id in sorted(self._members) if self.role(user_id) is not None]

    def members(self) -> list[State]:
        """The members as in a snapshot, sorted by id."""
        return [{"userId": user_id, "role": role} for user_id in sorted(self._members) if (role := self.role(user_id)) is not None]

    def team(self) -> State | None:
        """The team as in a snapshot; ``None`` where there is none."""
        if self.team_id is None:
            return None
        return states.team_state(self.team_id, self._team, any(self.role(user_id) is not None for user_id in self._members))

    def user(self) -> State | None:
        """The user as in a snapshot; ``None`` for a team's view, or a user never heard of."""
        return None if self.user_id is None else states.user_state(self.user_id, self._user)

    def tasks(self) -> list[State]:
        """The tasks as in a snapshot, sorted by id."""
        deleted = self._deleted
        found = ((task_id, states.task_state(task_id, decode(self._tasks[task_id]), deleted)) for task_id in sorted(self._tasks))
        return [state for _task_id, state in found if state is not None]

    def state_of(self, event: UnifiedEvent) -> State | None:
        """The object that an event names, as it is now; ``None`` for a type that is not known here."""
        if event.type not in CLASSES:
            return None
        family = event.type.partition(".")[0]
        if family == "task":
            task_id = event.data["taskId"]
            value = self._tasks.get(task_id)
            return None if value is None else states.task_state(task_id, decode(value), self._deleted)
        if family == "user":
            return self.user()
        if event.type.startswith("team.member_"):
            user_id = event.data["userId"]
            return states.member_state(user_id, self._members.get(user_id), self._deleted)
        return self.team()

    # --- folding

    def fold(self, record: SharedRecord, offset: int) -> Change:
        """Fold the next record of this key, which stands at ``offset``; one of a type that is not known here changes nothing."""
        event, source = record.unified
        self.offset = offset
        if event.type not in CLASSES:
            return Change(carries_state=False, state=None, changed=False)
        if event.type.startswith("task."):
            return self._fold_later(record) or self._fold_merged(record) or self._fold_task(event, source)
        before = self.state_of(event)
        affected = self._affected(event)
        roles = {user_id: self.role(user_id) for user_id in affected}
        deleted_before = self._deleted
        rows = apply(self._stored, deltas(event, source))
        for name, row in rows.items():
            self._put(name, row)
        after = self.state_of(event)
        carries = states.effect(event, before, after)
        joined = next((user_id for user_id in affected if roles[user_id] is None and self.role(user_id) is not None), None)
        left = tuple(user_id for user_id in affected if roles[user_id] is not None and self.role(user_id) is None)
        changed = before != after or joined is not None or bool(left)
        return Change(carries, after, joined, left, changed, self._resets(event, carries, roles, deleted_before, after))

    def _fold_later(self, record: SharedRecord) -> Change | None:
        """Fold an event that is later than all that is known of its task, as nearly all are; ``None`` for any other."""
        if self.team_id is not None and not later_event.leaves(self._team):
            return None
        task_id = record.unified.event.data["taskId"]
        folded = record.folded(self._tasks.get(task_id))
        if folded is None:
            return None
        self._put_task(task_id, folded.row)
        return PLAIN

    def _fold_merged(self, record: SharedRecord) -> Change | None:
        """Fold any event of a task whose team has been heard of before; ``None`` for any other."""
        if self.team_id is not None and (self._team is None or "seen" not in self._team.marks):
            return None
        event = record.unified.event
        task_id = event.data["taskId"]
        merged = record.merged(self._tasks.get(task_id))
        if merged.after is not merged.before:
            self._put_task(task_id, merged.row)
        return self._told(event, merged.before, merged.after)

    def _fold_task(self, event: UnifiedEvent, source: Source) -> Change:
        """Fold an event of a task: it concerns nobody's membership."""
        stored = self._tasks.get(event.data["taskId"])
        row = None if stored is None else decode(stored)
        rows = apply(lambda name: row if name.startswith("task/") else self._team, deltas(event, source))
        for name, changed in rows.items():
            self._put(name, changed)
        return self._told(event, row, next((changed for name, changed in rows.items() if name.startswith("task/")), row))

    def _told(self, event: UnifiedEvent, row: Row | None, now: Row | None) -> Change:
        """What an event of a task did, that found and left its row like this."""
        task_id = event.data["taskId"]
        if now is not None and states.tells_all(event, row, now, self._deleted):
            return PLAIN
        before, after = (states.task_state(task_id, one, self._deleted) for one in (row, now))
        return Change(states.effect(event, before, after), after, changed=before != after)

    def _affected(self, event: UnifiedEvent) -> list[int]:
        """Whose membership the event may change."""
        if event.type == "team.deleted":
            return list(self._members)
        if event.type == "team.created":
            return [owner_of(event)]
        return [event.data["userId"]] if event.type.startswith("team.member_") else []

    def _resets(self, event: UnifiedEvent, carries: bool, roles: dict[int, str | None], deleted_before: str | None, after: Any) -> bool:
        if event.type == "team.created":
            owner = owner_of(event)
            return states.created_resets(carries, roles[owner], self.role(owner))
        return event.type == "team.deleted" and states.deleted_resets(deleted_before, self._deleted, after)

    def _stored(self, name: str) -> Row | None:
        family, _, rest = name.partition("/")
        if family == "team":
            return self._team
        if family == "user":
            return self._user
        number = int(rest.rpartition("/")[2])
        if family == "member":
            return self._members.get(number)
        value = self._tasks.get(number)
        return None if value is None else decode(value)

    def _put(self, name: str, row: Row, value: bytes | None = None) -> None:
        family, _, rest = name.partition("/")
        if family == "team":
            self._team = row
        elif family == "user":
            self._user = row
        elif family == "member":
            self._members[int(rest.rpartition("/")[2])] = row
        elif family == "task":
            self._put_task(int(rest.rpartition("/")[2]), encode(row) if value is None else value)

    def _put_task(self, task_id: int, value: bytes) -> None:
        before = self._tasks.get(task_id)
        self.bytes += len(value) + TASK_BYTES if before is None else len(value) - len(before)
        self._tasks[task_id] = value
