"""What is to be written: a record, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

Headers = Sequence[tuple[str, bytes]]


class Outgoing(NamedTuple):
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """``None``: Kafka's default partitioner decides by the key."""
    timestamp: int | None = None
    """Milliseconds since the epoch; where the topic keeps the broker's time it is not used. ``None``: now."""
