"""From a source record to the unified event, or to the reason why it is none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from app.domain import cloudevents, timestamps, usual_task
from app.domain.errors import BadRecord, Code, Fault, Report, one_line, refuse
from app.domain.events import Source, UnifiedEvent, team_key
from app.domain.named_tuple import new
from app.domain.schema import RULES, Routed, check_payload
from app.domain.strict_json import load, load_counted
from app.domain.unified import default_event_id

MAX_VALUE_BYTES = 512 * 1024
MAX_EVENT_ID_LENGTH = 200

_DROPPED = frozenset({"__proto__", "constructor", "prototype"})
"""Names that reach the prototype of an object in careless JavaScript."""

_FLAT = 2
"""The braces of a value whose payload holds no further object: nothing to look for below its own members."""


class Decoded(NamedTuple):
    """What a source record says."""

    event: UnifiedEvent
    clamped: bool
    """Whether its timestamp was more than 5 minutes after the record's, and was replaced by it."""


def decode(value: bytes | None, headers: Sequence[tuple[str, bytes | None]], source: Source) -> Decoded:
    """The event of one source record.

    Args:
        value: the record's value.
        headers: the record's headers; they tell a CloudEvent.
        source: where the record stands. Its topic is one of ``SOURCE_TOPICS``; its time stands in for a missing timestamp.

    Raises:
        BadRecord: the record is no valid event; the first fault found.
    """
    topic = source.topic
    value = _sized(value)
    mode = cloudevents.mode(headers) if headers else None
    body, opened = load_counted(value)
    if mode is None and opened <= _FLAT:
        usual = _usual(body, source)
        if usual is not None:
            return usual
    cloud_id = cloud_time = None
    if mode is not None:
        unwrap = cloudevents.from_envelope(body, topic) if mode == "structured" else cloudevents.from_headers(headers, body, topic)
        body, cloud_id, cloud_time = unwrap.data, unwrap.event_id, unwrap.time
    event_id = _event_id(body, cloud_id, refuse)
    routed = _route(topic, value, body, refuse)
    timestamp, clamped = _timestamp(body, cloud_time, source.timestamp, refuse)
    key, team_id, actor_id, data = routed
    return Decoded(UnifiedEvent(key, event_id or default_event_id(source), topic, team_id, actor_id, timestamp, data), clamped)


def _usual(body: dict[str, Any], source: Source) -> Decoded | None:
    """What nearly every producer writes, decoded as below but at one go; None for anything else, which is then as it was.

    Args:
        body: a value in which no object or list stands, but the value itself and at most its payload.
        source: where the record stands.
    """
    get, topic = body.get, source.topic
    payload, text, event_type = get("payload"), get("timestamp"), get("eventType")
    if (
        topic not in usual_task.TYPES
        or type(payload) is not dict
        or type(text) is not str
        or not text
        or (event_type is not None and event_type != topic)
        or get("eventId") is not None
        or not _DROPPED.isdisjoint(payload)
    ):
        return None
    try:
        timestamp, clamped = timestamps.normalise(text, source.timestamp)
    except ValueError:
        return None
    data = usual_task.data_of(body, payload)
    if data is None:
        return None
    team_id: int = data["teamId"]
    event = (team_key(team_id), default_event_id(source), topic, team_id, body["actorId"], timestamp, data)
    return new(Decoded, (new(UnifiedEvent, event), clamped))


def faults(topic: str, value: bytes | None) -> list[Fault]:
    """Everything that is wrong with a value that is to be written to ``topic``, a source topic; empty for a valid event."""
    found: list[Fault] = []

    def report(code: Code, message: str, field: str | None) -> None:
        found.append(Fault(field, code, one_line(message)))

    try:
        value = _sized(value)
        body = load(value)
    except BadRecord as bad:  # there is nothing to look for behind these
        return [Fault(bad.field, bad.code, bad.message)]
    _event_id(body, None, report)
    _route(topic, value, body, report)
    _timestamp(body, None, 0, report)
    return found


def _sized(value: bytes | None) -> bytes:
    if value is None:
        refuse(Code.NULL_VALUE, "the record has no value")
    if len(value) > MAX_VALUE_BYTES:
        refuse(Code.TOO_LARGE, f"the value has {len(value)} bytes, at most {MAX_VALUE_BYTES} are taken")
    return value


def _event_id(body: dict[str, Any], cloud_id: str | None, report: Report) -> str | None:
    """The producer's own id of the event; None when it gave none."""
    event_id = body.get("eventId")
    if event_id is None:
        event_id = cloud_id
    if event_id is None:
        return None
    if type(event_id) is str and 0 < len(event_id) <= MAX_EVENT_ID_LENGTH and event_id.isascii() and event_id.isprintable():
        return event_id
    report(Code.WRONG_TYPE, f"the event's id is not 1 to {MAX_EVENT_ID_LENGTH} printable ASCII characters", "eventId")
    return None


def _route(topic: str, value: bytes, body: dict[str, Any], report: Report) -> Routed:
    event_type = body.get("eventType")
    if event_type is not None and event_type != topic:
        report(Code.TYPE_MISMATCH, f"eventType is not {topic}", "eventType")
    payload = body.get("payload")
    if type(payload) is not dict:
        if payload is not None:
            report(Code.WRONG_TYPE, "payload is not an object", "payload")
        payload = {}
    elif value.count(b"{") > _FLAT or not _DROPPED.isdisjoint(payload):
        payload = _without_dropped(payload)
    rules = RULES[topic]
    check_payload(payload, rules, report)
    # The payload was made for this record, and becomes its data: nobody else sees it change.
    return rules.route(topic, body, payload, report)


def _without_dropped(value: Any) -> Any:
    """``value`` without the dropped names, at any depth; the depth is bounded by ``load``."""
    if type(value) is dict:
        return {name: _without_dropped(member) for name, member in value.items() if name not in _DROPPED}
    if type(value) is list:
        return [_without_dropped(member) for member in value]
    return value


def _timestamp(body: dict[str, Any], cloud_time: object, record_ms: int, report: Report) -> tuple[str, bool]:
    text = body.get("timestamp")
    if text is None or text == "":
        text = cloud_time
    if text is None or text == "":
        return timestamps.from_millis(record_ms), False
    if type(text) is not str:
        report(Code.BAD_TIMESTAMP, "timestamp is not a text", "timestamp")
    else:
        try:
            return timestamps.normalise(text, record_ms)
        except ValueError as error:
            report(Code.BAD_TIMESTAMP, f"timestamp: {error}", "timestamp")
    return timestamps.from_millis(record_ms), False
