"""The fetch request and its answer as bytes, version 11: what aiokafka writes and reads by walking a schema, in one pass."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

API_KEY = 1
VERSION = 11
"""Brokers since 2.3 speak it, and 4.x still do; it has sessions (KIP-227)."""

_REQUEST = struct.Struct(">iiiibii")
_LENGTH = struct.Struct(">H")
"""Of a name; it has one, so what would be less than nothing is beyond the end: no answer leads back to what was read."""
_COUNT = struct.Struct(">i")
_WANTED = struct.Struct(">iiqqi")
_ANSWER = struct.Struct(">ihii")
_PART = struct.Struct(">ihqqqi")
_ABORTED = struct.Struct(">qq")
_RECORDS = struct.Struct(">ii")
_UNKNOWN = -1


class Wanted(NamedTuple):
    """What one fetch asks for, beside where."""

    max_wait_ms: int
    min_bytes: int
    max_bytes: int
    partition_bytes: int
    """At most of each partition."""
    isolation_level: int = 0
    rack: str = ""


class Part(NamedTuple):
    """What came of one partition."""

    topic: str
    partition: int
    error_code: int
    highwater: int
    last_stable: int
    aborted: list[tuple[int, int]] | None
    """Producer ids and first offsets of transactions that were aborted."""
    records: bytes


class Answer(NamedTuple):
    """The answer to a fetch."""

    error_code: int
    session_id: int
    parts: list[Part]


def encode(
    wanted: Wanted,
    session_id: int,
    epoch: int,
    changed: Mapping[str, Sequence[tuple[int, int]]],
    gone: Mapping[str, Sequence[int]],
) -> bytes:
    """The body of a request.

    Args:
        wanted: What is asked for.
        session_id: Of the fetch session; 0: none yet.
        epoch: The session's; 0: begin one, -1: none.
        changed: Partitions and their offsets, by topic: those that the session does not have so.
        gone: Partitions that the session is to forget, by topic.
    """
    pieces = [
        _REQUEST.pack(_UNKNOWN, wanted.max_wait_ms, wanted.min_bytes, wanted.max_bytes, wanted.isolation_level, session_id, epoch),
        _COUNT.pack(len(changed)),
    ]
    for topic, places in changed.items():
        pieces += (_text(topic), _COUNT.pack(len(places)))
        pieces += [_WANTED.pack(number, _UNKNOWN, offset, _UNKNOWN, wanted.partition_bytes) for number, offset in places]
    pieces.append(_COUNT.pack(len(gone)))
    for topic, numbers in gone.items():
        pieces += (_text(topic), _COUNT.pack(len(numbers)))
        pieces += [_COUNT.pack(number) for number in numbers]
    pieces.append(_text(wanted.rack))
    return b"".join(pieces)


def decode(frame: bytes | memoryview) -> Answer:
    """Read the answer, behind its correlation id.

    Raises:
        struct.error: It ends before it is whole.
    """
    _throttled, error_code, session_id, topics = _ANSWER.unpack_from(frame)
    at = _ANSWER.size
    parts: list[Part] = []
    for _ in range(topics):
        (length,) = _LENGTH.unpack_from(frame, at)
        at += _LENGTH.size + length
        topic = str(frame[at - length : at], "utf-8", "replace")
        (count,) = _COUNT.unpack_from(frame, at)
        at += _COUNT.size
        for _ in range(count):
            number, code, highwater, last_stable, _start, aborted = _PART.unpack_from(frame, at)
            at += _PART.size
            transactions: Any = None
            if aborted > 0:
                transactions = [_ABORTED.unpack_from(frame, at + one * _ABORTED.size) for one in range(aborted)]
                at += aborted * _ABORTED.size
            _replica, size = _RECORDS.unpack_from(frame, at)
            at += _RECORDS.size + max(0, size)
            if at > len(frame):
                raise struct.error("the answer is cut off")
            parts.append(Part(topic, number, code, highwater, last_stable, transactions, bytes(frame[at - max(0, size) : at])))
    return Answer(error_code, session_id, parts)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return _LENGTH.pack(len(encoded)) + encoded
