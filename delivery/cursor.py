"""A cursor: one listener's place in one team's log. Nothing is queued: what a listener has not taken stays in the ring."""

from __future__ import annotations

from typing import TYPE_CHECKING

from delivery.entry import Entry
from delivery.listener import Listener

if TYPE_CHECKING:
    from delivery.feed import Feed


class Cursor:
    """A listener's place in a feed."""

    __slots__ = ("_away", "feed", "lagging", "listener", "position")

    def __init__(self, feed: Feed, listener: Listener, position: int) -> None:
        self.feed = feed
        self.listener = listener
        self.position = position
        """Offset of the last record that was delivered or is none of theirs."""
        self.lagging = True
        """Whether records may wait in the ring, so that a new one must not overtake them."""
        self._away: list[tuple[int, int | None]] = []

    def leave(self, at: int) -> None:
        """The record at this offset ended the membership: it is the last one."""
        if not self.away:
            self._away.append((at, None))

    def come_back(self, after: int) -> None:
        """A record behind this offset made them a member again, before all that came before was delivered."""
        if self.away:
            left, _ = self._away.pop()
            self._away.append((left, after))

    @property
    def away(self) -> bool:
        """Whether the listener is no member at the end of the log."""
        return bool(self._away) and self._away[-1][1] is None

    def _theirs(self, offset: int) -> bool:
        return not any(left < offset and (back is None or offset <= back) for left, back in self._away)

    def write(self, entry: Entry) -> None:
        """Deliver the next record."""
        if not entry.skipped and (not self._away or self._theirs(entry.offset)):
            self.listener.sink.write(entry)
        self.position = entry.offset

    def catch_up(self, limit: int) -> None:
        """Deliver up to some ``limit`` records that wait, as long as the socket takes them."""
        feed, sink = self.feed, self.listener.sink
        while sink.ready():
            entries = feed.ring.after(feed.key, self.position, limit)
            if entries is None:
                sink.fell_behind()
                return
            # What the feed has not folded yet comes to it by the tail, in a moment.
            entries = [entry for entry in entries if entry.offset <= feed.head]
            if not entries:
                self.lagging = False
                break
            for entry in entries:
                if not sink.ready():
                    return
                self.write(entry)
        if self.away and not self.lagging:
            feed.remove(self)
