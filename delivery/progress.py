"""Progress: how far a listener has come in all of its feeds together."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.stream_ids import Places
from delivery.listener import Listener


def progress(listener: Listener, offsets: Mapping[int, int]) -> Places:
    """What was delivered so far. To be asked between two records, or while one is written: nothing moves meanwhile.

    Args:
        listener: Whose.
        offsets: The offset in each partition that the tail reads next. Everything before it has been offered to every
            cursor; those that have not taken it all yet are the exceptions.
    """
    exceptions: dict[str, int | None] = {}
    for key, cursor in listener.cursors.items():
        feed, place = cursor.feed, cursor.delivered
        if place is None or place < feed.last_offset or feed.behind:
            exceptions[key] = place
    for key, place in listener.coming:
        known = exceptions.get(key, place)
        exceptions[key] = None if place is None or known is None else min(place, known)
    return Places({partition: offset - 1 for partition, offset in offsets.items()}, exceptions)
