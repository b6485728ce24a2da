"""The AsyncAPI document, and whether messages are as it says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7

import web

PATH = Path(web.__file__).with_name("asyncapi.yaml")
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]

COMMANDS = ("Auth", "Subscribe", "Unsubscribe", "Refresh", "Ping")
EVENTS = ("TaskEvent", "TeamEvent", "MemberEvent", "UserEvent")

_NAME = "urn:teamcast"
_REGISTRY: Registry[Any] = Registry().with_resource(_NAME, DRAFT7.create_resource(DOCUMENT))
_VALIDATORS = {
    name: Draft7Validator({"$ref": f"{_NAME}#/components/schemas/{name}"}, registry=_REGISTRY)
    for name in (message["payload"]["$ref"].rpartition("/")[2] for message in DOCUMENT["components"]["messages"].values())
}
SERVER_MESSAGES: tuple[str, ...] = tuple(name for name in _VALIDATORS if name not in COMMANDS)


def is_valid(name: str, message: Any) -> bool:
    """Whether the message is as schema ``name`` says."""
    return _VALIDATORS[name].is_valid(message)


def schema_of(message: Any) -> str:
    """The one schema among those of the server's messages that a message is valid by, with no member left that it does not name."""
    found: list[str] = [name for name in SERVER_MESSAGES if is_valid(name, message)]
    assert len(found) == 1, f"{message} is valid by {found or 'no schema'}: {list(_faults(message))}"
    unknown = set(message) - set(members_of(SCHEMAS[found[0]]))
    assert not unknown, f"{found[0]} does not name {unknown}"
    return found[0]


def members_of(schema: dict[str, Any]) -> Iterator[str]:
    """Names of the members that a schema knows."""
    if "$ref" in schema:
        yield from members_of(SCHEMAS[schema["$ref"].rpartition("/")[2]])
    yield from schema.get("properties", ())
    for part in schema.get("allOf", ()):
        yield from members_of(part)


def _faults(message: Any) -> Iterator[str]:
    for name in SERVER_MESSAGES:
        if SCHEMAS[name].get("properties", {}).get("type", {}).get("const") == message.get("type"):
            for fault in _VALIDATORS[name].iter_errors(message):
                yield f"{name}: {fault.message}"
