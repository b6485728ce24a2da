"""CloudEvents 1.0 over Kafka: the envelope off, the event out.

The two forms are those of the Kafka protocol binding 1.0.2: structured (the value is the envelope, told by the content type), binary (the
value is the data, the attributes are headers that start with ``ce_``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from app.domain.errors import BadRecord, Code

Headers = Sequence[tuple[str, bytes | None]]

STRUCTURED = "application/cloudevents+json"
_ANY_STRUCTURED = "application/cloudevents"
_SPEC_VERSION = "1.0"


@dataclass(slots=True, frozen=True)
class Unwrapped:
    """What an envelope says: its data, the id that makes the event unique, and its time, not yet looked at."""

    data: dict[str, Any]
    event_id: str
    """``<source>#<id>``: the specification promises that no two events share both."""
    time: object


def mode(headers: Headers) -> Literal["structured", "binary"] | None:
    """How a record with these headers is wrapped; None when it is no CloudEvent.

    Raises:
        BadRecord: bad-cloudevent, when it is a batch or an envelope that is not JSON.
    """
    found: Literal["binary"] | None = None
    content_type: bytes | None = None
    for name, value in headers:
        lower = name.lower()
        if lower == "content-type":
            content_type = value
        elif lower == "ce_specversion":
            found = "binary"
    if content_type is not None:
        media_type = content_type.decode("latin-1").partition(";")[0].strip().lower()
        if media_type == STRUCTURED:
            return "structured"
        if media_type.startswith(_ANY_STRUCTURED):
            raise BadRecord(Code.BAD_CLOUDEVENT, f"{media_type[:100]} is not read, only {STRUCTURED} is", "content-type")
    return found


def from_envelope(envelope: Mapping[str, Any], topic: str) -> Unwrapped:
    """Take a structured event apart.

    Raises:
        BadRecord: bad-cloudevent; type-mismatch; not-an-object, when ``data`` is something else.
    """
    event_id = _identity(envelope, topic)
    if envelope.get("data_base64") is not None:
        raise BadRecord(Code.BAD_CLOUDEVENT, "data_base64 is not read, only data is", "data_base64")
    data = envelope.get("data")
    if data is None:
        raise BadRecord(Code.BAD_CLOUDEVENT, "the CloudEvent has no data", "data")
    if type(data) is not dict:
        raise BadRecord(Code.NOT_AN_OBJECT, "the data of the CloudEvent is not an object", "data")
    return Unwrapped(data, event_id, envelope.get("time"))


def from_headers(headers: Headers, data: dict[str, Any], topic: str) -> Unwrapped:
    """Put a binary event together from the attributes in its headers and the object in its value.

    Raises:
        BadRecord: bad-cloudevent, type-mismatch.
    """
    attributes: dict[str, str] = {}
    for name, value in headers:
        if name[:3].lower() == "ce_" and value is not None:
            try:
                attributes[name[3:].lower()] = value.decode()
            except UnicodeDecodeError:
                raise BadRecord(Code.BAD_CLOUDEVENT, f"header {name[:100]} is not UTF-8", name[:100]) from None
    return Unwrapped(data, _identity(attributes, topic), attributes.get("time"))


def _identity(attributes: Mapping[str, Any], topic: str) -> str:
    if attributes.get("specversion") != _SPEC_VERSION:
        raise BadRecord(Code.BAD_CLOUDEVENT, f"specversion is not {_SPEC_VERSION}", "specversion")
    for name in ("id", "source", "type"):
        attribute = attributes.get(name)
        if type(attribute) is not str or not attribute:
            raise BadRecord(Code.BAD_CLOUDEVENT, f"{name} of the CloudEvent is missing or no text", name)
    event_type: str = attributes["type"]
    if event_type != topic and not event_type.endswith("." + topic):
        raise BadRecord(Code.TYPE_MISMATCH, f"type is neither {topic} nor ends in .{topic}", "type")
    return f"{attributes['source']}#{attributes['id']}"
