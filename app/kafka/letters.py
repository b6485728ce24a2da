"""Dead letters, read back: what each says of itself, which are repeats of one another, and the record that it was made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import orjson

from app.domain import cloudevents, decode, unified
from app.domain.errors import BadRecord, Fault
from app.domain.events import Source
from app.domain.strict_json import load
from app.domain.timestamps import from_millis
from app.domain.topics import UNIFIED
from app.domain.unified import default_event_id
from app.kafka.record import Record

Headers = Sequence[tuple[str, bytes | None]]

APPENDED = ("error", "error-code", "source-topic", "source-partition", "source-offset", "failed-at")
"""What a dead letter has behind the headers of its record, in this order."""
ORIGINAL_SIZE = "original-size"
REPLAYED_FROM, REPLAYED_AT = "replayed-from", "replayed-at"

_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")


class Original(NamedTuple):
    """The record that became a dead letter, as it was."""

    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


@dataclass(slots=True, frozen=True)
class Letter:
    """A dead letter without its value, which may be large."""

    topic: str
    partition: int
    offset: int
    written_ms: int
    """The time of the dead letter's own record."""
    code: str
    error: str
    source_topic: str
    source_partition: int
    source_offset: int
    failed_at: str
    size: int | None
    """Bytes of the value; ``None`` where the record had none."""
    withheld: bool
    """Whether the cluster refused the value for its size, so that it is not here."""
    digest: str
    """Of key and value: tells a letter of this record from one of a topic that was made anew under the same name."""

    @property
    def name(self) -> str:
        """What people call it: the place of the source record."""
        return f"{self.source_topic}-{self.source_partition}-{self.source_offset}"

    @property
    def identity(self) -> str:
        """The same for all repeats of one dead letter, and for them alone."""
        return f"{self.name}-{self.digest}"

    @property
    def place(self) -> str:
        """Where it stands itself."""
        return f"{self.topic}-{self.partition}-{self.offset}"


def letter_of(record: Record) -> Letter | None:
    """The dead letter in a record; ``None`` for a record that somebody else wrote into its topic."""
    headers = list(record.headers)
    withheld = bool(headers) and headers[-1][0] == ORIGINAL_SIZE
    appended = headers[:-1] if withheld else headers
    appended = appended[-len(APPENDED) :]
    if tuple(name for name, _ in appended) != APPENDED:
        return None
    error, code, topic, partition, offset, failed_at = ((value or b"").decode(errors="replace") for _, value in appended)
    size = headers[-1][1] if withheld else None
    try:
        return Letter(
            record.topic,
            record.partition,
            record.offset,
            record.timestamp,
            code,
            error,
            topic if _TOPIC.fullmatch(topic) else "",
            int(partition),
            int(offset),
            failed_at,
            int(size or b"") if withheld else None if record.value is None else len(record.value),
            withheld,
            _digest(record),
        )
    except ValueError:
        return None


def _digest(record: Record) -> str:
    digest = blake2b(digest_size=8)
    for part in (record.key, record.value):
        digest.update(b"-" if part is None else b"%d " % len(part) + part)
    return digest.hexdigest()


def original_of(record: Record) -> Original:
    """The record that a dead letter was made of: the appended headers taken off."""
    headers = list(record.headers)
    appended = len(APPENDED) + (headers[-1][0] == ORIGINAL_SIZE)
    return Original(record.key, record.value, headers[:-appended])


def without_envelope(original: Original) -> Original:
    """The record without the headers that make it a CloudEvent: its value is the event itself."""
    headers = [(name, value) for name, value in original.headers if not name.lower().startswith("ce_") and name.lower() != "content-type"]
    return original._replace(headers=headers)


def named(original: Original, source: Source) -> Original:
    """The record with the id and the time that its event would have had, where it is a JSON object that gives none.

    With both the event is the same however often it is replayed: later ones are repeats. All else stays as it is, byte for byte.

    Args:
        original: The record.
        source: Where it stood.
    """
    if original.value is None or source.topic == UNIFIED:
        return original
    try:
        if cloudevents.mode([(name, value) for name, value in original.headers]) is not None:
            return original  # it names itself
        body = load(original.value)
    except BadRecord:
        return original
    missing = {"eventId": default_event_id(source), "timestamp": from_millis(source.timestamp)}
    missing = {name: text for name, text in missing.items() if body.get(name) is None or (name == "timestamp" and body[name] == "")}
    if not missing:
        return original
    if missing.keys() & body.keys():  # there, and null
        return original._replace(value=orjson.dumps(body | missing))
    end = original.value.rstrip()[:-1].rstrip()
    members = orjson.dumps(missing)[1:]
    return original._replace(value=end + (b"," if body else b"") + members)


def faults_of(original: Original, source: Source) -> list[Fault]:
    """Why the record is no valid event of its topic; empty when it is one."""
    try:
        if source.topic == UNIFIED:
            unified.parse(original.value, original.headers, original.key)
        else:
            decode.decode(original.value, original.headers, source)
    except BadRecord as bad:
        plain = source.topic != UNIFIED and not any(name.lower().startswith(("ce_", "content-type")) for name, _ in original.headers)
        return (decode.faults(source.topic, original.value) if plain else []) or [Fault(bad.field, bad.code, bad.message)]
    return []


def event_id_of(original: Original, source: Source) -> str | None:
    """The id that the event has; ``None`` where the record is none."""
    try:
        if source.topic == UNIFIED:
            return unified.parse(original.value, original.headers, original.key).event.event_id
        return decode.decode(original.value, original.headers, source).event.event_id
    except BadRecord:
        return None


def trailed(original: Original, letter: Letter, at: str) -> Original:
    """The record with headers that say that it is a replay, and of which dead letter; those of an earlier replay make room."""
    kept = [(name, value) for name, value in original.headers if name not in (REPLAYED_FROM, REPLAYED_AT)]
    return original._replace(headers=[*kept, (REPLAYED_FROM, letter.place.encode()), (REPLAYED_AT, at.encode())])
