from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.decode import Decoded, decode
from app.domain.errors import BadRecord, Code
from app.domain.events import Source

SOURCE = Source("task.updated", 2, 15, 1_795_428_000_000)
TASK: dict[str, Any] = {"taskId": 5, "teamId": 42, "actorId": 7, "timestamp": "2026-11-23T09:00:00Z", "payload": {"title": "x"}}
ENVELOPE: dict[str, Any] = {"specversion": "1.0", "id": "e-1", "source": "/tasks", "type": "task.updated", "data": TASK}
STRUCTURED = [("content-type", b"application/cloudevents+json")]
BINARY = [("ce_specversion", b"1.0"), ("ce_id", b"e-1"), ("ce_source", b"/tasks"), ("ce_type", b"task.updated")]
Headers = list[tuple[str, bytes | None]]


def structured(**changed: Any) -> Decoded:
    headers: Headers = [*STRUCTURED]
    return decode(orjson.dumps({**ENVELOPE, **changed}), headers, SOURCE)


def binary(headers: list[tuple[str, bytes]], value: dict[str, Any] = TASK) -> Decoded:
    return decode(orjson.dumps(value), [*headers], SOURCE)


def replaced(name: str, value: bytes | None) -> list[tuple[str, bytes]]:
    kept = [header for header in BINARY if header[0] != name]
    return kept if value is None else [*kept, (name, value)]


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


def test_data_of_a_structured_event_is_the_value() -> None:
    event = structured().event
    assert (event.key, event.type, event.team_id, event.actor_id) == ("team:42", "task.updated", 42, 7)
    assert event.data == {"taskId": 5, "teamId": 42, "title": "x"}


def test_value_of_a_binary_event_is_the_data() -> None:
    assert binary(BINARY).event == structured().event


def test_event_id_is_source_and_id() -> None:
    assert structured().event.event_id == "/tasks#e-1"
    assert binary(BINARY).event.event_id == "/tasks#e-1"


def test_the_producers_own_event_id_wins() -> None:
    assert structured(data={**TASK, "eventId": "own"}).event.event_id == "own"


def test_an_unfit_cloudevents_id_does_not_matter_beside_the_producers_own() -> None:
    assert structured(id="ü", data={**TASK, "eventId": "own"}).event.event_id == "own"


@pytest.mark.parametrize("event_id", ["x" * 200, "ü", "a\nb"])
def test_source_and_id_have_the_bounds_of_every_event_id(event_id: str) -> None:
    with pytest.raises(BadRecord) as refused:
        structured(id=event_id)
    assert refused.value.code == Code.WRONG_TYPE


@pytest.mark.parametrize(
    "content_type",
    [
        b"application/cloudevents+json; charset=UTF-8",
        b"Application/CloudEvents+JSON;charset=utf-8",
        b" application/cloudevents+json ",
    ],
)
def test_content_type_may_have_parameters_and_any_case(content_type: bytes) -> None:
    headers: Headers = [("Content-Type", content_type)]
    assert decode(orjson.dumps(ENVELOPE), headers, SOURCE).event.event_id == "/tasks#e-1"


def test_header_names_have_any_case() -> None:
    assert binary([(name.upper(), value) for name, value in BINARY]).event.event_id == "/tasks#e-1"


def test_a_binary_event_may_say_the_content_type_of_its_data() -> None:
    assert binary([*BINARY, ("content-type", b"application/json")]).event.event_id == "/tasks#e-1"


def test_plain_json_with_a_content_type_is_no_cloudevent() -> None:
    headers: Headers = [("content-type", b"application/json"), ("other", None), ("content-type", None)]
    assert decode(orjson.dumps(TASK), headers, SOURCE).event.event_id == "task.updated-2-15-1795428000000"


@pytest.mark.parametrize("event_type", ["task.updated", "org.example.task.updated"])
def test_type_equals_the_topic_or_ends_in_it(event_type: str) -> None:
    assert structured(type=event_type).event.type == "task.updated"
    assert binary(replaced("ce_type", event_type.encode())).event.type == "task.updated"


@pytest.mark.parametrize("event_type", ["task.created", "mytask.updated", "task.updated.v2", "updated"])
def test_any_other_type_is_a_mismatch(event_type: str) -> None:
    with pytest.raises(BadRecord) as refused:
        structured(type=event_type)
    assert refused.value.code == Code.TYPE_MISMATCH
    with pytest.raises(BadRecord) as refused:
        binary(replaced("ce_type", event_type.encode()))
    assert refused.value.code == Code.TYPE_MISMATCH


@pytest.mark.parametrize(
    "content_type", [b"application/cloudevents-batch+json", b"application/cloudevents+avro", b"application/cloudevents"]
)
@pytest.mark.parametrize("value", [b"[]", b"\xffno json"])
def test_batches_and_other_formats_are_bad_whatever_they_hold(content_type: bytes, value: bytes) -> None:
    headers: Headers = [("content-type", content_type)]
    with pytest.raises(BadRecord) as refused:
        decode(value, headers, SOURCE)
    assert refused.value.code == Code.BAD_CLOUDEVENT


@pytest.mark.parametrize(
    "changed",
    [
        {"specversion": "0.3"},
        {"specversion": None},
        {"specversion": 1.0},
        {"id": None},
        {"id": ""},
        {"id": 5},
        {"source": None},
        {"source": ""},
        {"type": None},
        {"type": ["task.updated"]},
        {"data": None},
        {"data_base64": "e30="},
        {"data_base64": "e30=", "data": None},
    ],
)
def test_a_structured_event_without_what_it_needs_is_bad(changed: dict[str, Any]) -> None:
    with pytest.raises(BadRecord) as refused:
        structured(**changed)
    assert refused.value.code == Code.BAD_CLOUDEVENT


@pytest.mark.parametrize("name", ["specversion", "id", "source", "type", "data"])
def test_a_structured_event_with_a_member_missing_is_bad(name: str) -> None:
    headers: Headers = [*STRUCTURED]
    with pytest.raises(BadRecord) as refused:
        decode(orjson.dumps(without(ENVELOPE, name)), headers, SOURCE)
    assert (refused.value.code, refused.value.field) == (Code.BAD_CLOUDEVENT, name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_specversion", b"0.3"),
        ("ce_specversion", b""),
        ("ce_id", None),
        ("ce_source", None),
        ("ce_type", None),
        ("ce_id", b"\xff"),
        ("ce_id", b""),
    ],
)
def test_a_binary_event_without_what_it_needs_is_bad(name: str, value: bytes | None) -> None:
    with pytest.raises(BadRecord) as refused:
        binary(replaced(name, value))
    assert refused.value.code == Code.BAD_CLOUDEVENT


def test_a_null_specversion_header_is_bad_and_not_plain() -> None:
    headers: Headers = [("ce_specversion", None)]
    with pytest.raises(BadRecord) as refused:
        decode(orjson.dumps(TASK), headers, SOURCE)
    assert refused.value.code == Code.BAD_CLOUDEVENT


@pytest.mark.parametrize("data", [[], "text", 5, True])
def test_data_that_is_no_object_is_refused_as_such(data: object) -> None:
    with pytest.raises(BadRecord) as refused:
        structured(data=data)
    assert (refused.value.code, refused.value.field) == (Code.NOT_AN_OBJECT, "data")


@pytest.mark.parametrize("missing", [{}, {"timestamp": None}, {"timestamp": ""}])
def test_the_envelopes_time_stands_in_for_a_missing_timestamp(missing: dict[str, Any]) -> None:
    data = {**without(TASK, "timestamp"), **missing}
    assert structured(data=data, time="2026-11-23T08:00:00+01:00").event.timestamp == "2026-11-23T07:00:00.000000Z"
    assert binary([*BINARY, ("ce_time", b"2026-11-23T07:00:00Z")], data).event.timestamp == "2026-11-23T07:00:00.000000Z"
    assert structured(data=data).event.timestamp == "2026-11-23T10:00:00.000000Z"


def test_the_timestamp_wins_over_the_envelopes_time() -> None:
    assert structured(time="nonsense").event.timestamp == "2026-11-23T09:00:00.000000Z"


@pytest.mark.parametrize("time", ["nonsense", 5])
def test_a_bad_time_that_stands_in_is_a_bad_timestamp(time: object) -> None:
    with pytest.raises(BadRecord) as refused:
        structured(data=without(TASK, "timestamp"), time=time)
    assert refused.value.code == Code.BAD_TIMESTAMP


def test_the_rules_of_the_topic_hold_for_the_data() -> None:
    with pytest.raises(BadRecord) as refused:
        structured(data=without(TASK, "taskId"))
    assert (refused.value.code, refused.value.field) == (Code.MISSING_FIELD, "taskId")


def test_the_event_type_inside_is_checked_too() -> None:
    with pytest.raises(BadRecord) as refused:
        structured(data={**TASK, "eventType": "task.created"})
    assert refused.value.code == Code.TYPE_MISMATCH


def test_a_binary_event_without_value_has_no_value() -> None:
    headers: Headers = [*BINARY]
    with pytest.raises(BadRecord) as refused:
        decode(None, headers, SOURCE)
    assert refused.value.code == Code.NULL_VALUE
