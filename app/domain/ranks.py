"""Ranks: the one total order of all events, as texts that compare like tuples.

An event's rank is (timestamp, source timestamp, class, source topic, source partition, source offset). Every part has a fixed width, but
for the topic: its characters (``[a-zA-Z0-9._-]``) are all greater than the space that ends it. So comparing two ranks is comparing two
strings, which is what makes a merge of rows cheap.
"""

from __future__ import annotations

from typing import Final

from app.domain.events import Source

CLASSES: Final[dict[str, str]] = {
    "task.created": "0",
    "team.created": "0",
    "team.member_added": "0",
    "user.created": "0",
    "task.updated": "1",
    "team.updated": "1",
    "team.member_role_updated": "1",
    "task.completed": "2",
    "task.deleted": "3",
    "team.deleted": "3",
    "team.member_removed": "3",
}
"""The class of every event type: at one instant a thing is made, changed, completed, and then deleted."""

TIMESTAMP_LENGTH: Final = 27
"""Characters of ``2026-11-23T10:00:00.123456Z``."""

MAX_SOURCE_TIMESTAMP: Final = 16**12 - 1
"""Milliseconds that twelve hex digits hold (the year 10889)."""


def rank(event_type: str, timestamp: str, source: Source) -> str:
    """The rank of the event that came from ``source``.

    Args:
        event_type: one of ``CLASSES``.
        timestamp: the event's own time as in ``UnifiedEvent.timestamp``: always 27 characters.
        source: the source record; a time before 1970 counts as 1970 (Kafka says -1 where a record has none).

    Raises:
        KeyError: the type has no class.
    """
    millis = source.timestamp
    if not 0 <= millis <= MAX_SOURCE_TIMESTAMP:
        millis = 0 if millis < 0 else MAX_SOURCE_TIMESTAMP
    return f"{timestamp}{millis:012x}{CLASSES[event_type]}{source.topic} {source.partition:08x}{source.offset:016x}"


def timestamp_of(rank: str) -> str:
    """The timestamp of the event that has this rank."""
    return rank[:TIMESTAMP_LENGTH]


def source_millis(rank: str) -> int:
    """The time of the source record whose event has this rank, milliseconds since the epoch."""
    return int(rank[TIMESTAMP_LENGTH : TIMESTAMP_LENGTH + 12], 16)
