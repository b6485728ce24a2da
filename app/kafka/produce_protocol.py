"""The produce request and its answer as bytes, version 7."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple

API_KEY = 0
VERSION = 7
"""Brokers since 2.1 speak it, and 4.x still do."""

_REQUEST = struct.Struct(">hhii")
_LENGTH = struct.Struct(">H")
"""Of a name; it has one, so what would be less than nothing is beyond the end: no answer leads back to what was read."""
_COUNT = struct.Struct(">i")
_BATCH = struct.Struct(">ii")
_PART = struct.Struct(">ihqqq")
_NONE = -1
_ALL = -1


class Part(NamedTuple):
    """What became of one partition's batch."""

    topic: str
    partition: int
    error_code: int
    offset: int
    """Of the batch's first record; -1 where the broker does not know it any more."""
    timestamp: int
    """That the broker gave the records, milliseconds; -1 where they keep their own."""


def encode(timeout_ms: int, batches: Mapping[str, Sequence[tuple[int, bytes | bytearray]]]) -> bytes:
    """The body of a request that is answered once every in-sync replica has everything.

    Args:
        timeout_ms: How long the broker waits for its replicas.
        batches: Partitions and their record batches, by topic; one of a partition.
    """
    pieces: list[bytes | bytearray] = [_REQUEST.pack(_NONE, _ALL, timeout_ms, len(batches))]
    for topic, parts in batches.items():
        name = topic.encode()
        pieces += (_LENGTH.pack(len(name)), name, _COUNT.pack(len(parts)))
        for number, records in parts:
            pieces += (_BATCH.pack(number, len(records)), records)
    return b"".join(pieces)


def decode(frame: bytes | memoryview) -> list[Part]:
    """Read the answer, behind its correlation id.

    Raises:
        struct.error: It ends before it is whole.
    """
    (topics,) = _COUNT.unpack_from(frame)
    at = _COUNT.size
    parts = []
    for _ in range(topics):
        (length,) = _LENGTH.unpack_from(frame, at)
        at += _LENGTH.size + length
        topic = str(frame[at - length : at], "utf-8", "replace")
        (count,) = _COUNT.unpack_from(frame, at)
        at += _COUNT.size
        for _ in range(count):
            number, code, offset, timestamp, _start = _PART.unpack_from(frame, at)
            at += _PART.size
            parts.append(Part(topic, number, code, offset, timestamp))
    _COUNT.unpack_from(frame, at)  # the end of it: how long a quota holds us back
    return parts
