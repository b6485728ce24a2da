from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.decode import decode, faults
from app.domain.errors import BadRecord, Code
from app.domain.events import MAX_ID, Source, UnifiedEvent
from app.domain.topics import MEMBER_TOPICS, SOURCE_TOPICS, TASK_TOPICS, TEAM_TOPICS, dead_letter_topic

RECORD_MS = 1_795_428_000_000
TASK: dict[str, Any] = {"taskId": 5, "teamId": 42, "actorId": 7}
TEAM: dict[str, Any] = {"teamId": 42, "actorId": 7}
MEMBER: dict[str, Any] = {"teamId": 42, "userId": 9, "actorId": 7, "role": "admin"}
USER: dict[str, Any] = {"userId": 9}


def least(topic: str) -> dict[str, Any]:
    """The smallest valid value of a topic."""
    if topic in TASK_TOPICS:
        return dict(TASK)
    if topic in TEAM_TOPICS:
        return dict(TEAM)
    return dict(MEMBER if topic in MEMBER_TOPICS else USER)


def event_of(topic: str, value: dict[str, Any] | bytes) -> UnifiedEvent:
    return decode(value if isinstance(value, bytes) else orjson.dumps(value), [], Source(topic, 2, 15, RECORD_MS)).event


def refusal(topic: str, value: dict[str, Any] | bytes | None) -> tuple[Code, str | None]:
    raw = orjson.dumps(value) if isinstance(value, dict) else value
    with pytest.raises(BadRecord) as refused:
        decode(raw, [], Source(topic, 2, 15, RECORD_MS))
    assert len(refused.value.message.encode()) <= 1024
    assert len(refused.value.message.splitlines()) == 1
    first = faults(topic, raw)[0]
    assert (first.code, first.field, first.message) == (refused.value.code, refused.value.field, refused.value.message)
    return refused.value.code, refused.value.field


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


# Topics and routes


def test_there_are_eleven_source_topics() -> None:
    assert sorted(SOURCE_TOPICS) == [
        "task.completed",
        "task.created",
        "task.deleted",
        "task.updated",
        "team.created",
        "team.deleted",
        "team.member_added",
        "team.member_removed",
        "team.member_role_updated",
        "team.updated",
        "user.created",
    ]


def test_dead_letters_have_a_topic_beside_the_source() -> None:
    assert dead_letter_topic("task.updated") == "task.updated.deadletter"


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_the_least_value_is_an_event_of_its_topics_type(topic: str) -> None:
    event = event_of(topic, least(topic))
    assert event.type == topic
    assert faults(topic, orjson.dumps(least(topic))) == []


@pytest.mark.parametrize("topic", [topic for topic in SOURCE_TOPICS if topic != "user.created"])
def test_task_team_and_member_events_go_to_their_team(topic: str) -> None:
    event = event_of(topic, least(topic))
    assert (event.key, event.team_id, event.actor_id, event.data["teamId"]) == ("team:42", 42, 7, 42)


def test_user_events_go_to_their_user() -> None:
    event = event_of("user.created", {"userId": 9, "payload": {"email": "a@example.org", "username": "a"}})
    assert (event.key, event.team_id, event.actor_id) == ("user:9", None, None)
    assert event.data == {"userId": 9, "email": "a@example.org", "username": "a"}


@pytest.mark.parametrize(("actor", "expected"), [(7, 7), (None, None), (0, None), ("7", None), (True, None)])
def test_an_actor_of_a_user_event_is_taken_when_it_is_one(actor: object, expected: int | None) -> None:
    assert event_of("user.created", {"userId": 9, "actorId": actor}).actor_id == expected


@pytest.mark.parametrize("topic", TASK_TOPICS)
@pytest.mark.parametrize("team", [{}, {"teamId": None}, {"teamId": 0}])
def test_a_task_without_team_goes_to_its_creator(topic: str, team: dict[str, Any]) -> None:
    event = event_of(topic, {"taskId": 5, "actorId": 7, "creatorId": 8, **team})
    assert (event.key, event.team_id) == ("user:8", None)
    assert event.data == {"taskId": 5, "teamId": None, "creatorId": 8}


@pytest.mark.parametrize("topic", TASK_TOPICS)
@pytest.mark.parametrize("creator", [{}, {"creatorId": None}, {"creatorId": 0}, {"payload": {"creatorId": 8}}])
def test_a_task_with_neither_team_nor_creator_is_refused(topic: str, creator: dict[str, Any]) -> None:
    assert refusal(topic, {"taskId": 5, "actorId": 7, **creator}) == (Code.MISSING_FIELD, "teamId")


NEEDED = [(topic, name) for topic in SOURCE_TOPICS for name in least(topic) if name != "role" or topic == "team.member_role_updated"]


@pytest.mark.parametrize(("topic", "name"), NEEDED)
@pytest.mark.parametrize("missing", ["absent", "null", "zero"])
def test_what_a_topic_needs_is_needed(topic: str, name: str, missing: str) -> None:
    value = without(least(topic), name)
    if missing != "absent":
        value[name] = None if missing == "null" or name == "role" else 0
    assert refusal(topic, value) == (Code.MISSING_FIELD, name)


# Ids

IDS = [(topic, name) for topic in SOURCE_TOPICS for name in least(topic) if name != "role"]
OPTIONAL_IDS = [(topic, name) for topic in TASK_TOPICS for name in ("creatorId", "assigneeId")] + [
    (topic, "ownerId") for topic in TEAM_TOPICS
]


@pytest.mark.parametrize(("topic", "name"), IDS + OPTIONAL_IDS)
@pytest.mark.parametrize("value", [True, False, 42.0, "42", "", [], {}])
def test_what_is_no_integer_is_no_id(topic: str, name: str, value: object) -> None:
    assert refusal(topic, {**least(topic), name: value}) == (Code.WRONG_TYPE, name)


@pytest.mark.parametrize(("topic", "name"), IDS + OPTIONAL_IDS)
@pytest.mark.parametrize("value", [-1, MAX_ID + 1, 2**63, 2**64 - 1, -(2**63)])
def test_ids_that_browsers_would_corrupt_are_out_of_range(topic: str, name: str, value: int) -> None:
    assert refusal(topic, {**least(topic), name: value}) == (Code.OUT_OF_RANGE, name)


@pytest.mark.parametrize(("topic", "name"), IDS + OPTIONAL_IDS)
@pytest.mark.parametrize("value", [1, MAX_ID])
def test_ids_reach_from_1_to_the_last_exact_integer(topic: str, name: str, value: int) -> None:
    event = event_of(topic, {**least(topic), name: value})
    assert (event.actor_id if name == "actorId" else event.data[name]) == value


# data


@pytest.mark.parametrize("topic", TASK_TOPICS)
def test_data_of_a_task_is_payload_and_ids(topic: str) -> None:
    value = {**TASK, "creatorId": 7, "assigneeId": 8, "payload": {"title": "x", "completed": True}}
    assert event_of(topic, value).data == {"title": "x", "completed": True, "taskId": 5, "teamId": 42, "creatorId": 7, "assigneeId": 8}


def test_what_is_absent_stays_absent() -> None:
    assert event_of("task.updated", TASK).data == {"taskId": 5, "teamId": 42}
    assert event_of("team.updated", TEAM).data == {"teamId": 42}


@pytest.mark.parametrize("nobody", [None, 0])
def test_assignee_null_or_0_is_cleared(nobody: int | None) -> None:
    assert event_of("task.updated", {**TASK, "assigneeId": nobody}).data["assigneeId"] is None
    assert event_of("task.updated", {**TASK, "payload": {"assigneeId": nobody}}).data["assigneeId"] is None
    assert event_of("task.updated", {**TASK, "assigneeId": nobody, "payload": {"assigneeId": 8}}).data["assigneeId"] is None


@pytest.mark.parametrize("nobody", [None, 0])
def test_creator_and_owner_cannot_be_cleared(nobody: int | None) -> None:
    assert "creatorId" not in event_of("task.updated", {**TASK, "creatorId": nobody, "payload": {"creatorId": nobody}}).data
    assert "ownerId" not in event_of("team.updated", {**TEAM, "ownerId": nobody, "payload": {"ownerId": nobody}}).data


def test_the_values_own_ids_win_over_those_of_the_payload() -> None:
    payload = {"taskId": 1, "teamId": "no id", "userId": 1, "creatorId": 1, "assigneeId": 1, "ownerId": 1, "role": ["no role"]}
    task = event_of("task.created", {**TASK, "creatorId": 7, "assigneeId": 8, "payload": payload}).data
    assert (task["taskId"], task["teamId"], task["creatorId"], task["assigneeId"]) == (5, 42, 7, 8)
    team = event_of("team.created", {**TEAM, "ownerId": 7, "payload": payload}).data
    assert (team["teamId"], team["ownerId"]) == (42, 7)
    member = event_of("team.member_added", {**MEMBER, "payload": payload}).data
    assert (member["teamId"], member["userId"], member["role"]) == (42, 9, "admin")
    assert event_of("user.created", {**USER, "payload": payload}).data["userId"] == 9
    personal = event_of("task.created", {"taskId": 5, "actorId": 7, "creatorId": 7, "payload": payload}).data
    assert personal["teamId"] is None


@pytest.mark.parametrize(("topic", "name"), OPTIONAL_IDS)
def test_ids_that_only_the_payload_gives_are_taken_and_checked(topic: str, name: str) -> None:
    assert event_of(topic, {**least(topic), "payload": {name: 8}}).data[name] == 8
    assert refusal(topic, {**least(topic), "payload": {name: "8"}}) == (Code.WRONG_TYPE, f"payload.{name}")
    assert refusal(topic, {**least(topic), "payload": {name: -8}}) == (Code.OUT_OF_RANGE, f"payload.{name}")


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_unknown_members_outside_the_payload_are_ignored(topic: str) -> None:
    assert event_of(topic, {**least(topic), "extra": {"a": [1]}, "position": "x"}) == event_of(topic, least(topic))


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_unknown_members_of_the_payload_are_kept(topic: str) -> None:
    unknown = {"labels": ["a", {"b": None}], "estimate": 1.5, "": "", "ü": 2**64 - 1}
    assert event_of(topic, {**least(topic), "payload": unknown}).data == {**event_of(topic, least(topic)).data, **unknown}


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_of_unknown_members_64_are_kept_and_65_refused(topic: str) -> None:
    known = dict.fromkeys({"task": ("title", "due"), "user": ("email", "username")}.get(topic[:4], ()))
    most = {**known, **{f"x{number}": number for number in range(64)}}
    assert event_of(topic, {**least(topic), "payload": most}).data.items() >= most.items()
    assert refusal(topic, {**least(topic), "payload": {**most, "one-more": 1}}) == (Code.WRONG_TYPE, "payload")


def test_the_values_own_ids_are_no_unknown_members() -> None:
    payload = {**{f"x{number}": number for number in range(64)}, "taskId": 1, "teamId": 1, "creatorId": 1, "assigneeId": 1}
    assert event_of("task.created", {**TASK, "payload": payload}).data["x63"] == 63


def test_dropped_names_are_not_counted() -> None:
    most = {f"x{number}": number for number in range(64)}
    assert "constructor" not in event_of("task.created", {**TASK, "payload": {**most, "constructor": 1}}).data


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
@pytest.mark.parametrize("name", ["__proto__", "constructor", "prototype"])
def test_names_that_reach_a_prototype_are_dropped(topic: str, name: str) -> None:
    kept = {"a": {"b": [{"c": 1}]}}
    payload = {name: {"x": 1}, "a": {name: 1, "b": [{"c": 1, name: {}}]}}
    assert event_of(topic, {**least(topic), "payload": {name: 1}}).data == event_of(topic, least(topic)).data
    assert event_of(topic, {**least(topic), "payload": payload}).data == event_of(topic, {**least(topic), "payload": kept}).data


@pytest.mark.parametrize("outer", [{"a": {"__proto__": 1}}, {"a": [[{"__proto__": 1}]]}])
def test_names_that_reach_a_prototype_are_dropped_where_they_stand_in_one_inner_object_alone(outer: dict[str, Any]) -> None:
    assert "__proto__" not in str(event_of("task.updated", {**TASK, "payload": outer}))


def test_an_escape_does_not_hide_a_dropped_name() -> None:
    value = rb'{"taskId":5,"teamId":42,"actorId":7,"payload":{"\u005f_proto__":1,"a":[{"c\u006fnstructor":1}]}}'
    assert event_of("task.updated", value).data == {"taskId": 5, "teamId": 42, "a": [{}]}


def test_dropped_names_are_kept_as_texts() -> None:
    assert event_of("task.updated", {**TASK, "payload": {"title": "__proto__", "x": ["constructor"]}}).data["title"] == "__proto__"


# Fields

TEXTS = [(topic, name) for topic in TASK_TOPICS for name in ("title", "description", "due")]
TEXTS += [(topic, name) for topic in TEAM_TOPICS for name in ("name", "description")] + [("user.created", "username")]


@pytest.mark.parametrize(("topic", "name"), TEXTS)
@pytest.mark.parametrize("value", ["", "x", "line\nbreak", "\U0001f600", None])
def test_texts_are_strings_or_null_and_passed_on_as_they_are(topic: str, name: str, value: str | None) -> None:
    assert event_of(topic, {**least(topic), "payload": {name: value}}).data[name] == value


@pytest.mark.parametrize(("topic", "name"), [*TEXTS, ("user.created", "email")])
@pytest.mark.parametrize("value", [1, True, [], {}])
def test_texts_are_nothing_else(topic: str, name: str, value: object) -> None:
    assert refusal(topic, {**least(topic), "payload": {name: value}}) == (Code.WRONG_TYPE, f"payload.{name}")


@pytest.mark.parametrize("topic", TASK_TOPICS)
@pytest.mark.parametrize("value", [None, 0, 1, "true", []])
def test_completed_is_a_boolean(topic: str, value: object) -> None:
    assert refusal(topic, {**TASK, "payload": {"completed": value}}) == (Code.WRONG_TYPE, "payload.completed")


@pytest.mark.parametrize("completed", [True, False])
def test_completed_is_passed_on(completed: bool) -> None:
    assert event_of("task.completed", {**TASK, "payload": {"completed": completed}}).data["completed"] is completed


@pytest.mark.parametrize("value", ["high", 3, 1.5, None])
def test_priority_is_a_string_a_number_or_null(value: object) -> None:
    assert event_of("task.updated", {**TASK, "payload": {"priority": value}}).data["priority"] == value


@pytest.mark.parametrize("value", [True, [], {}])
def test_priority_is_nothing_else(value: object) -> None:
    assert refusal("task.updated", {**TASK, "payload": {"priority": value}}) == (Code.WRONG_TYPE, "payload.priority")


def test_fields_of_other_topics_are_unknown_members() -> None:
    assert event_of("team.updated", {**TEAM, "payload": {"title": 5, "email": "no address"}}).data["title"] == 5


@pytest.mark.parametrize("email", ["a@b", "first.last+tag@example.org", "ü@exämple.org", "o'neill@[192.0.2.1]", None, "a@" + "b" * 252])
def test_an_email_is_one_address(email: str | None) -> None:
    assert event_of("user.created", {**USER, "payload": {"email": email}}).data["email"] == email


@pytest.mark.parametrize(
    "email",
    [
        *("", "a", "@", "a@", "@b", "a@b@c", "a b@c", " a@b", "a@b\n", "a@b\r\nBcc: c@d", "a@b\0", "a\x7f@b", "a\x85@b", "a\u2028@b"),
        *("a@b,c", "a;b@c", "A <a@b>", "<a@b>", "a@" + "b" * 253),
    ],
)
def test_what_is_not_one_address_is_refused(email: str) -> None:
    assert refusal("user.created", {**USER, "payload": {"email": email}}) == (Code.WRONG_TYPE, "payload.email")


@pytest.mark.parametrize("topic", MEMBER_TOPICS)
@pytest.mark.parametrize("role", ["x", "admin", "x" * 64, "project lead", "größer"])
def test_role_is_1_to_64_printable_characters(topic: str, role: str) -> None:
    assert event_of(topic, {**MEMBER, "role": role}).data["role"] == role


@pytest.mark.parametrize("topic", MEMBER_TOPICS)
@pytest.mark.parametrize("role", ["", "x" * 65, "a\nb", "\0", "\u200b", 5, True, ["admin"], {}])
def test_role_is_nothing_else(topic: str, role: object) -> None:
    assert refusal(topic, {**MEMBER, "role": role}) == (Code.WRONG_TYPE, "role")


@pytest.mark.parametrize("value", [without(MEMBER, "role"), {**MEMBER, "role": None}])
def test_a_missing_role_makes_a_member_on_addition_and_is_none_on_removal(value: dict[str, Any]) -> None:
    assert event_of("team.member_added", {**value, "payload": {"role": "owner"}}).data["role"] == "member"
    assert "role" not in event_of("team.member_removed", {**value, "payload": {"role": "owner"}}).data


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": {}}])
def test_payload_absent_or_null_is_empty(topic: str, payload: dict[str, Any]) -> None:
    assert event_of(topic, {**least(topic), **payload}) == event_of(topic, least(topic))


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
@pytest.mark.parametrize("payload", [[], "", "{}", 0, False])
def test_payload_is_an_object(topic: str, payload: object) -> None:
    assert refusal(topic, {**least(topic), "payload": payload}) == (Code.WRONG_TYPE, "payload")


# eventType, eventId, timestamp


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_event_type_equals_the_topic_where_present(topic: str) -> None:
    plain = event_of(topic, least(topic))
    assert event_of(topic, {**least(topic), "eventType": topic}) == plain
    assert event_of(topic, {**least(topic), "eventType": None}) == plain
    for other in ("", topic.upper(), f"x.{topic}", 5, [topic]):
        assert refusal(topic, {**least(topic), "eventType": other}) == (Code.TYPE_MISMATCH, "eventType")


@pytest.mark.parametrize("event_id", ["x", "x" * 200, " ~", "a/b#c d"])
def test_the_producers_event_id_is_kept(event_id: str) -> None:
    assert event_of("task.updated", {**TASK, "eventId": event_id}).event_id == event_id


@pytest.mark.parametrize("event_id", ["", "x" * 201, "ü", "a\nb", "\x7f", "\0", 5, True, ["x"], {}])
def test_an_event_id_is_1_to_200_printable_ascii_characters(event_id: object) -> None:
    assert refusal("task.updated", {**TASK, "eventId": event_id}) == (Code.WRONG_TYPE, "eventId")


@pytest.mark.parametrize("value", [TASK, {**TASK, "eventId": None}])
def test_without_an_event_id_the_record_names_the_event(value: dict[str, Any]) -> None:
    assert event_of("task.updated", value).event_id == f"task.updated-2-15-{RECORD_MS}"


@pytest.mark.parametrize("timestamp", [{}, {"timestamp": None}, {"timestamp": ""}, {"timestamp": "1969-12-31T23:59:59Z"}])
def test_without_a_usable_timestamp_the_records_counts(timestamp: dict[str, Any]) -> None:
    decoded = decode(orjson.dumps({**TASK, **timestamp}), [], Source("task.updated", 0, 0, RECORD_MS))
    assert (decoded.event.timestamp, decoded.clamped) == ("2026-11-23T10:00:00.000000Z", False)


def test_a_timestamp_from_the_future_is_replaced_and_told() -> None:
    decoded = decode(orjson.dumps({**TASK, "timestamp": "2026-11-23T10:05:00.000001Z"}), [], Source("task.updated", 0, 0, RECORD_MS))
    assert (decoded.event.timestamp, decoded.clamped) == ("2026-11-23T10:00:00.000000Z", True)


def test_a_timestamp_comes_out_in_utc_with_six_digits() -> None:
    decoded = decode(orjson.dumps({**TASK, "timestamp": "2026-11-23T10:00:00.1234567+01:00"}), [], Source("task.updated", 0, 0, RECORD_MS))
    assert (decoded.event.timestamp, decoded.clamped) == ("2026-11-23T09:00:00.123456Z", False)


@pytest.mark.parametrize("timestamp", ["now", 1_795_428_000, 0, False, [], {}, "2026-02-30T00:00:00Z", " "])
def test_any_other_timestamp_is_bad(timestamp: object) -> None:
    assert refusal("task.updated", {**TASK, "timestamp": timestamp}) == (Code.BAD_TIMESTAMP, "timestamp")


def test_a_record_without_time_is_from_1970() -> None:
    event = decode(orjson.dumps(TASK), [], Source("task.updated", 0, 3, -1)).event
    assert (event.timestamp, event.event_id) == ("1970-01-01T00:00:00.000000Z", "task.updated-0-3--1")


# All faults


def test_every_fault_of_a_value_is_found_once() -> None:
    value = {
        "eventType": "task.created",
        "eventId": "",
        "taskId": "5",
        "teamId": -1,
        "creatorId": True,
        "assigneeId": 1.5,
        "timestamp": "now",
        "payload": {"title": 5, "completed": None, "priority": False, "due": 1},
    }
    assert {(fault.field, fault.code.value) for fault in faults("task.updated", orjson.dumps(value))} == {
        ("eventType", "type-mismatch"),
        ("eventId", "wrong-type"),
        ("taskId", "wrong-type"),
        ("teamId", "out-of-range"),
        ("actorId", "missing-field"),
        ("creatorId", "wrong-type"),
        ("assigneeId", "wrong-type"),
        ("timestamp", "bad-timestamp"),
        ("payload.title", "wrong-type"),
        ("payload.completed", "wrong-type"),
        ("payload.priority", "wrong-type"),
        ("payload.due", "wrong-type"),
    }
    assert len(faults("task.updated", orjson.dumps(value))) == 12


def test_every_needed_field_that_is_missing_is_found() -> None:
    fields = {topic: [fault.field for fault in faults(topic, b"{}")] for topic in SOURCE_TOPICS}
    assert fields["task.created"] == ["taskId", "actorId", "teamId"]
    assert fields["team.deleted"] == ["teamId", "actorId"]
    assert fields["team.member_added"] == ["teamId", "userId", "actorId"]
    assert fields["team.member_role_updated"] == ["teamId", "userId", "actorId", "role"]
    assert fields["user.created"] == ["userId"]
