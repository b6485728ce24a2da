"""Recent records: what they give is what parsing gives, and they are few."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.decode import decode
from app.domain.errors import BadRecord, Code
from app.domain.events import Source, UnifiedEvent, encode
from app.domain.later_event import fold
from app.domain.recent_records import LARGEST_BYTES, LARGEST_ROW_BYTES, RECORDS, VALUES_BYTES, RecentRecords, SharedRecord
from app.domain.unified import UnifiedRecord, headers_for, parse, usual_headers
from tests.unit.domain.test_decode_values import GOOD, SOURCES
from tests.unit.domain.test_usual_task import EVENT, SOURCE, nearly_events, nearly_ours, outcome

KEY = b"team:42"


def written(number: int = 0, size: int = 0) -> bytes:
    data: dict[str, Any] = {**EVENT["data"], "title": "x" * size}  # type: ignore[dict-item]
    return orjson.dumps({**EVENT, "eventId": f"e{number}", "data": data})


def source_at(offset: int) -> Source:
    return SOURCE._replace(offset=offset)


def test_a_record_is_parsed_once_for_all_who_read_it() -> None:
    recent = RecentRecords()
    one = recent.read(written(), headers_for(SOURCE), KEY)
    assert one.unified == parse(written(), headers_for(SOURCE), KEY)
    assert recent.read(bytes(bytearray(written())), tuple(headers_for(SOURCE, b"00-trace-01")), KEY) is one


@pytest.mark.parametrize("headers", [headers_for(source_at(16)), [*headers_for(SOURCE)[:4], ("v", b"2")], headers_for(SOURCE)[::-1], []])
def test_equal_bytes_with_other_headers_are_another_record(headers: Any) -> None:
    recent = RecentRecords()
    one = recent.read(written(), headers_for(SOURCE), KEY)
    again = outcome(lambda: recent.read(written(), headers, KEY).unified)
    assert again == outcome(lambda: parse(written(), headers, KEY))
    assert again is not one.unified


def test_equal_bytes_with_another_key_are_another_record() -> None:
    recent = RecentRecords()
    recent.read(written(), headers_for(SOURCE), KEY)
    for key in (b"team:7", None):
        with pytest.raises(BadRecord) as refused:
            recent.read(written(), headers_for(SOURCE), key)
        assert refused.value.code == Code.TYPE_MISMATCH


@given(st.lists(st.tuples(nearly_events(), nearly_ours(), st.sampled_from([KEY, b"user:7"])), max_size=4))
def test_whatever_is_read_is_what_parsing_gives(records: list[tuple[dict[str, Any], Any, bytes]]) -> None:
    recent = RecentRecords()
    for value, headers, key in records + records:
        raw = json.dumps(value).encode()
        assert outcome(lambda: recent.read(raw, headers, key).unified) == outcome(lambda: parse(raw, headers, key))  # noqa: B023


@given(GOOD, SOURCES)
def test_what_was_decoded_may_be_noted_as_what_is_read_back(value: dict[str, Any], source: Source) -> None:
    """Those who make a record note it for those who read it: to the last byte it is the same."""
    try:
        event = decode(json.dumps(value).encode(), [], source).event
    except BadRecord:
        return
    raw, headers = encode(event), headers_for(source)
    back = parse(raw, headers, event.key.encode())
    assert back == (event, source)
    assert encode(back.event) == raw
    assert usual_headers(headers) is not None


def test_they_are_bounded_in_number_and_the_newest_stay() -> None:
    recent = RecentRecords()
    kept = [recent.read(written(number), headers_for(SOURCE), KEY) for number in range(2 * RECORDS)]
    assert RECORDS // 2 <= len(recent) <= RECORDS
    for number in range(2 * RECORDS - RECORDS // 2, 2 * RECORDS):
        assert recent.read(written(number), headers_for(SOURCE), KEY) is kept[number]


def test_they_are_bounded_in_bytes() -> None:
    recent = RecentRecords()
    for number in range(1000):
        recent.read(written(number, LARGEST_BYTES - 1000), headers_for(SOURCE), KEY)
        assert len(recent) * (LARGEST_BYTES - 1000) <= VALUES_BYTES
    assert len(recent) * LARGEST_BYTES > VALUES_BYTES // 3


def test_large_values_are_not_kept() -> None:
    recent = RecentRecords()
    one = recent.read(written(size=LARGEST_BYTES), headers_for(SOURCE), KEY)
    assert len(recent) == 0
    assert recent.read(written(size=LARGEST_BYTES), headers_for(SOURCE), KEY).unified == one.unified


def test_a_record_without_value_is_refused_as_ever() -> None:
    with pytest.raises(BadRecord) as refused:
        RecentRecords().read(None, headers_for(SOURCE), KEY)
    assert refused.value.code == Code.NULL_VALUE


def test_what_was_folded_is_folded_again_onto_another_row_only() -> None:
    made = UnifiedRecord(UnifiedEvent(**{**_MADE, "type": "task.created"}), SOURCE)
    shared = SharedRecord(made)
    first = shared.folded(None)
    assert first is not None
    assert shared.folded(None) is first
    assert shared.folded(None) == first  # given away, and folded anew
    later = SharedRecord(UnifiedRecord(UnifiedEvent(**{**_MADE, "timestamp": "2026-11-23T10:00:01.000000Z"}), SOURCE))
    onto = later.folded(first.row)
    assert onto is not None
    other = fold(*later.unified, onto.row)
    assert later.folded(onto.row) == other
    assert later.folded(first.row) == onto


def test_large_rows_are_not_kept() -> None:
    shared = SharedRecord(
        UnifiedRecord(UnifiedEvent(**{**_MADE, "data": {"taskId": 5, "teamId": 42, "x": "x" * LARGEST_ROW_BYTES}}), SOURCE)
    )
    first = shared.folded(None)
    assert first is not None
    assert shared.folded(None) == first
    assert shared.folded(None) is not first


_MADE: dict[str, Any] = {
    "key": "team:42",
    "event_id": "e",
    "type": "task.created",
    "team_id": 42,
    "actor_id": 7,
    "timestamp": "2026-11-23T10:00:00.000000Z",
    "data": {"taskId": 5, "teamId": 42},
}
