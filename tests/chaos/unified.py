"""The unified log as the suite itself reads it: which records are repeats, who may see each, what state they lead to."""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from app.domain import fold
from app.domain import state as states
from app.domain.events import Source, UnifiedEvent
from app.domain.rows import Row
from tests.chaos.history import LogRecord, Message
from tests.unit.domain.naive_model import NaiveModel, Record

MEMBERS = ("eventId", "type", "teamId", "actorId", "timestamp", "data")


def canonical(value: Any) -> str:
    """A text that is equal for equal JSON alone: ``1``, ``1.0`` and ``true`` are three."""
    return json.dumps(value, sort_keys=True)


@dataclass(slots=True, frozen=True)
class Event:
    """One record that clients may get."""

    offset: int
    appended: int
    """The broker's time, milliseconds."""
    body: str
    """The event without position and state, canonical."""
    record: Record

    @property
    def event(self) -> UnifiedEvent:
        """The event itself."""
        return self.record.event


@dataclass(slots=True)
class Stream:
    """One key's events in log order."""

    key: str
    events: list[Event] = field(default_factory=list)
    repeats: set[int] = field(default_factory=set)
    """Offsets of records that repeat one before them."""
    offsets: list[int] = field(default_factory=list)
    members: list[frozenset[int]] = field(default_factory=list)
    """Who is a member after each event."""

    def index(self, offset: int) -> int | None:
        """Which event stands at an offset."""
        at = bisect_left(self.offsets, offset)
        return at if at < len(self.offsets) and self.offsets[at] == offset else None

    def upto(self, offset: int) -> int:
        """How many events stand at or before an offset."""
        return bisect_right(self.offsets, offset)

    def member(self, user_id: int, count: int) -> bool:
        """Whether a user is a member (or it is their own stream) once the first ``count`` events are folded."""
        if self.key.startswith("user:"):
            return self.key == f"user:{user_id}"
        return count > 0 and user_id in self.members[count - 1]

    def may_see(self, user_id: int, index: int) -> bool:
        """Whether an event is a user's: they were a member before it, or it makes them one."""
        return self.member(user_id, index) or self.member(user_id, index + 1)

    def touches(self, user_id: int, index: int) -> bool:
        """Whether an event says something of a user's membership, so that a range with it in it proves nothing."""
        event = self.events[index].event
        if event.type in ("team.member_added", "team.member_removed"):
            return bool(event.data["userId"] == user_id)
        return event.type in ("team.created", "team.deleted")

    def makes_member(self, user_id: int, index: int) -> bool:
        """Whether an event makes someone a member who was none."""
        return not self.member(user_id, index) and self.member(user_id, index + 1)

    def ends_member(self, user_id: int, index: int) -> bool:
        """Whether an event ends a membership."""
        return self.member(user_id, index) and not self.member(user_id, index + 1)


class Log:
    """All keys of ``team.events``."""

    def __init__(self, records: Iterable[LogRecord], window: int) -> None:
        """Read the log.

        Args:
            records: In any order of partitions; those of one partition in theirs.
            window: Offsets within which a repeat counts as one.
        """
        self.streams: dict[str, Stream] = {}
        self.came_of: dict[tuple[str, int, int], set[str]] = {}
        """Keys of what came of each source record, internal records left out."""
        self.unordered: list[str] = []
        """Records of one source partition that stand in one unified partition in another order than their own."""
        last: dict[tuple[int, object], int] = {}
        newest: dict[tuple[int, str, int], int] = {}
        for record in records:
            self._take(record, window, last, newest)
        for stream in self.streams.values():
            _note_members(stream)

    def _take(self, record: LogRecord, window: int, last: dict[tuple[int, object], int], newest: dict[tuple[int, str, int], int]) -> None:
        key, body, source = (record.key or b"").decode(), json.loads(record.value or b"null"), source_of(record)
        stream = self.streams.setdefault(key, Stream(key))
        repeated = False
        for identity in _identities(key, body, source):
            before = last.get((record.partition, identity))
            repeated |= before is not None and record.offset - before <= window
            last[record.partition, identity] = record.offset
        if body["type"].startswith("_"):
            return
        self.came_of.setdefault((source.topic, source.partition, source.offset), set()).add(key)
        if repeated:
            stream.repeats.add(record.offset)
            return
        lane = (record.partition, source.topic, source.partition)
        if newest.get(lane, -1) > source.offset:
            self.unordered.append(f"{source.topic}-{source.partition}@{source.offset} stands behind @{newest[lane]} at {record.offset}")
        newest[lane] = max(newest.get(lane, -1), source.offset)
        event = UnifiedEvent(key, body["eventId"], body["type"], body["teamId"], body["actorId"], body["timestamp"], body["data"])
        stream.offsets.append(record.offset)
        stream.events.append(
            Event(record.offset, record.timestamp, canonical({name: body[name] for name in MEMBERS}), Record(event, source))
        )

    def stream(self, key: str) -> Stream:
        """A key's events; an empty stream for a key that has none."""
        return self.streams.get(key) or Stream(key)


def source_of(record: LogRecord) -> Source:
    """The source record that a unified record names in its headers."""
    found = dict(record.headers)
    numbers = [int(found[f"source-{name}"]) for name in ("partition", "offset", "timestamp")]
    return Source(found["source-topic"].decode(), *numbers)


def _identities(key: str, body: Message, source: Source) -> list[object]:
    own = f"{source.topic}-{source.partition}-{source.offset}-{source.timestamp}"
    found: list[object] = [(key, source)]
    if body["eventId"] != own:
        found.append((key, body["eventId"], body["timestamp"], canonical(body["data"])))
    return found


def _note_members(stream: Stream) -> None:
    if not stream.key.startswith("team:"):
        stream.members = [frozenset()] * len(stream.events)
        return
    rows: dict[str, Row] = {}
    now: frozenset[int] = frozenset()
    for event in stream.events:
        rows.update(fold.apply(rows.get, fold.deltas(event.event, event.record.source)))
        if event.event.type.startswith("team."):
            now = frozenset(member["userId"] for member in _state(stream.key, rows)["members"])
        stream.members.append(now)


def state_at(stream: Stream, count: int) -> Message:
    """The state that the first ``count`` events lead to, in the shape of a snapshot, by the fold."""
    rows: dict[str, Row] = {}
    for event in stream.events[:count]:
        rows.update(fold.apply(rows.get, fold.deltas(event.event, event.record.source)))
    return _state(stream.key, rows)


def _state(key: str, rows: dict[str, Row]) -> Message:
    kind, _, number = key.partition(":")
    owner = number if kind == "team" else key
    tasks = {int(name.rpartition("/")[2]): row for name, row in rows.items() if name.startswith(f"task/{owner}/")}
    if kind == "user":
        found = [states.task_state(task_id, row, None) for task_id, row in sorted(tasks.items())]
        user = states.user_state(int(number), rows.get(f"user/{number}"))
        return {"user": user or {"userId": int(number), "username": None, "email": None}, "tasks": [one for one in found if one]}
    team = rows.get(f"team/{number}")
    deleted = states.deleted_rank(team)
    people = {int(name.rpartition("/")[2]): row for name, row in rows.items() if name.startswith(f"member/{number}/")}
    members = [one for user_id, row in sorted(people.items()) if (one := states.member_state(user_id, row, deleted))]
    shown = states.team_state(int(number), team, bool(members))
    return {
        "team": shown or {"teamId": int(number), "name": None, "description": None, "ownerId": None, "updatedAt": None},
        "members": members,
        "tasks": [one for task_id, row in sorted(tasks.items()) if (one := states.task_state(task_id, row, deleted))],
    }


def end_state(stream: Stream) -> Message:
    """The state at the end of the log, worked out the slow way, with nothing taken from the fold."""
    model = NaiveModel([event.record for event in stream.events])
    number = int(stream.key.partition(":")[2])
    ids = sorted({event.event.data["taskId"] for event in stream.events if event.event.type.startswith("task.")})
    tasks = [one for task_id in ids if (one := model.task(stream.key, task_id))]
    if stream.key.startswith("user:"):
        return {"user": model.user(number) or {"userId": number, "username": None, "email": None}, "tasks": tasks}
    members = [{"userId": user_id, "role": role} for user_id, role in sorted(model.members(number).items())]
    return {
        "team": model.team(number) or {"teamId": number, "name": None, "description": None, "ownerId": None, "updatedAt": None},
        "members": members,
        "tasks": tasks,
        "exists": model.team(number) is not None,
    }
