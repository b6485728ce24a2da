"""The open feeds of this worker."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from time import monotonic

from app.domain.recent_records import RecentRecords
from app.errors import Unavailable
from delivery.feed import Ask, Encode, Feed
from delivery.owners import JOIN_SECONDS
from delivery.ring import Ring
from delivery.rounds import Rounds
from tables.seed import Seed

IDLE_SECONDS = 60.0
"""How long a feed without listeners goes on being folded, for the next one to find it."""

JOINS_AT_ONCE = 32

SeedOf = Callable[[str], Awaitable[tuple[int, Ring, Seed]]]


class Feeds:
    """Opens a feed for the first who needs it, and closes it some time after the last."""

    def __init__(self, seed_of: SeedOf, encode: Encode, ask: Ask, budget: int, recent: RecentRecords) -> None:
        """Know where feeds begin.

        Args:
            seed_of: Gives a key's partition, its ring, and a seed that the ring leads on from.
            encode: Encodes a feed's snapshot.
            ask: Asks for the rows of a feed again.
            budget: Bytes that the tasks of all feeds may take.
            recent: Records that others here have read, and will.
        """
        self._seed_of = seed_of
        self._encode = encode
        self._ask = ask
        self._budget = budget
        self._recent = recent
        self._rounds = Rounds()
        self._generation = 0
        self.slots = asyncio.Semaphore(JOINS_AT_ONCE)
        """Held by those who wait for a feed, or for what its log holds: so many at once that owners are not flooded."""
        self._feeds: dict[str, Feed] = {}
        self._opening: dict[str, asyncio.Task[Feed]] = {}
        self._used: dict[str, float] = {}
        self._about = 0
        """Bytes of all views when they were last counted, and of those opened since: to count at each opening would take ever longer."""

    def get(self, key: str) -> Feed | None:
        """The feed of a key, if it is open."""
        return self._feeds.get(key)

    def __len__(self) -> int:
        return len(self._feeds)

    @property
    def bytes(self) -> int:
        """What the views of all feeds take."""
        return sum(feed.view.bytes for feed in self._feeds.values())

    def __iter__(self) -> Iterator[Feed]:
        return iter(self._feeds.values())

    async def open(self, key: str) -> Feed:
        """The feed of a key, opened once for all who ask meanwhile.

        Raises:
            Unavailable: There is no seed to be had.
        """
        found = self._feeds.get(key)
        if found is not None:
            self.used(found)
            return found
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = asyncio.ensure_future(self._open(key))
            task.add_done_callback(lambda _done: self._opening.pop(key, None))
        return self.reopen(await asyncio.shield(task))

    async def whole(self, key: str) -> Feed:
        """The feed of a key, with its tasks.

        Raises:
            Unavailable: There is no seed to be had, or the tasks did not come within `JOIN_SECONDS`.
        """
        deadline = monotonic() + JOIN_SECONDS
        while not (feed := await self.open(key)).need_tasks():
            if monotonic() > deadline:
                raise Unavailable(f"the owner of {key} is out of reach")
            await asyncio.sleep(0.01)
        return feed

    def reopen(self, feed: Feed) -> Feed:
        """The open feed of a key, for one who holds a feed of it since before their last await: it may have been closed meanwhile.

        A feed that is not open is told of nothing: who began in it would hear nothing more, and not know.

        Raises:
            Unavailable: What came meanwhile is gone, or the log jumped.
        """
        found = self._feeds.get(feed.key)
        if found is not None:
            return found
        if feed.generation != self._generation or not feed.go_on():
            raise Unavailable(f"the feed of {feed.key} was closed, and the log is too far behind it")
        self._note(feed)
        return feed

    async def _open(self, key: str) -> Feed:
        generation = self._generation
        partition, ring, seed = await self._seed_of(key)
        if generation != self._generation:
            raise Unavailable("the log jumped while the rows were on their way")
        found = self._feeds.get(key)
        if found is not None:
            return found  # reopened while the rows were on their way: whoever began in it is not to be left behind
        # No await from here on: what the ring holds behind the seed is folded before anything new is.
        feed = Feed(key, partition, ring, seed, self._encode, self._ask, self._recent, self._rounds, generation)
        self._note(feed)
        if self._about > self._budget:
            self.shrink()
        return feed

    def _note(self, feed: Feed) -> None:
        self._feeds[feed.key] = feed
        self.used(feed)
        self._about += feed.view.bytes

    def used(self, feed: Feed) -> None:
        """Note that a feed was needed just now."""
        self._used[feed.key] = monotonic()

    def close_idle(self) -> None:
        """Close the feeds that nobody has needed for `IDLE_SECONDS`."""
        before = monotonic() - IDLE_SECONDS
        for key, since in list(self._used.items()):
            feed = self._feeds.get(key)
            if feed is None:
                del self._used[key]
            elif since < before and not feed.cursors:
                self.close(feed)

    def shrink(self) -> None:
        """Keep to the budget: close the feeds without listeners that were used longest ago, then drop the tasks of others."""
        total = self._about = self.bytes
        if total <= self._budget:
            return
        oldest = sorted(self._feeds.values(), key=lambda feed: (bool(feed.cursors), self._used.get(feed.key, 0.0)))
        for feed in oldest[:-1]:  # the newest is what somebody waits for right now
            if total <= self._budget:
                break
            total -= feed.view.bytes
            if feed.cursors:
                feed.view.forget_tasks()
            else:
                self.close(feed)
        self._about = total

    def close(self, feed: Feed) -> None:
        """Close a feed."""
        if self._feeds.get(feed.key) is feed:
            feed.rest()
            del self._feeds[feed.key]
            self._used.pop(feed.key, None)

    def clear(self) -> None:
        """Forget every feed, and those that are being opened."""
        self._generation += 1
        self._feeds.clear()
        self._used.clear()
