"""A record is a repeat when an equal one stands within W offsets before it: for every reader alike."""

from __future__ import annotations

import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.events import Source, UnifiedEvent, encode
from app.domain.unified import default_event_id, headers_for, usual_headers
from delivery.window import DuplicateWindow, _Table, identities
from tests.unit.domain.test_usual_task import nearly_ours

SOURCE = Source("task.created", 2, 15, 1_795_428_000_000)
Headers = list[tuple[str, bytes | None]]

# Identities that collide often, in records whose offsets have holes (compacted away, transaction markers).
_identities = st.sampled_from([1, 2, 3, -1, 2**63 - 1, -(2**63), 65, 129])
_records = st.lists(
    st.tuples(st.integers(1, 3) | st.integers(1, 30), st.lists(_identities, min_size=1, max_size=2, unique=True)), max_size=60
)


def at_offsets(steps: list[tuple[int, list[int]]]) -> list[tuple[int, list[int]]]:
    offset, found = 0, []
    for step, names in steps:
        offset += step
        found.append((offset, names))
    return found


def naive(records: list[tuple[int, list[int]]], size: int) -> list[int | None]:
    """Looks back over the whole log for each record."""
    distances: list[int | None] = []
    for offset, names in records:
        equal = [other for other, others in records if offset - size <= other < offset and set(names) & set(others)]
        distances.append(offset - max(equal) if equal else None)
    return distances


@given(_records, st.integers(0, 12))
def test_a_repeat_is_what_has_an_equal_record_within_the_window_repeats_included(steps: list[tuple[int, list[int]]], size: int) -> None:
    window, records = DuplicateWindow(size), at_offsets(steps)
    assert [window.distance(offset, names) for offset, names in records] == naive(records, size)


@given(_records, st.integers(0, 12), st.integers(0, 30))
def test_readers_that_start_at_different_places_decide_alike_once_they_have_read_a_window(
    steps: list[tuple[int, list[int]]], size: int, start: int
) -> None:
    records = at_offsets(steps)
    first, second = DuplicateWindow(size), DuplicateWindow(size)
    for offset, names in records:
        said = first.distance(offset, names)
        if offset >= start and second.distance(offset, names) != said:
            assert offset < start + size


def test_many_identities_are_told_apart_and_none_is_forgotten_too_early() -> None:
    window = DuplicateWindow(1000)
    salted = [hash((b"team:1", number)) for number in range(5000)]
    for offset, identity in enumerate(salted):
        assert window.distance(offset, [identity]) is None
    for offset, identity in enumerate(salted[4600:], 5000):
        assert window.distance(offset, [identity]) == 400


def test_what_it_remembers_does_not_grow_with_the_log() -> None:
    def held_after(windows: int) -> int:
        window = DuplicateWindow(500)
        tracemalloc.start()
        for offset in range(windows * 500):
            window.distance(offset, [hash((b"team:1", offset)), hash((b"x", offset))])
        found, _peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    assert held_after(21) < 2 * held_after(3)


def test_a_window_after_another_one_of_as_many_records_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    grown: list[int] = []
    grow = _Table._grow

    def noted(table: _Table) -> None:
        grown.append(table.base)
        grow(table)

    monkeypatch.setattr(_Table, "_grow", noted)
    window = DuplicateWindow(20_000)
    for offset in range(80_000):
        window.distance(offset, [hash((b"team:1", offset))])
    assert grown
    assert set(grown) == {0}


def test_after_a_busy_time_a_quiet_one_needs_little() -> None:
    busy = _Table(0)
    for offset in range(20_000):
        busy.swap(offset + 1, offset)
    quiet = _Table(20_000, busy.slots_for_as_many)
    assert quiet.slots_for_as_many == _Table(0).slots_for_as_many < busy.slots_for_as_many


def test_the_edge_of_the_window_belongs_to_it() -> None:
    window = DuplicateWindow(100)
    assert window.distance(0, [1]) is None
    assert window.distance(100, [1]) == 100
    assert window.distance(201, [1]) is None


def test_a_chain_of_repeats_stays_one_however_long() -> None:
    window = DuplicateWindow(10)
    assert [window.distance(offset, [1]) for offset in range(0, 50, 10)] == [None, 10, 10, 10, 10]


# --- what makes two records the same


def value(
    event_id: str = "own-1", timestamp: str = "2026-11-23T10:00:00.000000Z", title: str = "x", event_type: str = "task.created"
) -> bytes:
    return encode(UnifiedEvent("team:42", event_id, event_type, 42, 7, timestamp, {"taskId": 1, "title": title}))


@given(nearly_ours(), st.booleans())
def test_headers_that_were_looked_at_already_say_the_same(headers: Headers, own: bool) -> None:
    raw = value() if own else value(default_event_id(SOURCE))
    assert identities(b"team:42", raw, headers, usual_headers(headers)) == identities(b"team:42", raw, headers)


def same(one: list[int], other: list[int]) -> bool:
    return bool(set(one) & set(other))


BASE = identities(b"team:42", value(), headers_for(SOURCE))


def test_a_record_of_the_same_key_and_source_is_the_same_whatever_it_says() -> None:
    assert same(BASE, identities(b"team:42", value("own-2", title="y"), headers_for(SOURCE, b"00-1-2-01")))


@pytest.mark.parametrize(
    "other",
    [
        Source("task.updated", 2, 15, 1_795_428_000_000),
        Source("task.created", 3, 15, 1_795_428_000_000),
        Source("task.created", 2, 16, 1_795_428_000_000),
        Source("task.created", 2, 15, 1_795_428_000_001),
        Source("task.created", 21, 5, 1_795_428_000_000),
    ],
)
def test_a_record_of_another_source_with_another_id_is_another(other: Source) -> None:
    assert not same(BASE, identities(b"team:42", value("own-2"), headers_for(other)))


def test_a_record_of_another_key_is_another() -> None:
    assert not same(BASE, identities(b"user:42", value(), headers_for(SOURCE)))


def test_the_same_producers_id_with_the_same_time_and_data_is_the_same_from_wherever_it_comes() -> None:
    assert same(BASE, identities(b"team:42", value(), headers_for(Source("task.created", 0, 0, 5))))


@pytest.mark.parametrize("differs", [value(title="y"), value(timestamp="2026-11-23T10:00:01.000000Z"), value("own-2")])
def test_a_producers_id_with_another_time_or_other_data_is_another(differs: bytes) -> None:
    assert not same(BASE, identities(b"team:42", differs, headers_for(Source("task.created", 0, 0, 5))))


def test_data_is_compared_as_json_and_not_as_bytes() -> None:
    body = orjson.loads(value())
    body["data"] = dict(reversed(body["data"].items()))
    assert same(BASE, identities(b"team:42", orjson.dumps(body), headers_for(Source("task.created", 0, 0, 5))))


@pytest.mark.parametrize(("one", "other"), [(b"1", b"true"), (b"1", b"1.0"), (b"0", b"false")])
def test_values_that_python_calls_equal_are_other_data(one: bytes, other: bytes) -> None:
    def given(number: bytes, offset: int) -> list[int]:
        written = value().replace(b'"taskId":1', b'"x":' + number)
        return identities(b"team:42", written, headers_for(Source("task.created", 0, offset, 5)))

    assert not same(given(one, 1), given(other, 2))


def test_an_id_that_names_the_source_record_is_no_producers_own() -> None:
    default = value(default_event_id(SOURCE))
    assert len(identities(b"team:42", default, headers_for(SOURCE))) == 1
    assert len(BASE) == 2


def test_a_producer_may_give_the_id_of_another_record_as_its_own() -> None:
    stolen = value(default_event_id(SOURCE))
    assert len(identities(b"team:42", stolen, headers_for(Source("task.created", 0, 0, 5)))) == 2


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"\xff", b'{"eventId":{},"timestamp":[],"data":1}', b"[" * 5000])
def test_what_is_no_unified_record_has_its_source_alone(body: bytes) -> None:
    assert len(identities(b"team:42", body, headers_for(SOURCE))) == 1


def test_headers_are_told_by_their_names_and_not_by_their_order() -> None:
    turned: Headers = [*reversed(headers_for(SOURCE))]
    assert same(BASE, identities(b"team:42", value("own-2"), turned))


def test_a_header_without_a_value_is_read() -> None:
    headers: Headers = [(name, None) for name, _ in headers_for(SOURCE)]
    assert identities(b"team:42", value(), headers)
