"""The fold agent: batches of unified records into the table, and what does not parse into dead letters."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import patch

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from agents.fold import Folding
from agents.recipients import NOBODY
from app.domain import later_event, positions
from app.domain.events import Source, UnifiedEvent, encode
from app.domain.recent_records import RecentRecords
from app.domain.requests import parse_address, parse_request
from app.domain.topics import ADDRESSES, REQUESTS, UNIFIED
from app.domain.unified import headers_for
from app.errors import SendFailed
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.transport.batches import Batch, Part
from tests.unit.delivery.fakes import record as event_of
from tests.unit.domain.naive_model import Record as Folded
from tests.unit.domain.worlds import arrivals, folded, orderly, stored

LOG = "0123456789abcdef"


class Table:
    """Rows in a dict, and in which order they came."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, bytes]] = {}
        self.upto: dict[int, int] = {}
        self.lasts: dict[str, str] = {}
        self.happened: list[str] = []
        self.sent: list[Outgoing] = []

    def contains(self, partition: int) -> int:
        return self.upto.get(partition, -1)

    def value(self, partition: int, key: str) -> bytes | None:
        return self.rows.get(partition, {}).get(key)

    async def write(self, partition: int, changed: dict[str, bytes], lasts: dict[str, str], upto: int) -> None:
        self.happened.append("rows")
        self.rows.setdefault(partition, {}).update(changed)
        self.lasts |= lasts
        self.upto[partition] = upto

    async def send(self, letters: Sequence[Outgoing], *_more: Any) -> None:
        self.sent += letters
        self.happened += [
            f"dead {(headers['error-code'] or b'').decode()}" if "error-code" in (headers := dict(letter.headers)) else letter.topic
            for letter in letters
        ]


def folding_of(table: Table) -> Folding:
    return Folding(table, DeadLetters(table), table, lambda: LOG, RecentRecords())  # type: ignore[arg-type]


def unified(one: Folded, offset: int, partition: int = 0) -> Record:
    key, body = one.event.key.encode(), encode(one.event)
    return Record(UNIFIED, partition, offset, 0, 1, key, body, headers_for(one.source))


def bad(offset: int, body: bytes | None = b"{}") -> Record:
    return Record(UNIFIED, 0, offset, 0, 1, b"team:1", body, [])


def batch_of(*parts: list[Record]) -> Batch:
    events = [SimpleNamespace(message=SimpleNamespace(parts=[Part(TP(UNIFIED, part[0].partition), part)])) for part in parts]
    return Batch(events)  # type: ignore[arg-type]


@given(arrivals())
async def test_rows_are_the_fold_however_the_records_are_cut_into_parts(arrival: tuple[list[Folded], list[Folded]]) -> None:
    history, arrived = arrival
    table = Table()
    records = [unified(one, offset) for offset, one in enumerate(arrived)]
    for start in range(0, len(records), 5):
        middle = records[start + 2 : start + 5]
        await folding_of(table).fold(batch_of(*[part for part in (records[start : start + 2], middle) if part]))
    assert table.rows.get(0, {}) == stored(folded(history))
    assert table.upto.get(0, -1) == len(arrived) - 1


@given(orderly() | arrivals().map(lambda arrival: arrival[1]), st.integers(1, 5), st.booleans())
async def test_a_later_event_is_folded_and_asked_about_as_any_other_way(told: list[Folded], size: int, again: bool) -> None:
    records = [unified(one, offset) for offset, one in enumerate(told)]
    quick, other = Table(), Table()
    for table in (quick, other):
        with patch.object(later_event, "TYPES", later_event.TYPES if table is quick else frozenset()):
            for start in range(0, len(records), size):
                await folding_of(table).fold(batch_of(records[start : start + size]))
            if again and records:
                await folding_of(table).fold(batch_of(records))  # as behind a restart that had committed nothing
    assert quick.rows == other.rows
    assert (quick.sent, quick.lasts, quick.upto, quick.happened) == (other.sent, other.lasts, other.upto, other.happened)


async def test_a_task_of_whoever_works_on_it_costs_no_look_at_its_members() -> None:
    table = Table()
    told = [*team_of_two(), event_of("task.created", 3, taskId=5, creatorId=9, assigneeId=9)]
    told += [event_of("task.updated", 4 + n, taskId=5, title=f"{n}") for n in range(3)]
    with patch("agents.fold.mailing", side_effect=[NOBODY, NOBODY]):  # the team's two alone ask
        await folding_of(table).fold(batch_of([unified(one, offset) for offset, one in enumerate(told)]))
    assert table.rows[0] == stored(folded(told))


async def test_what_a_view_has_folded_is_not_folded_again() -> None:
    """The view and the table share the record; the same row before gives the same row after."""
    table, recent = Table(), RecentRecords()
    made = event_of("task.created", 3, taskId=5, creatorId=9)
    records = [unified(one, offset) for offset, one in enumerate([*team_of_two(), made])]
    seen = recent.read(records[2].value, records[2].headers, records[2].key).folded(None)
    assert seen is not None
    with patch("app.domain.recent_records.fold", side_effect=AssertionError("folded again")):
        await Folding(table, DeadLetters(table), table, lambda: LOG, recent).fold(batch_of(records))  # type: ignore[arg-type]
    assert table.rows[0]["task/1/5"] is seen.row


async def test_partitions_are_folded_each_for_itself() -> None:
    table = Table()
    await folding_of(table).fold(
        batch_of([unified(event_of("team.created", 0, ownerId=1), 5)], [unified(event_of("team.created", 1, team=2, ownerId=1), 9, 1)])
    )
    assert set(table.rows[0]) == {"team/1", "member/1/1"}
    assert set(table.rows[1]) == {"team/2", "member/2/1"}
    assert table.upto == {0: 5, 1: 9}


@pytest.mark.parametrize("body", [None, b"", b"{}", b"\xff", b"[]"])
async def test_what_does_not_parse_is_a_dead_letter_and_what_follows_is_folded(body: bytes | None) -> None:
    table = Table()
    await folding_of(table).fold(batch_of([bad(0, body), unified(event_of("team.created", 0, ownerId=1), 1)]))
    assert table.happened[0].startswith("dead ")
    assert table.happened[1:] == [REQUESTS, "rows"]
    assert set(table.rows[0]) == {"team/1", "member/1/1"}


async def test_a_dead_letter_is_in_the_broker_before_its_offset_counts_as_folded() -> None:
    table = Table()

    async def refused(_letters: Sequence[Outgoing], *_more: Any) -> None:
        raise SendFailed("not now")

    cast(Any, table).send = refused
    with pytest.raises(SendFailed):
        await folding_of(table).fold(batch_of([bad(0)]))
    assert table.upto == {}


async def test_a_type_of_a_later_version_changes_no_row_and_is_no_dead_letter() -> None:
    table = Table()
    later = UnifiedEvent("team:1", "e", "team.archived", 1, 7, "2026-11-23T10:00:00.000000Z", {})
    await folding_of(table).fold(batch_of([unified(Folded(later, Source("team.archived", 0, 0, 1000)), 3)]))
    assert (table.rows[0], table.upto, table.happened) == ({}, {0: 3}, ["rows"])


async def test_the_newest_record_of_a_key_is_told_with_the_check_of_its_position() -> None:
    table = Table()
    added = event_of("team.member_added", 1, userId=2, role="m")
    internal = UnifiedEvent("user:2", "e", "_user.membership", 1, 7, added.event.timestamp, {"teamId": 1, "userId": 2, "kind": "added"})
    await folding_of(table).fold(
        batch_of([unified(event_of("team.created", 0, ownerId=1), 5), unified(added, 8), unified(Folded(internal, added.source), 9)])
    )
    assert table.lasts == {"team:1": f"8 {positions.check(LOG, 'team:1', 8, headers_for(added.source))}"}
    assert set(table.rows[0]) == {"team/1", "member/1/1", "member/1/2", "candidate/2/1"}


def for_mail(table: Table) -> list[tuple[str, int]]:
    """The event and the recipient of every request that was sent."""
    found = [parse_request(one.key, one.value) for one in table.sent if one.topic == REQUESTS]
    return [(f"{one.type} {one.event['data'].get('taskId', '')}".strip(), one.recipient) for one in found]


def team_of_two() -> list[Folded]:
    return [event_of("team.created", 0, ownerId=1), event_of("team.member_added", 1, userId=2, role="m")]


async def test_requests_are_in_the_broker_before_the_rows_that_would_answer_differently() -> None:
    table = Table()
    assigned = event_of("task.created", 2, taskId=5, creatorId=1, assigneeId=2, title="Write")
    await folding_of(table).fold(batch_of([unified(one, offset) for offset, one in enumerate([*team_of_two(), assigned])]))
    assert table.happened == [REQUESTS] * (len(table.happened) - 1) + ["rows"]
    [request] = [parse_request(one.key, one.value) for one in table.sent if one.key == b"user:2" and b"task.created" in (one.value or b"")]
    assert (request.reason, request.task_title, request.key) == ("assignee", "Write", "team:1")
    assert request.event == json.loads(encode(assigned.event))
    assert request.position == positions.position(LOG, "team:1", 2, headers_for(assigned.source))


async def test_a_refused_request_leaves_the_rows_as_they_were() -> None:
    table = Table()

    async def refused(_records: Sequence[Outgoing], *_more: Any) -> None:
        raise SendFailed("not now")

    cast(Any, table).send = refused
    with pytest.raises(SendFailed):
        await folding_of(table).fold(batch_of([unified(event_of("team.created", 0, ownerId=1), 0)]))
    assert (table.rows, table.upto) == ({}, {})


async def test_records_that_the_rows_contain_already_are_asked_for_no_more() -> None:
    """Their requests were sent before the rows were written; the rows of today would name other people."""
    table = Table()
    first = [*team_of_two(), event_of("task.created", 2, taskId=5, creatorId=1)]
    records = [unified(one, offset) for offset, one in enumerate([*first, event_of("task.updated", 3, taskId=5, assigneeId=2)])]
    await folding_of(table).fold(batch_of(records))
    before = for_mail(table)
    await folding_of(table).fold(batch_of(records[2:]))
    assert for_mail(table) == before


async def test_requests_do_not_depend_on_how_the_records_were_cut_into_batches() -> None:
    told = [*team_of_two(), *[event_of("task.updated", 3 + n, taskId=5, assigneeId=1 + n % 2, title=f"{n}") for n in range(6)]]
    records = [unified(one, offset) for offset, one in enumerate(told)]
    whole, single = Table(), Table()
    await folding_of(whole).fold(batch_of(records))
    for record in records:
        await folding_of(single).fold(batch_of([record]))
    assert for_mail(whole) == for_mail(single)
    assert len(for_mail(whole)) == 2 + 6


async def test_an_address_is_written_with_the_rank_of_what_gave_it() -> None:
    table = Table()
    at = "2026-11-23T10:00:00.000000Z"
    told = UnifiedEvent("user:2", "e", "user.created", None, None, at, {"userId": 2, "email": "a@example.org", "username": "ann"})
    await folding_of(table).fold(batch_of([unified(Folded(told, Source("user.created", 0, 0, 1000)), 0)]))
    [address] = [parse_address(one.key, one.value) for one in table.sent if one.topic == ADDRESSES]
    assert (address.user_id, address.email, address.username) == (2, "a@example.org", "ann")
    assert address.rank.startswith(at)
