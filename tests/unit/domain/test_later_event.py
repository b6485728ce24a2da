"""A later event: what it makes of the stored bytes is what the fold makes of the row, or it is left to the fold."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import event as note
from hypothesis import given

from agents.recipients import is_only, mailing
from app.domain import later_event, state
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import apply, deltas
from app.domain.rows import MAX_FIELDS, Row, decode, encode, personal_task_row_key, task_row_key, team_row_key
from tests.unit.domain.naive_model import Record
from tests.unit.domain.worlds import arrivals, orderly

AT = "2026-11-23T10:00:{:02d}.000000Z"


def task(verb: str, second: int, **data: Any) -> tuple[UnifiedEvent, Source]:
    event = UnifiedEvent("team:1", "e", f"task.{verb}", 1, 9, AT.format(second), {"taskId": 5, "teamId": 1, **data})
    return event, Source(f"task.{verb}", 0, second, 1000)


def by_the_fold(told: list[tuple[UnifiedEvent, Source]]) -> bytes:
    rows: dict[str, Row] = {}
    for event, source in told:
        rows |= apply(rows.get, deltas(event, source))
    return encode(rows["task/1/5"])


def row_key(event: UnifiedEvent) -> str:
    task_id = event.data["taskId"]
    return personal_task_row_key(int(event.key[5:]), task_id) if event.team_id is None else task_row_key(event.team_id, task_id)


@given(orderly() | arrivals().map(lambda arrival: arrival[1]))
def test_a_later_event_makes_of_the_bytes_what_the_fold_makes_of_the_row(records: list[Record]) -> None:
    rows: dict[str, Row] = {}
    for record in records:
        event, source = record.event, record.source
        says = deltas(event, source)
        before, changed = dict(rows), apply(rows.get, says)
        rows |= changed
        if not event.type.startswith("task.") or not (event.team_id is None or later_event.leaves(before.get(team_row_key(event.team_id)))):
            continue
        key = row_key(event)
        row = before.get(key)
        found = later_event.fold(event, source, None if row is None else encode(row))
        note("later" if found else "left to the fold")
        if found is None:
            continue
        assert list(changed) == [key]
        assert found.row == encode(changed[key])
        assert state.tells_all(event, row, changed[key], None)
        held = {name: pair[1] for name, pair in changed[key].fields.items()}
        assert (found.creator, found.assignee) == (held.get("creatorId"), held.get("assigneeId"))
        if is_only(event.actor_id, (found.creator, found.assignee)):
            assert mailing(event, says, before.get, rows.get).recipients == ()


def test_nearly_every_event_is_one() -> None:
    told = [
        task("created", 1, title="a", creatorId=9, labels={"b": 1, "a": [1.0, {"d": None, "c": "é"}]}),
        task("updated", 2, title="b", assigneeId=9),
        task("completed", 3, completed=True),
        task("updated", 4, title="c", assigneeId=None, creatorId=7, labels=None, completed=False),
        task("created", 5, title="anew"),
    ]
    stored: bytes | None = None
    for count, (event, source) in enumerate(told, 1):
        found = later_event.fold(event, source, stored)
        assert found is not None
        assert found.row == by_the_fold(told[:count])
        stored = found.row


@pytest.mark.parametrize(
    "late",
    [
        task("updated", 3, title="x"),  # as late as what is known
        task("updated", 1, title="x"),
        task("deleted", 9),
        task("updated", 9, createdAt="yesterday"),
        task("updated", 9, updatedAt=None),
        task("updated", 9, **{f"x{number}": number for number in range(MAX_FIELDS)}),
    ],
)
def test_what_needs_a_closer_look_is_left_to_the_fold(late: tuple[UnifiedEvent, Source]) -> None:
    stored = by_the_fold([task("created", 1, title="a"), task("updated", 3, description="b")])
    assert later_event.fold(*late, stored) is None


def test_an_update_of_a_task_that_is_not_there_is_left_to_the_fold() -> None:
    assert later_event.fold(*task("updated", 3, title="x"), None) is None


def test_a_row_that_was_deleted_is_left_to_the_fold() -> None:
    assert later_event.fold(*task("updated", 9), by_the_fold([task("deleted", 1), task("created", 3)])) is None


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{}",
        b"[]",
        b'{"f":{},"m":{"changed":0},"r":[]}',
        b'{"f":{},"m":{"changed":0},"r":[5]}',
        b'{"f":{"title":0},"m":{"changed":0},"r":["2026-11-23T10:00:00.000000Z"]}',
        b'{"f":{"due":[7,0]},"m":{"changed":0},"r":["2026-11-23T10:00:00.000000Z"]}',
        b'{"f":{},"m":{"changed":0},"r":["2026-11-23T10:00:00.000000Z"],"x":1}',
        b'{"f":{},"m":{"changed":0,"seen":0},"r":["2026-11-23T10:00:00.000000Z"]}',
        b'{"f":{},"m":{"changed":0},"r":["2026-11-23T10:00:01.000000Z","2026-11-23T10:00:00.000000Z"]}',
        b'{"f":{},"m":{"changed":0},"r":["2026-11-23T10:00:00.000000Z","2026-11-23T10:00:00.000000Z"]}',
    ],
)
def test_a_row_of_another_shape_is_left_to_the_fold(stored: bytes) -> None:
    assert later_event.fold(*task("updated", 9, name="x"), stored) is None


def test_fields_up_to_the_bound_are_folded() -> None:
    full = {f"x{number}": number for number in range(MAX_FIELDS - 1)}
    told = [task("created", 1, title="a"), task("updated", 2, **full)]
    assert later_event.fold(*told[1], by_the_fold(told[:1])) is None
    told[1] = task("updated", 2, **dict(list(full.items())[1:]))
    found = later_event.fold(*told[1], by_the_fold(told[:1]))
    assert found is not None
    assert found.row == by_the_fold(told)
    assert orjson.dumps(len(decode(found.row).fields)) == b"127"


@pytest.mark.parametrize(
    ("team", "expected"),
    [(None, False), (Row({}, {}), False), (Row({"seen": ""}, {}), True), (Row({"seen": "", "deleted": "x"}, {}), False)],
)
def test_a_team_that_has_been_seen_and_not_deleted_stays_as_it_is(team: Row | None, expected: bool) -> None:
    assert later_event.leaves(team) == expected
