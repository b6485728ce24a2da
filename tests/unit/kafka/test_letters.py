"""Dead letters read back: what they say, which repeat one another, and what a replay of one is."""

from __future__ import annotations

import orjson
import pytest

from agents.deadletter import dead_letter
from app.domain.decode import decode
from app.domain.errors import BadRecord, Code
from app.domain.events import Source
from app.domain.unified import default_event_id
from app.kafka.letters import (
    Headers,
    Letter,
    Original,
    faults_of,
    letter_of,
    named,
    original_of,
    trailed,
    without_envelope,
)
from app.kafka.record import Record

NOW = 1_795_428_000_000
SOURCE = Source("task.created", 3, 17, NOW)
GOOD = {"taskId": 1, "teamId": 42, "actorId": 7}


def letter_record(value: bytes | None, headers: Headers = (), key: bytes | None = b"k", offset: int = 0, extra: Headers = ()) -> Record:
    """What the agents write for a bad record at task.created-3-17."""
    bad = Record("task.created", 3, 17, NOW, 1, key, value, list(headers))
    out = dead_letter(bad, BadRecord(Code.WRONG_TYPE, "taskId is no integer", "taskId"), NOW + offset)
    return Record(out.topic, 1, offset, NOW + offset, 1, out.key, out.value, [*out.headers, *extra])


def the_letter(record: Record) -> Letter:
    found = letter_of(record)
    assert found is not None
    return found


def original(value: bytes | None, headers: Headers = ()) -> Original:
    return Original(b"k", value, list(headers))


def test_a_letter_says_what_and_whence() -> None:
    letter = the_letter(letter_record(b"[]", offset=5))
    assert (letter.name, letter.place, letter.code, letter.size) == ("task.created-3-17", "task.created.deadletter-1-5", "wrong-type", 2)
    assert not letter.withheld


def test_repeats_have_one_identity_and_another_record_at_the_same_place_has_not() -> None:
    first, again, other = (the_letter(letter_record(value, offset=n)) for n, value in enumerate((b"x", b"x", b"y")))
    assert first.identity == again.identity != other.identity


@pytest.mark.parametrize(
    "headers", [[], [("error", b"x")], [("error", b"x"), ("source-topic", b"t")], [("source-offset", b"1")] * 6], ids=range(4)
)
def test_what_somebody_else_wrote_is_no_letter(headers: Headers) -> None:
    assert letter_of(Record("task.created.deadletter", 0, 0, NOW, 1, None, b"", list(headers))) is None


def test_numbers_that_are_none_are_no_letter() -> None:
    record = letter_record(b"x")
    headers = [(name, b"?" if name == "source-offset" else value) for name, value in record.headers]
    assert letter_of(Record(record.topic, 0, 0, NOW, 1, None, b"", headers)) is None


def test_the_record_comes_back_as_it_was_whatever_its_headers_are_called() -> None:
    headers = [("error", b"mine"), ("source-topic", b"mine"), ("x", None)]
    assert original_of(letter_record(b"v", headers)) == Original(b"k", b"v", headers)


def test_a_value_that_the_cluster_refused_is_told() -> None:
    record = letter_record(None, [("h", b"1")], extra=[("original-size", b"700000")])
    letter = the_letter(record)
    assert (letter.withheld, letter.size) == (True, 700_000)
    assert original_of(record).headers == [("h", b"1")]


class TestNamed:
    def test_an_object_without_id_and_time_gets_those_that_its_event_would_have_had(self) -> None:
        ready = named(original(orjson.dumps(GOOD)), SOURCE)
        event = decode(ready.value, ready.headers, Source("task.created", 0, 99, NOW + 10**6)).event
        assert event.event_id == default_event_id(SOURCE) == f"task.created-3-17-{NOW}"
        assert event.timestamp == "2026-11-23T10:00:00.000000Z"

    def test_the_rest_of_the_value_stays_byte_for_byte(self) -> None:
        value = b' { "taskId" : 1.0,\n "note":"\\u00e4" } \n'
        ready = named(original(value), SOURCE).value or b""
        assert ready.startswith(b' { "taskId" : 1.0,\n "note":"\\u00e4"')
        assert ready.endswith(b'"timestamp":"2026-11-23T10:00:00.000000Z"}')

    def test_an_empty_object_stays_an_object(self) -> None:
        assert set(orjson.loads(named(original(b"{}"), SOURCE).value or b"")) == {"eventId", "timestamp"}

    def test_what_the_producer_gave_stays(self) -> None:
        value = orjson.dumps(GOOD | {"eventId": "mine", "timestamp": "2026-11-23T09:00:00Z"})
        assert named(original(value), SOURCE).value == value

    @pytest.mark.parametrize("given", [{"eventId": None}, {"timestamp": None}, {"timestamp": ""}])
    def test_null_is_none_given(self, given: dict[str, object]) -> None:
        body = orjson.loads(named(original(orjson.dumps(GOOD | given)), SOURCE).value or b"")
        assert body == GOOD | {"eventId": default_event_id(SOURCE), "timestamp": "2026-11-23T10:00:00.000000Z"}

    @pytest.mark.parametrize("value", [None, b"", b"[1]", b"\xff", b"{", b"NaN", b'"text"'])
    def test_what_is_no_object_stays_as_it_is(self, value: bytes | None) -> None:
        assert named(original(value), SOURCE).value == value

    def test_a_cloud_event_names_itself(self) -> None:
        value = orjson.dumps(GOOD)
        assert named(original(value, [("ce_specversion", b"1.0")]), SOURCE).value == value
        assert named(original(value, [("content-type", b"application/cloudevents-batch+json")]), SOURCE).value == value

    def test_a_unified_record_has_an_id(self) -> None:
        assert named(original(b"{}"), Source("team.events", 0, 0, NOW)).value == b"{}"


def test_without_its_envelope_the_value_is_the_event() -> None:
    bad = original(orjson.dumps(GOOD), [("ce_specversion", b"0.3"), ("Content-Type", b"x"), ("traceparent", b"t")])
    assert faults_of(bad, SOURCE)
    plain = without_envelope(bad)
    assert plain.headers == [("traceparent", b"t")]
    assert faults_of(plain, SOURCE) == []


def test_every_fault_is_told() -> None:
    faults = faults_of(original(b'{"taskId":"1","teamId":true}'), SOURCE)
    assert {fault.field for fault in faults} >= {"taskId", "teamId", "actorId"}


def test_a_replay_says_of_which_letter_and_an_older_trail_makes_room() -> None:
    letter = the_letter(letter_record(b"x", offset=9))
    ready = trailed(original(b"x", [("h", b"1"), ("replayed-from", b"old"), ("replayed-at", b"old")]), letter, "2026-11-23T10:00:00Z")
    assert ready.headers == [("h", b"1"), ("replayed-from", b"task.created.deadletter-1-9"), ("replayed-at", b"2026-11-23T10:00:00Z")]
