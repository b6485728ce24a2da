"""A cursor: one listener's place in one team's log. Nothing is queued: what a listener has not taken stays in the ring."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from delivery.entry import Entry
from delivery.listener import GapReason, LeftReason, Listener
from delivery.presence import Presence
from delivery.run import Run

if TYPE_CHECKING:
    from delivery.feed import Feed


class Cursor:
    """A listener's place in a feed."""

    __slots__ = ("_away", "_backlog", "_left", "_parts", "_snapshot_after", "feed", "lagging", "listener", "position", "presence")

    def __init__(
        self,
        feed: Feed,
        listener: Listener,
        position: int,
        backlog: Iterable[Entry] = (),
        *,
        snapshot_after: int | None = None,
        presence: Presence[Cursor] | None = None,
    ) -> None:
        """Begin behind ``position``.

        Args:
            feed: The team's.
            listener: Whose place it is.
            position: Offset of the last record that was delivered, or is none of theirs.
            backlog: Records that come first; read from the log, and older than what the ring holds.
            snapshot_after: After how many records a snapshot comes; 0: at once; ``None``: never.
            presence: What tells who of the team is online; ``None``: they do not want to know.
        """
        self.feed = feed
        self.listener = listener
        self.position = position
        self.presence = presence
        self.lagging = True
        """Whether something waits, so that a new record must not overtake it."""
        # Empty in nearly all, of which there are as many as clients: an empty deque takes 600 bytes.
        self._backlog: deque[Entry] | None = deque(backlog) or None
        self._snapshot_after = snapshot_after
        self._parts: deque[bytes] | None = None
        self._away: list[tuple[int, int | None]] = []
        self._left: LeftReason = "removed"

    # --- presence

    def watch(self) -> None:
        """See who of the team is online, if that was asked for. What was seen before, a removal has ended."""
        view = self.feed.view
        if self.presence is not None and view.team_id is not None and not self.away:
            self.presence.watch(view.team_id, self, self.listener.user_id, view.member_ids)

    def unwatch(self) -> None:
        """See it no more."""
        if self.presence is not None and self.feed.view.team_id is not None:
            self.presence.unwatch(self.feed.view.team_id, self)

    # --- membership

    def leave(self, at: int, reason: LeftReason) -> None:
        """The record at this offset ended the membership: it is the last one."""
        if not self.away:
            self._away.append((at, None))
            self._left = reason

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

    # --- delivering

    @property
    def delivered(self) -> int | None:
        """Offset up to which the listener has had everything that is theirs; ``None`` while a snapshot is under way."""
        if self._parts or self._snapshot_after is not None:
            return None
        if self._backlog:
            return self._backlog[0].offset - 1
        return self.position if self.lagging else self.feed.sent

    def write(self, entry: Entry) -> bool:
        """Deliver the next record; whether it brings a snapshot behind it."""
        self.position = max(self.position, entry.offset)  # what was read from the log is older than where the ring goes on
        if self._away and not self._theirs(entry.offset):
            return False
        sink = self.listener.sink
        came_back = bool(self._away) and self._came_back(entry.offset) and sink.takes_snapshots
        if not entry.skipped:
            sink.write(entry)
        if came_back:
            self._snapshot_after, self.lagging = 0, True
            return True
        if not (entry.resets and sink.takes_snapshots):
            return False
        self._begin_anew("reset")
        return True

    def _came_back(self, offset: int) -> bool:
        """Whether this is the first record behind a time when they were no member; then they are told of both."""
        over = [(left, back) for left, back in self._away if back is not None and back < offset]
        team_id = self.feed.view.team_id
        if not over or team_id is None:
            return False
        self._away = [one for one in self._away if one not in over]
        self.listener.sink.left(team_id, self._left)
        self.listener.sink.joined(team_id)
        self.watch()
        return True

    def deliver(self, entry: Entry) -> None:
        """Take a new record of the feed: at once, or later from the ring; it may have come from there already."""
        if self.lagging or entry.offset <= self.position:
            return
        if not self.listener.sink.ready():
            self.postpone(entry)
            return
        if self.write(entry):
            self.catch_up()
        elif self.away:
            self._finish()

    def deliver_run(self, run: Run) -> bool:
        """Take new records of the feed that are nothing but events; whether they were written at once, as one."""
        if self.lagging:
            return False
        sink = self.listener.sink
        if self._away or not sink.takes_runs or not sink.ready():
            self.postpone(run.first)
            self.catch_up()
            return False
        self.position = run.last
        sink.write_run(run)
        return True

    def catch_up_by(self, run: Run) -> bool:
        """`catch_up` where a run is, as a rule, all that waits; whether it was, and was written as one.

        Nothing of the feed stands between where this one is and the run.
        """
        if not self.lagging or self._holds_more():
            self.catch_up()
            return False
        self.lagging = False
        if not self.deliver_run(run):
            return False
        if self.feed.sent > run.last:
            self.lagging = True
            self.catch_up()
        return True

    def _holds_more(self) -> bool:
        return bool(self._backlog or self._parts or self._snapshot_after is not None)

    def postpone(self, entry: Entry) -> None:
        """Leave a new record of the feed for later."""
        if not self.lagging:
            # Everything before it has been delivered, however long ago that was.
            self.position = entry.offset - 1
            self.lagging = True

    def catch_up(self) -> None:
        """Deliver what waits, as long as the socket takes it."""
        sink = self.listener.sink
        while self.lagging and sink.ready():
            if self._parts:
                sink.send(self._parts.popleft())
                self._parts = self._parts or None
            elif self._backlog:
                self.write(self._backlog.popleft())
                self._backlog = self._backlog or None
            elif self._snapshot_after == 0:
                if not self._take_snapshot():
                    return
            elif not self._from_ring():
                if self._snapshot_after is None:
                    self.lagging = False
                elif not self._take_snapshot():
                    return
        if not self.lagging and self.away:
            self._finish()

    def _take_snapshot(self) -> bool:
        """Begin to deliver the state as it is; false when it is not all here yet, and the feed will call again."""
        if not self.away:  # else what they may not see any more is in it
            if not self.feed.need_tasks():
                return False
            self.position = max(self.position, self.feed.head)
            self._parts = deque(self.feed.snapshot()) or None
        self._snapshot_after = None
        return True

    def _from_ring(self) -> bool:
        """Deliver some of what the ring holds; whether there was anything to do."""
        feed, sink = self.feed, self.listener.sink
        entries = feed.after(self.position, self._snapshot_after or CATCH_UP_RECORDS)
        if entries is None:
            self._overflow()
            return self.lagging
        # What the feed has not folded yet comes to it by the tail, in a moment.
        entries = [entry for entry in entries if entry.offset <= feed.head]
        for entry in entries:
            if not sink.ready():
                break
            if self.write(entry):
                break
            if self._snapshot_after:
                self._snapshot_after -= 1
        return bool(entries)

    def _overflow(self) -> None:
        if not self.listener.sink.takes_snapshots:
            self.lagging = False
            self.listener.sink.fell_behind()
        elif self.away:
            self.lagging = False
        else:
            if self._away:
                self._away.clear()
                self.watch()
            self._begin_anew("overflow")

    def _begin_anew(self, reason: GapReason) -> None:
        self.listener.sink.gap(self.feed.key, reason)
        self.position = max(self.position, self.feed.head)
        self._backlog = self._parts = None
        self._snapshot_after = 0
        self.lagging = True

    def _finish(self) -> None:
        self.feed.remove(self)
        team_id = self.feed.view.team_id
        if team_id is not None:
            self.listener.sink.left(team_id, self._left)


CATCH_UP_RECORDS = 64
"""Records that a cursor takes from the ring at a time."""
