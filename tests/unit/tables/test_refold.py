"""Folding a history anew, and what sets rows apart from it."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.events import Source, UnifiedEvent, encode
from app.domain.rows import Row
from app.domain.unified import headers_for
from app.kafka.record import Record
from tables.refold import MARGIN_MS, Rebuilt, compare, verdict

START_MS = 1_795_428_000_000


def record(kind: str, offset: int, data: dict[str, Any], second: int | None = None) -> Record:
    at = offset if second is None else second
    source = Source(kind, 0, offset, START_MS + at * 1000)
    event = UnifiedEvent("team:42", f"e{offset}", kind, 42, 7, f"2026-11-23T10:00:{at:02d}.000000Z", data)
    return Record("team.events", 0, offset, START_MS + at * 1000, 1, b"team:42", encode(event), headers_for(source))


HISTORY = [
    record("team.created", 0, {"teamId": 42, "ownerId": 7, "name": "Ops"}),
    record("task.created", 1, {"taskId": 1, "teamId": 42, "creatorId": 7, "title": "first"}),
    record("team.member_added", 2, {"teamId": 42, "userId": 8, "role": "member"}),
    record("task.updated", 3, {"taskId": 1, "teamId": 42, "title": "second"}),
    record("task.created", 4, {"taskId": 2, "teamId": 42, "creatorId": 7}),
    record("task.deleted", 5, {"taskId": 2, "teamId": 42}),
]


def folded(records: list[Record]) -> Rebuilt:
    rebuilt = Rebuilt("team:42", "00" * 8)
    for one in records:
        rebuilt.fold(one)
    return rebuilt


def differences(log: list[Record], table: dict[str, Row], *, whole: bool, oldest_ms: int = 0) -> list[tuple[str, bool]]:
    return [(one.row, one.proven) for one in compare(folded(log).rows, table, whole=whole, oldest_ms=oldest_ms)]


def test_the_state_is_what_people_see() -> None:
    state = folded(HISTORY).state()
    assert state["team"]["name"] == "Ops"
    assert [(member["userId"], member["role"]) for member in state["members"]] == [(7, "owner"), (8, "member")]
    assert [(task["taskId"], task["title"]) for task in state["tasks"]] == [(1, "second")]


def test_what_is_no_event_is_counted_and_skipped() -> None:
    bad = Record("team.events", 0, 9, START_MS, 1, b"team:42", b"{}", [])
    rebuilt = folded([*HISTORY, bad])
    assert (rebuilt.events, rebuilt.skipped, rebuilt.last_offset) == (6, 1, 5)


def test_a_users_own_stream_is_folded_too() -> None:
    source = Source("task.created", 0, 1, START_MS)
    event = UnifiedEvent("user:7", "e", "task.created", None, 7, "2026-11-23T10:00:00.000000Z", {"taskId": 1, "creatorId": 7, "title": "x"})
    one = Record("team.events", 0, 1, START_MS, 1, b"user:7", encode(event), headers_for(source))
    rebuilt = Rebuilt("user:7", "00" * 8)
    rebuilt.fold(one)
    state = rebuilt.state()
    assert state["user"] is None
    assert [task["title"] for task in state["tasks"]] == ["x"]


class TestWholeHistory:
    def test_the_same_in_any_order(self) -> None:
        assert differences(HISTORY, folded(HISTORY[::-1] + HISTORY).rows, whole=True) == []

    def test_a_missing_row(self) -> None:
        rows = folded(HISTORY).rows
        del rows["task/42/1"]
        assert differences(HISTORY, rows, whole=True) == [("task/42/1", True)]

    def test_a_row_too_many(self) -> None:
        rows = folded(HISTORY).rows | {"task/42/9": folded(HISTORY).rows["task/42/1"]}
        assert differences(HISTORY, rows, whole=True) == [("task/42/9", True)]

    @pytest.mark.parametrize("without", range(6))
    def test_an_event_that_was_not_folded(self, without: int) -> None:
        table = folded([one for one in HISTORY if one.offset != without]).rows
        assert differences(HISTORY, table, whole=True)

    def test_an_event_that_never_was(self) -> None:
        table = folded([*HISTORY, record("task.updated", 6, {"taskId": 1, "teamId": 42, "title": "forged"})]).rows
        assert differences(HISTORY, table, whole=True) == [("task/42/1", True)]

    def test_another_value_of_the_same_event(self) -> None:
        rows = folded(HISTORY).rows
        row = rows["task/42/1"]
        rank, _ = row.fields["title"]
        rows["task/42/1"] = Row(row.marks, row.fields | {"title": (rank, "zzz")})
        assert differences(HISTORY, rows, whole=True) == [("task/42/1", True)]


class TestPartOfTheLog:
    """The first two records have expired."""

    LOG = HISTORY[2:]
    OLDEST = START_MS + 2000

    def test_what_rests_on_expired_events_cannot_be_proven(self) -> None:
        found = compare(folded(self.LOG).rows, folded(HISTORY).rows, whole=False, oldest_ms=self.OLDEST)
        assert {one.row for one in found} == {"member/42/7", "task/42/1", "team/42"}
        assert not any(one.proven for one in found)
        assert verdict(found) == "unproven"

    def test_what_the_log_says_must_be_in_the_table(self) -> None:
        table = folded([one for one in HISTORY if one.offset != 3]).rows
        found = compare(folded(self.LOG).rows, table, whole=False, oldest_ms=self.OLDEST)
        assert verdict(found) == "different"
        assert "title" in next(one.what for one in found if one.proven)

    def test_what_the_log_would_still_hold_must_be_in_the_log(self) -> None:
        late = record("task.updated", 6, {"taskId": 1, "teamId": 42, "title": "forged"}, second=59)
        table = folded([*HISTORY, late]).rows
        found = compare(folded(self.LOG).rows, table, whole=False, oldest_ms=START_MS + 58_000 - MARGIN_MS)
        assert [(one.row, one.proven) for one in found if one.proven] == [("task/42/1", True)]

    def test_all_events_still_there_is_the_same_without_the_beginning(self) -> None:
        log = [record("task.created", 9, {"taskId": 5, "teamId": 42})]
        assert differences(log, folded(log).rows, whole=False, oldest_ms=START_MS) == []


def test_a_snapshot_and_what_came_after_it_is_the_whole() -> None:
    base = folded(HISTORY[:3])
    rebuilt = Rebuilt("team:42", "00" * 8, dict(base.rows))
    for one in HISTORY[3:]:
        rebuilt.fold(one)
    assert compare(rebuilt.rows, folded(HISTORY).rows, whole=True, oldest_ms=0) == []
    assert verdict([]) == "same"


def test_internal_records_are_no_events() -> None:
    value = orjson.dumps(
        {
            "eventId": "e",
            "type": "_later",
            "teamId": 42,
            "actorId": None,
            "timestamp": "2026-11-23T10:00:00.000000Z",
            "data": {},
        }
    )
    one = Record("team.events", 0, 7, START_MS, 1, b"team:42", value, HISTORY[0].headers)
    assert (folded([one]).events, folded([one]).skipped) == (0, 0)
