"""A world so small that everything in it collides: 2 teams, 3 users, 3 tasks, 4 instants; and every history of it."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.domain import fold
from app.domain.events import Source, UnifiedEvent
from app.domain.rows import Row, encode
from tests.unit.domain.naive_model import Record

TEAMS = (1, 2)
USERS = (1, 2, 3)
TASKS = (1, 2, 3)
# Seconds and single microseconds: the width of a timestamp matters as much as its value.
TIMESTAMPS = tuple(f"2026-11-23T10:00:0{at}Z" for at in ("0.000000", "0.000001", "1.000000", "2.500000"))

texts = st.sampled_from(["a", "b", None])
users = st.sampled_from(USERS)


def _some(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any choice of these members: absent means unchanged, None cleared."""
    return st.fixed_dictionaries({}, optional=members)


_task_payloads = _some(
    title=texts,
    description=texts,
    completed=st.booleans(),
    priority=st.sampled_from([1, 1.0, "high", None]),
    due=texts,
    assigneeId=st.none() | users,
    labels=st.sampled_from([[], ["x"], {"b": 1, "a": True}, 1, True]),
    role=texts,
    createdAt=texts,
)
_team_payloads = _some(name=texts, description=texts, ownerId=users, colour=texts)
_TYPES = {
    "task": ("task.created", "task.updated", "task.completed", "task.deleted"),
    "team": ("team.created", "team.updated", "team.deleted"),
    "member": ("team.member_added", "team.member_role_updated", "team.member_removed"),
}


@st.composite
def _events(draw: st.DrawFn) -> UnifiedEvent:
    family = draw(st.sampled_from(["task", "task", "personal", "team", "member", "member", "user"]))
    timestamp = draw(st.sampled_from(TIMESTAMPS))
    actor, user = draw(users), draw(users)
    if family == "user":
        data = {"userId": user, **draw(_some(username=texts, email=st.sampled_from(["a@example.org", "b@example.org"])))}
        return UnifiedEvent(f"user:{user}", "e", "user.created", None, None, timestamp, data)
    if family == "personal":
        event_type = draw(st.sampled_from(_TYPES["task"]))
        payload = {} if event_type == "task.deleted" else draw(_task_payloads)
        data = {**payload, "taskId": draw(st.sampled_from(TASKS)), "creatorId": user}
        return UnifiedEvent(f"user:{user}", "e", event_type, None, actor, timestamp, data)
    team = draw(st.sampled_from((1, 1, 2)))
    event_type = draw(st.sampled_from(_TYPES[family]))
    data = {"teamId": team}
    if family == "member":
        data["userId"] = user
        if event_type != "team.member_removed":
            data["role"] = draw(st.sampled_from(["member", "admin", "guest"]))
    elif family == "team":
        data |= {} if event_type == "team.deleted" else draw(_team_payloads)
    else:
        data |= {} if event_type == "task.deleted" else draw(_task_payloads)
        data |= {"taskId": draw(st.sampled_from(TASKS)), "creatorId": user}
    return UnifiedEvent(f"team:{team}", "e", event_type, team, actor, timestamp, data)


@st.composite
def histories(draw: st.DrawFn, max_size: int = 14) -> list[Record]:
    """Distinct records, each with a place of its own in its source topic that has nothing to do with its place in the list."""
    events = draw(st.lists(_events(), max_size=max_size))
    offsets = draw(st.permutations(range(len(events))))
    records = []
    for event, offset in zip(events, offsets, strict=True):
        partition, source_timestamp = draw(st.sampled_from([(0, 1000), (1, 1000), (0, 2000)]))
        records.append(Record(event, Source(event.type, partition, offset, source_timestamp)))
    return records


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Record], list[Record]]:
    """A history, and a way in which it may arrive: in any order, some of it more than once."""
    history = draw(histories())
    repeated = draw(st.lists(st.sampled_from(history), max_size=5)) if history else []
    return history, draw(st.permutations(history + repeated))


@st.composite
def orderly(draw: st.DrawFn) -> list[Record]:
    """What nearly always arrives: each event later than those before it, but for a few; and some of them again a moment later."""
    history = draw(histories())
    late = draw(st.sets(st.integers(0, len(history)), max_size=2))
    told = [
        record if number in late else Record(record.event._replace(timestamp=f"2026-11-23T10:01:{number:02d}.000000Z"), record.source)
        for number, record in enumerate(history)
    ]
    for place in draw(st.lists(st.integers(0, max(0, len(told) - 1)), max_size=2)) if told else []:
        told.insert(min(len(told), place + draw(st.integers(1, 3))), told[place])
    return told


def folded(records: list[Record]) -> dict[str, Row]:
    """The rows of these records, folded one by one in this order."""
    rows: dict[str, Row] = {}
    for record in records:
        rows.update(fold.apply(rows.get, fold.deltas(record.event, record.source)))
    return rows


def stored(rows: dict[str, Row]) -> dict[str, bytes]:
    """The rows as a table holds them."""
    return {key: encode(row) for key, row in rows.items()}
