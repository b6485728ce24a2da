"""What is to be written: a record, and where it goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

Headers = Sequence[tuple[str, bytes | None]]


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
    made: Any = None
    """What the value was made from, for those of this process who read it back, and would only make the same of it."""
