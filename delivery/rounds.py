"""Rounds: large teams get their events a pass at a time, in turns with each other and with everything else that the worker does."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

from delivery.cursor import Cursor
from delivery.entry import Entry
from delivery.run import RUN_BYTES, Run

if TYPE_CHECKING:
    from delivery.feed import Feed

AT_ONCE = 500
"""A team with more listeners than that gets what is new in passes."""
PASS = 50
"""Sockets that one pass writes to, some 0.3 ms: an event takes ten turns of the loop and more from its source to its delivery, each
behind one pass. Beside 19,000 listeners with 5 events/s the others' p50 was 18 ms with 50, 25 with 100, 44 with 200, 87 with 500."""

SHARE = 0.2
"""So much of what else a turn of the loop took goes to passes. Where the tail reads a backlog that is 20 ms and more: at one pass in each
turn, who waits would fall behind what the ring holds."""


class Round:
    """The cursors of one feed that what is new has not reached yet, in the order in which it will.

    Who is reached late is written everything that came meanwhile, at once: the busier the worker is, the less a delivery costs.
    """

    __slots__ = ("_bytes", "_cursors", "_entries")

    def __init__(self) -> None:
        self._cursors: dict[Cursor, None] = {}
        self._entries: deque[Entry] = deque()
        """The newest of the feed's records, without a gap: all that are nothing but events, at most `RUN_BYTES`."""
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self._cursors)

    def add(self, cursors: dict[Cursor, None], run: Run) -> None:
        """Take more events for these, the feed's cursors."""
        if not self._cursors:
            self._forget()  # all have left, and what came while there was nobody is not among them
        self._postpone(cursors, run.first)
        self._entries.extend(run.entries)
        self._bytes += sum(len(entry.value) for entry in run.entries)
        while self._bytes > RUN_BYTES and len(self._entries) > 1:
            self._bytes -= len(self._entries.popleft().value)

    def add_alone(self, cursors: dict[Cursor, None], entry: Entry) -> None:
        """Take a record that is more than an event: each of these, the feed's cursors, looks at it by itself."""
        self._postpone(cursors, entry)
        self._forget()

    def _forget(self) -> None:
        self._entries.clear()
        self._bytes = 0

    def discard(self, cursor: Cursor) -> None:
        """One of them is no more."""
        self._cursors.pop(cursor, None)

    def _postpone(self, cursors: dict[Cursor, None], entry: Entry) -> None:
        for cursor in cursors:
            cursor.postpone(entry)
        self._cursors.update(cursors)

    def step(self) -> Iterable[tuple[Run, int]]:
        """Make one pass; the runs that were written, and to how many sockets each."""
        cursors = list(islice(self._cursors, PASS))
        runs: dict[int, Run | None] = {}
        sockets: dict[Run, int] = {}
        for cursor in cursors:
            if cursor not in self._cursors:
                continue  # it ended while others of this pass were written to
            del self._cursors[cursor]
            position = cursor.position
            if position not in runs:
                runs[position] = self._run_after(position)
            run = runs[position]
            if run is None:
                cursor.catch_up()
            elif cursor.catch_up_by(run):
                sockets[run] = sockets.get(run, 0) + 1
        return sockets.items()

    def _run_after(self, position: int) -> Run | None:
        """All that is new for a cursor there, if it is nothing but events."""
        if not self._entries or position + 1 < self._entries[0].offset:
            return None
        found = [entry for entry in self._entries if entry.offset > position]
        return Run(found) if found else None


class Rounds:
    """The rounds that are under way; a pass in a turn of the loop, however many they are, and more where turns are long."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        """Begin with none; ``clock`` gives seconds."""
        self._under_way: dict[Feed, Round] = {}
        self._due = False
        self._clock = clock
        self._called_at = 0.0

    def needed_by(self, feed: Feed) -> bool:
        """Whether what is new in a feed goes by a round: it has many listeners, or some that the last events have not reached yet."""
        return len(feed.cursors) > AT_ONCE or feed in self._under_way

    def add(self, feed: Feed, run: Run) -> None:
        """Take more events of a feed."""
        self._of(feed).add(feed.cursors, run)

    def add_alone(self, feed: Feed, entry: Entry) -> None:
        """Take a record of a feed that is more than an event."""
        self._of(feed).add_alone(feed.cursors, entry)

    def discard(self, cursor: Cursor) -> None:
        """A cursor is no more."""
        if cursor.feed in self._under_way:
            self._under_way[cursor.feed].discard(cursor)

    def _of(self, feed: Feed) -> Round:
        found = self._under_way.get(feed)
        if found is None:
            found = self._under_way[feed] = Round()
        self._call()
        return found

    def _call(self) -> None:
        if self._under_way and not self._due:
            self._due = True
            self._called_at = self._clock()
            asyncio.get_running_loop().call_soon(self._step)

    def _step(self) -> None:
        self._due = False
        now = self._clock()
        until = now + SHARE * (now - self._called_at)
        try:
            self._pass()
            while self._under_way and self._clock() < until:
                self._pass()
        finally:
            self._call()

    def _pass(self) -> None:
        feed, current = next(iter(self._under_way.items()))
        try:
            for run, sockets in current.step():
                feed.count(run, sockets)
        finally:
            del self._under_way[feed]
            if current:
                self._under_way[feed] = current  # behind the others
