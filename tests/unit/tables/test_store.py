"""Rows on disk: read, scanned and written whole; a changelog is merged and never replayed over."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rows import Row, decode, encode, merge
from app.kafka.record import Record
from app.kafka.topics import CHANGELOG
from tables import store
from tables.changelog import META_KEY, last_row_key, merge_values
from tables.store import RowStore
from tests.unit.domain.worlds import arrivals, folded, stored
from tests.unit.tables.conftest import Tables

OLD, NEW = encode(Row({"seen": ""}, {"name": ("1", "old")})), encode(Row({"changed": "2"}, {"name": ("2", "new")}))


def record(offset: int, key: bytes | None, value: bytes | None) -> Any:
    return Record(CHANGELOG, 0, offset, 0, 1, key, value, ())


def batch(*records: Any, partition: int = 0) -> list[Any]:
    """As recovery hands it over: one event, whose value is the list."""
    return [SimpleNamespace(message=SimpleNamespace(tp=TP(CHANGELOG, partition)), value=list(records))]


def apply(rows: RowStore, *events: Any) -> None:
    rows.apply_changelog_batch(list(events), lambda key: key, lambda value: value)


# --- merging


def test_a_row_that_nobody_has_is_theirs() -> None:
    assert merge_values(b"team/1", None, OLD) == OLD


def test_two_values_of_a_row_are_the_newer_of_each_part_whoever_is_first() -> None:
    both = encode(merge(decode(OLD), decode(NEW)))
    assert merge_values(b"team/1", OLD, NEW) == merge_values(b"team/1", NEW, OLD) == both
    assert merge_values(b"team/1", both, OLD) == both


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"), [(b"9", b"10", b"10"), (b"10", b"9", b"10"), (b"-1", b"0", b"0"), (b"7", b"7", b"7")]
)
def test_the_meta_row_is_the_higher_offset_as_a_number(ours: bytes, theirs: bytes, expected: bytes) -> None:
    assert merge_values(META_KEY, ours, theirs) == expected


def test_the_last_record_of_a_key_is_the_one_at_the_higher_offset() -> None:
    key = last_row_key("team:1")
    assert merge_values(key, b"9 ab", b"10 cd") == merge_values(key, b"10 cd", b"9 ab") == b"10 cd"


@given(arrivals())
def test_any_order_and_repetition_of_changelog_batches_merges_to_the_same_rows(arrival: tuple[list[Any], list[Any]]) -> None:
    history, arrived = arrival
    held: dict[bytes, bytes] = {}
    for one in arrived:
        for name, value in stored(folded([one])).items():
            held[name.encode()] = merge_values(name.encode(), held.get(name.encode()), value)
    assert held == {name.encode(): value for name, value in stored(folded(history)).items()}


# --- reading and writing


def test_what_is_written_is_read_and_nothing_else(tables: Tables) -> None:
    rows = tables.table.rows
    rows.write(0, [(b"team/1", b"a"), (b"team/2", b"b")], 7)
    assert (rows.read(0, b"team/1"), rows.read(0, b"team/3"), rows.read(1, b"team/1")) == (b"a", None, None)
    assert rows.persisted_offset(TP(CHANGELOG, 0)) == 7
    assert rows.persisted_offset(TP(CHANGELOG, 1)) is None


def test_sizes_are_those_of_the_open_databases(tables: Tables) -> None:
    rows = tables.table.rows
    before = rows.sizes()
    assert before.keys() == {"files", "memtables", "readers", "cache"}
    rows.write(0, [(b"team/%d" % number, b"a" * 1000) for number in range(100)], 7)
    assert rows.sizes()["memtables"] >= before["memtables"] + 100_000
    assert 100 <= rows.estimated_rows(0) <= 110
    assert rows.estimated_rows(99) == 0


def test_rows_and_their_offset_are_written_together_or_not_at_all(tables: Tables) -> None:
    rows = tables.table.rows
    rows.write(0, [(b"team/1", b"a")], 7)

    def interrupted() -> Any:
        yield b"team/1", b"b"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        rows.write(0, interrupted(), 8)
    assert (rows.read(0, b"team/1"), rows.persisted_offset(TP(CHANGELOG, 0))) == (b"a", 7)


async def test_what_is_written_is_there_after_a_restart(tmp_path: Path) -> None:
    first = Tables(tmp_path)
    first.table.rows.write(0, [(b"team/1", b"a")], 7)
    await first.table.rows.stop()
    assert not first.table.rows.has(0)
    second = Tables(tmp_path)
    assert second.table.rows.read(0, b"team/1") == b"a"
    assert second.table.rows.persisted_offset(TP(CHANGELOG, 0)) == 7
    await second.table.rows.stop()


async def test_a_partition_is_closed_when_it_goes_and_can_be_opened_by_the_next_owner(tmp_path: Path) -> None:
    first = Tables(tmp_path)
    rows = first.table.rows
    rows.write(0, [(b"a", b"1")], 0)
    rows.write(1, [(b"a", b"2")], 0)
    rows.revoke_partitions(first.table, {TP(first.table.changelog_topic.get_topic_name(), 0), TP("another", 1)})
    assert (rows.has(0), rows.has(1)) == (False, True)
    second = Tables(tmp_path)
    assert second.table.rows.read(0, b"a") == b"1"
    await second.table.rows.stop()
    await rows.stop()


@pytest.mark.parametrize("log_id", ["0123456789abcdef"])
async def test_rows_of_another_log_are_none_of_ours(tmp_path: Path, log_id: str) -> None:
    first = Tables(tmp_path)
    first.table.rows.log_id = log_id
    first.table.rows.write(0, [(b"team/1", b"a")], 7)
    await first.table.rows.stop()
    second = Tables(tmp_path)
    second.table.rows.log_id = "f" * 16
    assert second.table.rows.read(0, b"team/1") is None
    assert second.table.rows.persisted_offset(TP(CHANGELOG, 0)) is None
    await second.table.rows.stop()


@pytest.mark.parametrize(("days", "kept"), [(3.4, True), (3.6, False)])
async def test_rows_older_than_half_the_life_of_a_tombstone_are_recovered_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, days: float, kept: bool
) -> None:
    first = Tables(tmp_path)
    monkeypatch.setattr(store, "time", lambda: 1_000_000_000.0)
    first.table.rows.write(0, [(b"team/1", b"a")], 7)
    await first.table.rows.stop()
    monkeypatch.setattr(store, "time", lambda: 1_000_000_000.0 + days * 86_400)
    second = Tables(tmp_path)
    assert (second.table.rows.read(0, b"team/1") is not None) is kept
    await second.table.rows.stop()


# --- scanning

_keys = st.lists(
    st.sampled_from([b"member/1/1", b"member/1/2", b"member/12/1", b"member/2/1", b"task/1/1", b"task/user:1/1", b"team/1", b"\x00meta"])
)
_places = st.sampled_from([None, b"", b"m", b"member/1/2", b"member/1/2\0", b"member/12", b"task/", b"z"])


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RowStore]:
    """One store for all examples, each with a family of its own."""
    rows = Tables(tmp_path_factory.mktemp("scanned")).table.rows
    yield rows
    rows._close(0)


_families = itertools.count()


@given(_keys, st.sampled_from([b"", b"member/1/", b"member/1", b"task/", b"z"]), _places, st.none() | st.integers(0, 4))
def test_a_scan_is_the_sorted_rows_with_a_prefix_from_a_place_on(
    scanned: RowStore, keys: list[bytes], prefix: bytes, start: bytes | None, limit: int | None
) -> None:
    family = b"family-%d/" % next(_families)
    scanned.write(0, [(family + key, key) for key in keys], 0)
    found = scanned.scan(0, family + prefix, None if start is None else family + start, limit)
    expected = [(family + key, key) for key in sorted(set(keys)) if key.startswith(prefix) and key >= (start or b"")]
    assert found == expected[:limit]


def test_a_scan_of_one_team_does_not_reach_into_the_next(tables: Tables) -> None:
    rows = tables.table.rows
    rows.write(0, [(b"member/4/9", b""), (b"member/42/1", b""), (b"member/5/1", b""), (b"members", b"")], 0)
    assert rows.scan(0, b"member/4/") == [(b"member/4/9", b"")]


# --- recovery


def test_a_changelog_is_merged_into_what_is_there(tables: Tables) -> None:
    rows = tables.table.rows
    rows.write(0, [(b"team/1", NEW), (META_KEY, b"9")], 3)
    apply(rows, *batch(record(4, META_KEY, b"8"), record(5, b"team/1", OLD), record(6, b"team/2", OLD)))
    assert decode(rows.read(0, b"team/1") or b"") == merge(decode(OLD), decode(NEW))
    assert (rows.read(0, b"team/2"), rows.read(0, META_KEY)) == (OLD, b"9")
    assert rows.persisted_offset(TP(CHANGELOG, 0)) == 6


def test_two_records_of_one_row_in_a_batch_are_merged_with_each_other(tables: Tables) -> None:
    rows = tables.table.rows
    apply(rows, *batch(record(0, b"team/1", NEW), record(1, b"team/1", OLD)))
    assert decode(rows.read(0, b"team/1") or b"") == merge(decode(OLD), decode(NEW))


def test_several_events_of_several_partitions_are_each_written_to_their_own(tables: Tables) -> None:
    rows = tables.table.rows
    more = batch(record(5, b"team/3", OLD), partition=1)
    apply(rows, *batch(record(0, b"team/1", OLD)), *batch(record(1, b"team/2", OLD)), *more)
    assert [rows.read(0, key) for key in (b"team/1", b"team/2", b"team/3")] == [OLD, OLD, None]
    assert rows.read(1, b"team/3") == OLD
    assert [rows.persisted_offset(TP(CHANGELOG, number)) for number in (0, 1)] == [1, 5]


def test_a_record_without_key_or_value_is_stepped_over(tables: Tables) -> None:
    rows = tables.table.rows
    apply(rows, *batch(record(0, None, OLD), record(1, b"team/1", None), record(2, b"team/2", OLD)))
    assert rows.read(0, b"team/1") is None
    assert rows.persisted_offset(TP(CHANGELOG, 0)) == 2
