"""Resuming: from a client's position to what it missed, or to the reason why a snapshot must take its place."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain import positions
from app.domain.positions import Position
from app.errors import Unavailable
from delivery.entry import Entry
from delivery.feed import Feed
from delivery.listener import GapReason
from delivery.log_reader import LogReader
from delivery.tail import Tail

WAIT_SECONDS = 20.0
"""How long a tail that is behind a client's position is waited for."""


@dataclass(slots=True, frozen=True)
class Resumed:
    """How a client goes on."""

    gap: GapReason | None
    """Why it cannot; else ``None``."""
    after: int = -1
    """Offset behind which it has seen nothing."""
    backlog: tuple[Entry, ...] = ()
    """Records behind that offset that the ring does not hold any more, oldest first."""
    source: str = "memory"
    """Where the answer came from: memory, log or snapshot."""


async def resume(tail: Tail, reader: LogReader, feed: Feed, text: str, read_max: int) -> Resumed:
    """Find out what a client at a position has missed of a feed.

    Args:
        tail: What this worker reads.
        reader: For what the ring does not hold any more.
        feed: The team's.
        text: The position that the client gave.
        read_max: Records that lie between at most; more is a gap.

    Raises:
        Unavailable: The log is out of reach, or this worker is too far behind it.
    """
    position = positions.parse(text)
    if position is None or position.log != tail.log_id:
        return Resumed("unknown", source="snapshot")
    if position.offset >= tail.next(feed.partition):
        if position.offset >= await tail.end(feed.partition):
            return Resumed("unknown", source="snapshot")
        if not await tail.wait_for(feed.partition, position.offset, WAIT_SECONDS):
            raise Unavailable("this worker is behind the position that the client has seen")
    names = _Names(feed, position)
    if position.offset >= feed.last_offset:
        # Nothing came since, whether or not the record at the position is still there.
        right = names.place or (position.offset == feed.last_offset and position.check == feed.last_check)
        return Resumed(None, max(position.offset, feed.head)) if right else Resumed("unknown", source="snapshot")
    # From the record itself on, to see that it is the one; a place between records has none.
    held = feed.ring.after(feed.key, position.offset - (not names.place))
    if held is not None:
        right = names.place or (bool(held) and names.record(held[0]))
        return Resumed(None, position.offset) if right else Resumed("unknown", source="snapshot")
    return await _from_log(tail, reader, feed, names, read_max)


async def _from_log(tail: Tail, reader: LogReader, feed: Feed, names: _Names, read_max: int) -> Resumed:
    start, position = feed.ring.start, names.position
    if start - position.offset > read_max:
        return Resumed("far", source="snapshot")
    first = position.offset + 1 if names.place else position.offset
    entries = await reader.read(tail.log_id, feed.partition, feed.key, first, start)
    if entries is None:
        return Resumed("retention", source="snapshot")
    if entries and entries[0].offset == position.offset:
        if not (names.place or names.record(entries[0])):
            return Resumed("unknown", source="snapshot")
        entries = entries[1:]
    elif not names.place:
        return Resumed("unknown", source="snapshot")
    # What was read ends where the ring began; what the ring has dropped since is gone for this cursor, and it will find out.
    return Resumed(None, start - 1, tuple(entries), "log")


class _Names:
    """What a position names: a record of this feed, or a place between its records that a snapshot was taken at."""

    def __init__(self, feed: Feed, position: Position) -> None:
        self.position = position
        self.place = position.check == positions.check(position.log, feed.key, position.offset, ())

    def record(self, entry: Entry) -> bool:
        return entry.offset == self.position.offset and entry.check == self.position.check
