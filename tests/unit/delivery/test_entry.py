"""An entry: what clients get of one record."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import positions
from app.domain.events import Source, UnifiedEvent, encode
from app.domain.recent_records import RecentRecords
from app.domain.topics import SOURCE_TOPICS
from app.domain.unified import headers_for, usual_headers
from app.kafka.record import Record
from delivery.entry import MILLIS_DIGITS, Entry, entry_at, entry_of, text_frame, type_of
from delivery.ring import Ring
from tests.unit.domain.test_usual_task import nearly_ours

SOURCE = Source("task.created", 2, 15, 1_795_428_000_000)
printable = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=200)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=6)


def written(event_id: str = "e-1", event_type: str = "task.created", data: dict[str, Any] | None = None) -> bytes:
    event = UnifiedEvent(
        "team:42", event_id, event_type, 42, 7, "2026-11-23T10:00:00.000000Z", {"taskId": 1, "teamId": 42} if data is None else data
    )
    return encode(event)


def entry(value: bytes | None = None, offset: int = 7) -> Entry:
    return entry_at("00000000000000ab", offset, b"team:42", written() if value is None else value, headers_for(SOURCE), SOURCE.timestamp)


# --- frames


def unframed(frame: bytes) -> bytes:
    """The payload of one whole, final, unmasked text frame, read as RFC 6455, section 5.2 has it."""
    assert frame[0] == 0b1000_0001, "FIN, no extension bits, opcode text"
    assert frame[1] < 128, "a server does not mask"
    if frame[1] < 126:
        length, rest = frame[1], frame[2:]
    elif frame[1] == 126:
        length, rest = int.from_bytes(frame[2:4], "big"), frame[4:]
        assert length > 125, "the shortest form is a must"
    else:
        length, rest = int.from_bytes(frame[2:10], "big"), frame[10:]
        assert length > 65_535, "the shortest form is a must"
    assert length == len(rest)
    return rest


@pytest.mark.parametrize(
    ("size", "header"),
    [
        (0, b"\x81\x00"),
        (1, b"\x81\x01"),
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
    ],
)
def test_a_frame_has_the_shortest_length_that_fits(size: int, header: bytes) -> None:
    frame = text_frame(b"x" * size)
    assert frame == header + b"x" * size
    assert unframed(frame) == b"x" * size


@given(st.binary(max_size=300))
def test_what_is_framed_comes_out_again(payload: bytes) -> None:
    assert unframed(text_frame(payload)) == payload


def test_an_entry_is_framed_once() -> None:
    one = entry()
    one.finish(False, None)
    assert one.frame is one.frame
    assert unframed(one.frame) == one.json


def test_what_is_settled_anew_is_framed_anew() -> None:
    one = entry()
    one.finish(False, None)
    before = one.frame
    one.finish(True, None)
    assert one.frame != before
    assert unframed(one.frame) == one.json


# --- types


@given(printable, st.sampled_from([*SOURCE_TOPICS, "_user.membership", "task.archived"]))
@example('"', "task.created")
@example("\\", "task.created")
@example('a\\"', "task.created")
@example('","type":"_user.membership', "task.created")
@example('\\","type":"_user.membership', "task.created")
def test_the_type_is_what_json_says_whatever_the_id(event_id: str, event_type: str) -> None:
    assert type_of(written(event_id, event_type)) == event_type


@given(values)
def test_the_type_of_any_json_is_what_json_says(value: Any) -> None:
    found = value.get("type") if isinstance(value, dict) else None
    assert type_of(orjson.dumps(value)) == (found if isinstance(found, str) else "")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'{"type":"task.created","eventId":"e"}', "task.created"),
        (b'{"eventId":"e","teamId":1,"type":"task.created"}', "task.created"),
        (b'{"eventId": "e", "type": "task.created"}', "task.created"),
        (b' {"eventId":"e","type":"task.created"}', "task.created"),
        (b'{"eventId":"","type":"task.created"}', "task.created"),
        (b'{"eventId":5,"type":"task.created"}', "task.created"),
        (b'{"eventId":"e","type":5}', ""),
        (b'{"eventId":"e","type":null}', ""),
        (b'{"eventId":"e"}', ""),
        (b'{"eventId":"', ""),
        (b'{"eventId":"e', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_another_writers_order_and_what_is_no_record_are_read_too(value: bytes, expected: str) -> None:
    assert type_of(value) == expected


@pytest.mark.parametrize("event_type", ["\\u005fuser.membership", "\\u0074ask.created", "t\\u00e4sk", "täsk", 'a\\"b'])
def test_a_type_that_another_writer_escaped_is_what_json_says(event_type: str) -> None:
    value = f'{{"eventId":"e","type":"{event_type}"}}'.encode()
    assert type_of(value) == orjson.loads(value)["type"]


# --- what clients get


@given(st.dictionaries(st.text(), values, max_size=4), st.none() | st.dictionaries(st.text(), values, max_size=4), st.booleans())
def test_clients_get_the_unified_value_its_position_and_the_state_where_it_carries_one(
    data: dict[str, Any], state: dict[str, Any] | None, carries_state: bool
) -> None:
    one = entry(written(data=data))
    one.finish(carries_state, state)
    expected = {**orjson.loads(one.value), "position": one.position}
    if carries_state:
        expected["state"] = state
    assert orjson.loads(one.json) == expected
    assert list(orjson.loads(one.json))[:6] == ["eventId", "type", "teamId", "actorId", "timestamp", "data"]


@pytest.mark.parametrize("end", [b" ", b"\n", b"\r\n\t "])
def test_white_space_behind_another_writers_json_does_no_harm(end: bytes) -> None:
    one = entry(written() + end)
    assert one.record().event.team_id == 42
    one.finish(True, None)
    assert orjson.loads(one.json)["state"] is None


def test_a_state_is_null_where_there_is_none_and_absent_where_none_is_carried() -> None:
    one = entry()
    one.finish(True, None)
    assert orjson.loads(one.json)["state"] is None
    one.finish(False, {"taskId": 1})
    assert "state" not in orjson.loads(one.json)


def test_nothing_is_delivered_before_a_view_has_said_what_it_carries() -> None:
    one = entry()
    assert not one.finished
    with pytest.raises(AssertionError):
        _ = one.json
    one.finish(False, None)
    assert one.finished


def test_the_position_is_that_of_the_record() -> None:
    assert entry().position == positions.position("00000000000000ab", "team:42", 7, headers_for(SOURCE))


@pytest.mark.parametrize("trace", [None, b"00-trace-01"])
def test_its_record_is_the_one_that_others_have_read(trace: bytes | None) -> None:
    recent = RecentRecords()
    theirs = recent.read(written(), headers_for(SOURCE, trace), b"team:42")
    one = entry_at("0" * 16, 7, b"team:42", written(), headers_for(SOURCE, trace), 0)
    assert one.shared(recent) is theirs
    assert theirs.unified == one.record()


def test_the_record_of_another_writers_entry_is_read_as_ever() -> None:
    one = entry_at("0" * 16, 7, b"team:42", written(), headers_for(SOURCE)[::-1], 0)
    assert one.shared(RecentRecords()).unified == one.record()


@given(nearly_ours())
def test_an_entry_of_any_headers_is_the_one_that_they_say(headers: list[tuple[str, bytes | None]]) -> None:
    record: Any = Record("team.events", 0, 7, 99, 1, b"team:42", written(), headers)
    one = entry_of("00000000000000ab", record)
    assert one is not None
    known = [(name, value or b"") for name, value in headers]
    assert list(one.headers) == (known if usual_headers(headers) is None else known[:5])
    place = [value for name, value in known if name == "source-timestamp"]
    place = [known[3][1]] if len(known) > 3 and known[3][0] == "source-timestamp" else place
    read = bool(place) and place[0].isdigit() and len(place[0]) < MILLIS_DIGITS
    assert one.timestamp == (int(place[0]) if read else 99)
    assert one.position == positions.position("00000000000000ab", "team:42", 7, one.headers)


def test_a_key_of_any_bytes_is_a_key() -> None:
    assert entry_at("0" * 16, 0, b"\xff\x00", b"{}", [], 0).key == "\xff\x00"


@pytest.mark.parametrize(
    "headers",
    [
        headers_for(SOURCE),
        [*headers_for(SOURCE), ("x", b"y")],
        [*headers_for(SOURCE), ("v", b"2")],
        headers_for(SOURCE)[::-1],
        headers_for(SOURCE)[:4],
        [("source-topic", b"a"), *headers_for(SOURCE)],
        [],
    ],
)
def test_headers_are_kept_whoever_wrote_them(headers: list[tuple[str, bytes]]) -> None:
    one = entry_at("0" * 16, 0, b"team:42", b"{}", headers, 0)
    assert list(one.headers) == headers


def test_the_trace_context_that_follows_our_headers_is_not_kept() -> None:
    one = entry_at("0" * 16, 0, b"team:42", b"{}", headers_for(SOURCE, b"00-trace-01"), 0)
    assert list(one.headers) == headers_for(SOURCE)


def test_the_size_is_about_the_memory_that_it_takes_in_a_ring() -> None:
    many, value = 2000, written(data={"taskId": 1, "teamId": 42, "title": "x" * 300})
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        ring = Ring(10**9, 0)
        for offset in range(many):
            # As aiokafka reads them: nothing is shared with another record.
            source = Source(SOURCE.topic, SOURCE.partition, offset, SOURCE.timestamp)
            headers = [(name, bytes(bytearray(found))) for name, found in headers_for(source)]
            one = entry_at("0" * 16, offset, b"team:%d" % (offset % 50), bytes(bytearray(value)), headers, SOURCE.timestamp + offset)
            one.finish(True, {"taskId": 1})
            ring.append(one)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert ring.bytes * 0.7 < taken < ring.bytes


def test_a_full_collection_has_one_object_an_entry_to_look_at() -> None:
    gc.collect()
    before = len(gc.get_objects())
    many = [entry(offset=offset) for offset in range(1000)]
    recent = RecentRecords()
    for one in many:
        one.finish(False, None)
        one.record()
        one.shared(recent)
    del recent  # what it holds is not many, and no entry's
    gc.collect()
    assert len(gc.get_objects()) - before < 1.1 * len(many)
