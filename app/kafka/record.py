"""A record as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Record(NamedTuple):
    """A record of a partition, with the names that aiokafka gives its own.

    A tuple, and not that data class: two are made of every event, and one of these takes a quarter of the time.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    """Milliseconds since the epoch; -1: it has none."""
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
    made: Any = None
    """What the value was made from, where this process wrote it and keeps that (`app.kafka.outgoing.Outgoing.made`)."""
