from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.decode import decode
from app.domain.errors import BadRecord, Code
from app.domain.events import Source, UnifiedEvent, encode
from app.domain.topics import SOURCE_TOPICS
from app.domain.unified import UnifiedRecord, default_event_id, headers_for, parse, traceparent_of

SOURCE = Source("task.updated", 2, 15, 1_795_428_000_000)
VALUE: dict[str, Any] = {
    "eventId": "e-1",
    "type": "task.updated",
    "teamId": 42,
    "actorId": 7,
    "timestamp": "2026-11-23T10:00:00.123456Z",
    "data": {"taskId": 5, "teamId": 42, "creatorId": 7, "assigneeId": None, "title": "x"},
}
PERSONAL = {**VALUE, "teamId": None, "data": {"taskId": 5, "teamId": None, "creatorId": 7}}
Headers = list[tuple[str, bytes | None]]


def read(value: dict[str, Any], key: bytes | None = b"team:42", headers: Headers | None = None) -> UnifiedRecord:
    return parse(orjson.dumps(value), [*headers_for(SOURCE)] if headers is None else headers, key)


def refusal(value: dict[str, Any], key: bytes | None = b"team:42", headers: Headers | None = None) -> tuple[Code, str | None]:
    with pytest.raises(BadRecord) as refused:
        read(value, key, headers)
    return refused.value.code, refused.value.field


def test_headers_name_the_source_and_the_format() -> None:
    assert headers_for(SOURCE) == [
        ("source-topic", b"task.updated"),
        ("source-partition", b"2"),
        ("source-offset", b"15"),
        ("source-timestamp", b"1795428000000"),
        ("v", b"1"),
    ]


def test_traceparent_goes_along_if_the_source_had_one() -> None:
    assert headers_for(SOURCE, b"00-1-2-01")[-1] == ("traceparent", b"00-1-2-01")
    assert traceparent_of([("x", b"1"), ("Traceparent", b"00-1-2-01")]) == b"00-1-2-01"
    assert traceparent_of([("x", b"1")]) is None
    assert "traceparent" not in dict(headers_for(SOURCE, None))


def test_a_record_is_read_back() -> None:
    assert read(VALUE) == UnifiedRecord(
        UnifiedEvent("team:42", "e-1", "task.updated", 42, 7, "2026-11-23T10:00:00.123456Z", VALUE["data"]),
        SOURCE,
    )


def test_a_personal_record_is_read_back() -> None:
    assert read(PERSONAL, b"user:7").event.team_id is None


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_what_decode_made_is_read_back(topic: str) -> None:
    source = Source(topic, 0, 1, 2)
    value = {"taskId": 1, "teamId": 2, "actorId": 3, "userId": 4, "role": "x", "ownerId": 5, "payload": {"unknown": [{}]}}
    event = decode(orjson.dumps(value), [], source).event
    assert parse(encode(event), [*headers_for(source)], event.key.encode()) == UnifiedRecord(event, source)


def test_unknown_members_and_headers_are_taken() -> None:
    headers: Headers = [("new", None), *headers_for(SOURCE), ("traceparent", b"x")]
    newer = {**VALUE, "new": 1, "data": {**VALUE["data"], **{f"x{number}": {} for number in range(200)}}}
    assert read(newer, headers=headers).event.data == newer["data"]


@pytest.mark.parametrize(("key", "team"), [(b"team:42", 42), (b"user:9", 42), (b"user:9", None)])
def test_other_types_are_taken_with_any_data(key: bytes, team: int | None) -> None:
    event = read({**VALUE, "type": "_user.membership", "teamId": team, "data": {"kind": "added"}}, key).event
    assert (event.key, event.type, event.data) == (key.decode(), "_user.membership", {"kind": "added"})


def test_whether_the_producer_gave_the_id_shows() -> None:
    assert read(VALUE).own_event_id
    assert not read({**VALUE, "eventId": default_event_id(SOURCE)}).own_event_id
    assert default_event_id(SOURCE) == "task.updated-2-15-1795428000000"


def test_a_record_without_value_does_not_parse() -> None:
    with pytest.raises(BadRecord) as refused:
        parse(None, [*headers_for(SOURCE)], b"team:42")
    assert refused.value.code == Code.NULL_VALUE


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", Code.NOT_JSON),
        (b"[]", Code.NOT_AN_OBJECT),
        (b"\xff", Code.NOT_UTF8),
        (b'{"a":' * 40 + b"1" + b"}" * 40, Code.TOO_DEEP),
    ],
)
def test_a_value_that_is_no_object_does_not_parse(value: bytes, code: Code) -> None:
    with pytest.raises(BadRecord) as refused:
        parse(value, [*headers_for(SOURCE)], b"team:42")
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"eventId": None}, (Code.WRONG_TYPE, "eventId")),
        ({"type": None}, (Code.WRONG_TYPE, "type")),
        ({"type": 5}, (Code.WRONG_TYPE, "type")),
        ({"teamId": "42"}, (Code.WRONG_TYPE, "teamId")),
        ({"teamId": True}, (Code.WRONG_TYPE, "teamId")),
        ({"actorId": 0}, (Code.WRONG_TYPE, "actorId")),
        ({"actorId": None}, (Code.MISSING_FIELD, "actorId")),
        ({"timestamp": None}, (Code.BAD_TIMESTAMP, "timestamp")),
        ({"timestamp": "2026-11-23T10:00:00Z"}, (Code.BAD_TIMESTAMP, "timestamp")),
        ({"timestamp": "9999"}, (Code.BAD_TIMESTAMP, "timestamp")),
        ({"data": None}, (Code.WRONG_TYPE, "data")),
        ({"data": []}, (Code.WRONG_TYPE, "data")),
        ({"data": {**VALUE["data"], "taskId": None}}, (Code.WRONG_TYPE, "data.taskId")),
        ({"data": {**VALUE["data"], "taskId": 1.0}}, (Code.WRONG_TYPE, "data.taskId")),
        ({"data": {**VALUE["data"], "creatorId": "7"}}, (Code.WRONG_TYPE, "data.creatorId")),
        ({"data": {**VALUE["data"], "assigneeId": 0}}, (Code.WRONG_TYPE, "data.assigneeId")),
        ({"data": {**VALUE["data"], "completed": None}}, (Code.WRONG_TYPE, "data.completed")),
        ({"data": {**VALUE["data"], "teamId": 43}}, (Code.TYPE_MISMATCH, "data.teamId")),
    ],
)
def test_a_value_that_the_fold_could_not_use_does_not_parse(changed: dict[str, Any], fault: tuple[Code, str]) -> None:
    assert refusal({**VALUE, **changed}) == fault


@pytest.mark.parametrize("key", [None, b"", b"team:43", b"user:7", b"team:042", b"team:42\n", b"\xff"])
def test_a_key_of_someone_else_does_not_parse(key: bytes | None) -> None:
    assert refusal(VALUE, key) == (Code.TYPE_MISMATCH, "key")


@pytest.mark.parametrize("key", [b"user:8", b"team:42", b"team:None"])
def test_a_personal_record_reaches_its_creator_alone(key: bytes) -> None:
    assert refusal(PERSONAL, key) == (Code.TYPE_MISMATCH, "key")


@pytest.mark.parametrize("key", [None, b"", b"42", b"team:43", b"team:", b"user:0", b"user:x"])
def test_other_types_need_a_key_too(key: bytes | None) -> None:
    assert refusal({**VALUE, "type": "later.type"}, key) == (Code.TYPE_MISMATCH, "key")


@pytest.mark.parametrize("event_type", ["team.updated", "team.member_removed"])
def test_team_and_member_events_have_a_team(event_type: str) -> None:
    value = {**VALUE, "type": event_type, "teamId": None, "data": {"teamId": None, "userId": 7}}
    assert refusal(value, b"user:7") == (Code.TYPE_MISMATCH, "teamId")


def test_a_user_event_has_none() -> None:
    value = {**VALUE, "type": "user.created", "data": {"userId": 7}}
    assert refusal(value, b"team:42") == (Code.TYPE_MISMATCH, "teamId")


@pytest.mark.parametrize(
    ("event_type", "data", "fault"),
    [
        ("team.member_added", {"teamId": 42, "role": "x"}, (Code.WRONG_TYPE, "data.userId")),
        ("team.member_added", {"teamId": 42, "userId": 7}, (Code.MISSING_FIELD, "data.role")),
        ("team.member_role_updated", {"teamId": 42, "userId": 7}, (Code.MISSING_FIELD, "data.role")),
        ("team.member_role_updated", {"teamId": 42, "userId": 7, "role": 5}, (Code.WRONG_TYPE, "data.role")),
    ],
)
def test_member_events_have_a_user_and_a_role(event_type: str, data: dict[str, Any], fault: tuple[Code, str]) -> None:
    assert refusal({**VALUE, "type": event_type, "data": data}) == fault


@pytest.mark.parametrize("name", ["source-topic", "source-partition", "source-offset", "source-timestamp"])
def test_every_source_header_is_needed(name: str) -> None:
    rest: Headers = [header for header in headers_for(SOURCE) if header[0] != name]
    assert refusal(VALUE, headers=rest)[0] == Code.MISSING_FIELD
    assert refusal(VALUE, headers=[*rest, (name, None)])[0] == Code.MISSING_FIELD


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("source-topic", b"\xff", Code.WRONG_TYPE),
        ("source-topic", b"a b", Code.OUT_OF_RANGE),
        ("source-topic", b"", Code.OUT_OF_RANGE),
        ("source-partition", b"x", Code.WRONG_TYPE),
        ("source-partition", b"", Code.WRONG_TYPE),
        ("source-partition", b"-1", Code.OUT_OF_RANGE),
        ("source-partition", b"2147483648", Code.OUT_OF_RANGE),
        ("source-offset", b"-1", Code.OUT_OF_RANGE),
        ("source-offset", b"9223372036854775808", Code.OUT_OF_RANGE),
        ("source-offset", b"9" * 5000, Code.WRONG_TYPE),
        ("source-timestamp", b"1.5", Code.WRONG_TYPE),
        ("source-timestamp", b"-2", Code.OUT_OF_RANGE),
    ],
)
def test_source_headers_hold_what_kafka_could_say(name: str, value: bytes, code: Code) -> None:
    headers: Headers = [*headers_for(SOURCE), (name, value)]
    assert refusal(VALUE, headers=headers)[0] == code


@pytest.mark.parametrize("version", [b"2", b"", None])
def test_another_format_does_not_parse(version: bytes | None) -> None:
    headers: Headers = [header for header in headers_for(SOURCE) if header[0] != "v"]
    assert refusal(VALUE, headers=[*headers, ("v", version)]) == (Code.WRONG_TYPE, "v")


def test_a_topic_that_is_not_ours_is_a_topic_all_the_same() -> None:
    headers: Headers = [*headers_for(SOURCE), ("source-topic", b"other-topic_1.x")]
    assert read(VALUE, headers=headers).source.topic == "other-topic_1.x"
