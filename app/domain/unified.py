"""Records of the unified stream: their headers, and the way back from bytes to the event."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from app.domain import usual_task
from app.domain.errors import BadRecord, Code, refuse
from app.domain.events import MAX_ID, Source, UnifiedEvent
from app.domain.named_tuple import new
from app.domain.schema import RULES, check_data
from app.domain.strict_json import load
from app.domain.timestamps import is_canonical
from app.domain.topics import SOURCE_TOPICS

FORMAT = b"1"
"""Header ``v``. A reader takes members that it does not know; a change that it could not read gets another number."""

_SOURCE_HEADERS = ("source-topic", "source-partition", "source-offset", "source-timestamp")
HEADERS = (*_SOURCE_HEADERS, "v")
"""The headers of a record as we write them, in this order; a trace context may follow, which no reader asks for."""
_TRACE = "traceparent"
_FORMAT_HEADER = ("v", FORMAT)

_TOPICS: dict[bytes | None, str] = {topic.encode(): topic for topic in SOURCE_TOPICS}
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_INT32, _INT64 = 2**31, 2**63

_KEY = re.compile(r"(?:team|user):[1-9][0-9]{0,15}")


class UnifiedRecord(NamedTuple):
    """One record of the unified stream: the event, and the source record that it came from."""

    event: UnifiedEvent
    source: Source

    @property
    def own_event_id(self) -> bool:
        """Whether the producer gave the event its id."""
        return self.event.event_id != default_event_id(self.source)


def default_event_id(source: Source) -> str:
    """The id of an event whose producer gave none: it names the record."""
    return f"{source.topic}-{source.partition}-{source.offset}-{source.timestamp}"


def headers_for(source: Source, traceparent: bytes | None = None) -> list[tuple[str, bytes]]:
    """The headers of the unified record that comes of ``source``."""
    topic, partition, offset, timestamp = source
    place = _place_headers(topic, partition)
    headers = [*place, ("source-offset", b"%d" % offset), ("source-timestamp", b"%d" % timestamp), _FORMAT_HEADER]
    if traceparent is not None:
        headers.append((_TRACE, traceparent))
    return headers


def values_of(headers: Sequence[tuple[str, bytes]]) -> tuple[bytes, ...]:
    """What `usual_headers` gives for headers that `headers_for` gave."""
    return headers[0][1], headers[1][1], headers[2][1], headers[3][1], FORMAT


@lru_cache(maxsize=1024)
def _place_headers(topic: str, partition: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    """The headers that all records of a source partition share, made once."""
    return ("source-topic", topic.encode()), ("source-partition", b"%d" % partition)


def traceparent_of(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """The trace context (W3C) among a record's headers, as it is."""
    for name, value in headers:
        if name.lower() == _TRACE:
            return value
    return None


def usual_headers(headers: Sequence[tuple[str, bytes | None]]) -> tuple[bytes | None, ...] | None:
    """The values of `HEADERS`, where these are the headers, in this order, or these and a trace context; None for any others."""
    if len(headers) == 5:
        first, second, third, fourth, fifth = headers
    elif len(headers) == 6 and headers[5][0] == _TRACE:
        first, second, third, fourth, fifth, _ = headers
    else:
        return None
    if (first[0], second[0], third[0], fourth[0], fifth[0]) != HEADERS:
        return None
    return first[1], second[1], third[1], fourth[1], fifth[1]


def parse(value: bytes | None, headers: Sequence[tuple[str, bytes | None]], key: bytes | None) -> UnifiedRecord:
    """Read a unified record back.

    Types that are no source topic (internal ones, and those of later versions) are read as well, their data unchecked.

    Raises:
        BadRecord: it is no unified record, or not one of this format; or its data would not have passed as the data of its type.
    """
    source = _usual_source(usual_headers(headers)) or _source(headers)
    if value is None:
        refuse(Code.NULL_VALUE, "the record has no value")
    body = load(value)
    event_id, event_type, timestamp, data = body.get("eventId"), body.get("type"), body.get("timestamp"), body.get("data")
    if type(event_id) is not str:
        refuse(Code.WRONG_TYPE, "eventId is not a text", "eventId")
    if type(event_type) is not str:
        refuse(Code.WRONG_TYPE, "type is not a text", "type")
    if type(timestamp) is not str or not is_canonical(timestamp):
        refuse(Code.BAD_TIMESTAMP, "timestamp is not UTC with Z and six fraction digits", "timestamp")
    if type(data) is not dict:
        refuse(Code.WRONG_TYPE, "data is not an object", "data")
    text = "" if key is None else key.decode("latin-1")
    # The key decides who may see a record, its value what they see: the two must say the same.
    team_id, actor_id = body.get("teamId"), body.get("actorId")
    if event_type in usual_task.TYPES and text == f"team:{team_id}" and usual_task.is_data(data, team_id, actor_id):
        return new(UnifiedRecord, (new(UnifiedEvent, (text, event_id, event_type, team_id, actor_id, timestamp, data)), source))
    team_id, actor_id = _id(body, "teamId"), _id(body, "actorId")
    if event_type in RULES:
        agrees = text == check_data(event_type, data, team_id, actor_id, refuse)
    else:
        agrees = _KEY.fullmatch(text) is not None and (text[0] == "u" or text == f"team:{team_id}")
    if not agrees:
        refuse(Code.TYPE_MISMATCH, "the key is not that of the event", "key")
    return UnifiedRecord(UnifiedEvent(text, event_id, event_type, team_id, actor_id, timestamp, data), source)


def _id(body: dict[str, Any], field: str) -> int | None:
    found = body.get(field)
    if found is None or (type(found) is int and 0 < found <= MAX_ID):
        return found
    raise BadRecord(Code.WRONG_TYPE, f"{field} is neither an id nor null", field)


def _usual_source(values: tuple[bytes | None, ...] | None) -> Source | None:
    """What `_source` gives for the values of our own headers; None where that is to be asked."""
    if values is None:
        return None
    raw_topic, raw_partition, raw_offset, raw_timestamp, version = values
    topic = _TOPICS.get(raw_topic)
    if topic is None or version != FORMAT or raw_partition is None or raw_offset is None or raw_timestamp is None:
        return None
    try:
        partition, offset, timestamp = int(raw_partition), int(raw_offset), int(raw_timestamp)
    except ValueError:
        return None
    within = 0 <= partition < _INT32 and 0 <= offset < _INT64 and -1 <= timestamp < _INT64
    return new(Source, (topic, partition, offset, timestamp)) if within else None


def _source(headers: Sequence[tuple[str, bytes | None]]) -> Source:
    found = dict(headers)
    topic, partition, offset, timestamp = map(found.get, _SOURCE_HEADERS)
    version = found.get("v")
    if version != FORMAT:
        refuse(Code.WRONG_TYPE, "the record has a format that is not known here", "v")
    if topic is None or partition is None or offset is None or timestamp is None:
        refuse(Code.MISSING_FIELD, "a source header is missing", "source-topic")
    try:
        source = Source(_TOPICS.get(topic) or topic.decode(), int(partition), int(offset), int(timestamp))
    except ValueError:
        raise BadRecord(Code.WRONG_TYPE, "a source header cannot be read", "source-topic") from None
    # Ranks are texts of fixed width: they need a topic that Kafka would take, and numbers in Kafka's bounds.
    named = topic in _TOPICS or _TOPIC.fullmatch(source.topic) is not None
    if not named or not 0 <= source.partition < _INT32 or not 0 <= source.offset < _INT64 or not -1 <= source.timestamp < _INT64:
        refuse(Code.OUT_OF_RANGE, "a source header says what no Kafka record has", "source-topic")
    return source
