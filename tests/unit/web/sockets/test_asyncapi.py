from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft7Validator

from app.domain.decode import decode
from app.domain.events import Source, encode
from app.domain.positions import position
from app.domain.topics import SOURCE_TOPICS
from tests.unit.web.sockets.document import COMMANDS, DOCUMENT, EVENTS, SCHEMAS, is_valid, members_of, schema_of
from web.sockets.close_codes import CloseCode
from web.sockets.messages import ErrorCode
from web.sockets.protocol import Protocol, Refusal

SPECIFICATION = json.loads(Path(__file__).with_name("asyncapi-3.0.0.schema.json").read_text(encoding="utf-8"))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for name in reference.removeprefix("#/").split("/"):
        node = node[name]
    return resolve(node["$ref"]) if isinstance(node, dict) and "$ref" in node else node


def test_the_document_is_valid_asyncapi() -> None:
    assert [f"{list(fault.absolute_path)}: {fault.message}" for fault in Draft7Validator(SPECIFICATION).iter_errors(DOCUMENT)] == []


def test_the_specification_refuses_what_is_no_asyncapi() -> None:
    assert not Draft7Validator(SPECIFICATION).is_valid({**DOCUMENT, "operations": {"x": {"action": "shout"}}})


def test_every_reference_leads_somewhere() -> None:
    for reference in references(DOCUMENT):
        assert resolve(reference) is not None


def test_every_schema_is_a_schema_and_is_used() -> None:
    used = {reference.rpartition("/")[2] for reference in references(DOCUMENT) if reference.startswith("#/components/schemas/")}
    assert used == set(SCHEMAS)
    for schema in SCHEMAS.values():
        Draft7Validator.check_schema(schema)


def test_every_message_is_in_an_operation_of_its_channel() -> None:
    for name, channel in DOCUMENT["channels"].items():
        operations = [one for one in DOCUMENT["operations"].values() if one["channel"]["$ref"] == f"#/channels/{name}"]
        said = {message["$ref"] for one in operations for message in [*one["messages"], *one.get("reply", {}).get("messages", ())]}
        assert said == {f"#/channels/{name}/messages/{message}" for message in channel["messages"]}


def test_the_close_codes_are_the_catalogues() -> None:
    assert {int(code) for code in DOCUMENT["x-closeCodes"]} == set(CloseCode)


@pytest.mark.parametrize(("code", "row"), DOCUMENT["x-closeCodes"].items())
def test_clients_reconnect_below_4500_and_stop_from_there_on(code: str, row: dict[str, str]) -> None:
    assert ("reconnect" in row["client"], row["client"] == "stop") == (int(code) < 4500, int(code) >= 4500)


def test_the_error_codes_are_the_catalogues() -> None:
    assert SCHEMAS["ErrorCode"]["enum"] == list(ErrorCode)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_core_knows_every_command(name: str) -> None:
    core = Protocol(10)
    if name != "Auth":
        core.authenticated(7)
    message = {"id": 1, "type": name.lower(), "token": "t", "teams": [1]}
    assert is_valid(name, message)
    assert not isinstance(core.receive(orjson.dumps(message)), Refusal)


def test_the_document_knows_every_command_of_the_core() -> None:
    core = Protocol(10)
    core.authenticated(7)
    refusal = core.receive('{"id":1,"type":"?"}')
    assert isinstance(refusal, Refusal)
    assert refusal.message.endswith(", ".join(name.lower() for name in COMMANDS))


def test_examples_of_commands_are_valid() -> None:
    examples = [
        (message["payload"]["$ref"].rpartition("/")[2], example["payload"])
        for message in DOCUMENT["components"]["messages"].values()
        for example in message.get("examples", ())
    ]
    assert len(examples) >= 2
    for name, payload in examples:
        assert is_valid(name, payload)
        assert set(payload) <= set(members_of(SCHEMAS[name]))


def test_every_type_of_event_is_described() -> None:
    described = [kind for name in EVENTS for kind in SCHEMAS[name]["allOf"][1]["properties"]["type"]["enum"]]
    assert sorted(described) == sorted(SOURCE_TOPICS)


STATES: dict[str, Any] = {
    "task": {
        "taskId": 1,
        "title": "x",
        "description": None,
        "completed": None,
        "priority": 2.5,
        "due": None,
        "creatorId": 3,
        "assigneeId": None,
        "createdAt": "2026-11-23T10:00:00.123456Z",
        "updatedAt": None,
        "colour": "red",
    },
    "team": {"teamId": 2, "name": "x", "description": None, "ownerId": 3, "updatedAt": "2026-11-23T10:00:00.123456Z"},
    "team.member": {"userId": 4, "role": "member"},
}


def event(topic: str, value: dict[str, Any]) -> dict[str, Any]:
    source = Source(topic, 0, 1, 1_795_428_000_000)
    unified = decode(orjson.dumps(value), [], source).event
    return {**orjson.loads(encode(unified)), "position": position("0123456789abcdef", unified.key, 9, [])}


FULL = {"taskId": 1, "teamId": 2, "actorId": 3, "userId": 4, "role": "x", "ownerId": 5, "creatorId": 3, "assigneeId": 6}
BARE = {"taskId": 1, "teamId": 2, "actorId": 3, "userId": 4, "role": "x"}
PAYLOAD = {
    "title": "t",
    "description": None,
    "completed": True,
    "priority": "high",
    "due": None,
    "name": "n",
    "email": "a@example.org",
    "username": None,
    "new": [1],
}
TITLES = {"task": "TaskEvent", "team": "TeamEvent", "team.member": "MemberEvent", "user": "UserEvent"}


def family(topic: str) -> str:
    return "team.member" if topic.startswith("team.member_") else topic.partition(".")[0]


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
@pytest.mark.parametrize("value", [FULL, BARE, {**FULL, "payload": PAYLOAD}], ids=["full", "bare", "payload"])
def test_events_are_as_described(topic: str, value: dict[str, Any]) -> None:
    kind = family(topic)
    found = event(topic, value)
    assert schema_of(found) == TITLES[kind]
    if kind in STATES:
        assert schema_of({**found, "state": None}) == TITLES[kind]
        assert schema_of({**found, "state": STATES[kind]}) == TITLES[kind]


def test_personal_tasks_are_as_described() -> None:
    found = event("task.created", {"taskId": 1, "actorId": 3, "creatorId": 3})
    assert found["teamId"] is None
    assert schema_of(found) == "TaskEvent"


@pytest.mark.parametrize("missing", ["eventId", "type", "teamId", "actorId", "timestamp", "data", "position"])
def test_an_event_has_all_members(missing: str) -> None:
    found = event("task.updated", FULL)
    del found[missing]
    assert not is_valid("TaskEvent", found)


def test_an_event_of_another_state_is_not_as_described() -> None:
    assert not is_valid("TaskEvent", {**event("task.updated", FULL), "state": STATES["team"]})
