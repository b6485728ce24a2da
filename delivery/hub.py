"""The hub: who listens here, to which feeds; how they join, and how what the tail reads reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mode import Service

from app.domain.errors import BadRecord
from app.domain.events import team_key, user_key
from app.domain.fold import owner_of
from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.partitioner import partition_of
from delivery.cursor import Cursor
from delivery.entry import Entry, type_of
from delivery.feed import CATCH_UP_RECORDS, Feed
from delivery.listener import Listener
from delivery.membership import first_position
from delivery.tail import Tail
from delivery.view import View
from tables.seed import Seed

JOIN_SECONDS = 20.0
"""How long a join waits for a team's owner, and for the tail."""
RETRY_SECONDS = 0.1
JOINS_AT_ONCE = 32
IDLE_SECONDS = 60.0
"""How long a feed without listeners goes on being folded, for the next one to find it."""


@dataclass(slots=True, frozen=True)
class Seeds:
    """Where the rows come from: this worker's own table, or their owner's."""

    rows: Callable[[str, int], Awaitable[Seed]]
    """Rows of a key in a partition.

    Raises:
        Unavailable: The owner is out of reach, moving, or not ready.
    """
    candidates: Callable[[int, int], Awaitable[list[int]]]
    """Teams in which a user may be a member, of all records of the user's partition up to an offset; whether they are one is
    the team's to say.

    Raises:
        Unavailable: As above.
    """


class Hub(Service):
    """Listeners by user, feeds by key."""

    def __init__(self, seeds: Seeds, topics: Mapping[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._seeds = seeds
        self._topics = topics
        self.tail: Tail
        """Set once, before anything starts: each needs the other."""
        self._listeners: dict[int, dict[Listener, None]] = {}
        self._feeds: dict[str, Feed] = {}
        self._opening: dict[str, asyncio.Task[Feed]] = {}
        self._idle: dict[str, float] = {}
        self._slots = asyncio.Semaphore(JOINS_AT_ONCE)

    # --- what the tail reads

    def on_candidate(self, user_id: int, team_id: int) -> None:
        """Take the next record that says where to look for a user.

        It stands in the user's partition, the membership event in the team's, and the tail reads the two in any order.
        So for someone who came a moment ago the event may have been read before they did, and this record after.
        """
        for listener in self._listeners.get(user_id, ()):
            if listener.wants(team_id) and monotonic() - listener.since < JOIN_SECONDS:
                key = team_key(team_id)
                self.add_future(self._join(listener, key, listener.noted[partition_of(key.encode(), self._topics[UNIFIED])]))

    def on_entry(self, entry: Entry) -> None:
        """Take the next record of the log."""
        feed = self._feeds.get(entry.key)
        if feed is not None:
            change = feed.fold(entry)
            if change is not None:
                feed.deliver(entry, change)
                if change.joined is not None:
                    self._joined(change.joined, feed, entry.offset)
            return
        user_id = self._maybe_joins(entry)
        for listener in self._listeners.get(user_id, ()) if user_id else ():
            team_id = int(entry.key.partition(":")[2])
            if listener.wants(team_id):
                self.add_future(self._join(listener, entry.key, entry.offset - 1))

    def _maybe_joins(self, entry: Entry) -> int | None:
        kind = type_of(entry.value)
        if kind not in ("team.member_added", "team.created") or not self._listeners:
            return None
        try:
            event = entry.record.event
            return owner_of(event) if kind == "team.created" else int(event.data["userId"])
        except (BadRecord, ValueError):
            return None

    def _joined(self, user_id: int, feed: Feed, offset: int) -> None:
        for listener in list(self._listeners.get(user_id, ())):
            if listener.wants(int(feed.key.partition(":")[2])):
                self._place(listener, feed, offset - 1)

    def reset(self) -> None:
        """The log jumped: nothing that is here leads on to what comes next."""
        self._feeds.clear()
        self._idle.clear()
        for listeners in list(self._listeners.values()):
            for listener in list(listeners):
                listener.cursors.clear()
                listener.sink.unavailable()

    # --- listeners

    def register(self, listener: Listener) -> None:
        """Know a listener, and note where the tail is: from here on it gets records, and memberships that begin reach it."""
        listener.since = monotonic()
        listener.noted = {partition: offset - 1 for partition, offset in self.tail.offsets().items()}
        self._listeners.setdefault(listener.user_id, {})[listener] = None

    async def join_all(self, listener: Listener) -> None:
        """Start every feed that a registered listener may have, from the noted offsets on.

        Raises:
            Unavailable: An owner stayed out of reach.
        """
        team_ids = [team_id for team_id in await self._candidates(listener.user_id) if listener.wants(team_id)]
        keys = [team_key(team_id) for team_id in team_ids]
        if listener.wanted is None:
            keys.append(user_key(listener.user_id))
        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(self._join_bounded(listener, key))

    async def _join_bounded(self, listener: Listener, key: str) -> None:
        async with self._slots:
            await self._join(listener, key, listener.noted[partition_of(key.encode(), self._topics[UNIFIED])])

    async def _join(self, listener: Listener, key: str, after: int) -> None:
        try:
            feed = await self.feed(key)
        except Unavailable:
            listener.sink.unavailable()
            return
        self._place(listener, feed, after)

    def _place(self, listener: Listener, feed: Feed, after: int) -> None:
        """Begin at an offset, or as far behind it as membership can be proven. No await: the view stays as it is."""
        if listener.closed:
            return
        present = listener.cursors.get(feed.key)
        if present is not None and not present.away:
            return
        entries = feed.ring.after(feed.key, after)
        if entries is None:
            listener.sink.fell_behind()
            return
        if feed.view.team_id is not None:
            if feed.view.role(listener.user_id) is None:
                return
            after = first_position(entries, listener.user_id, after)
        if present is not None:
            present.come_back(after)
            return
        feed.settle(after)
        self._idle.pop(feed.key, None)
        feed.place(Cursor(feed, listener, after))

    def drained(self, listener: Listener) -> None:
        """A listener's socket takes events again."""
        for cursor in list(listener.cursors.values()):
            if cursor.lagging:
                cursor.catch_up(CATCH_UP_RECORDS)
            if not listener.sink.ready():
                return

    def unregister(self, listener: Listener) -> None:
        """Forget a listener."""
        listener.closed = True
        listeners = self._listeners.get(listener.user_id)
        if listeners is not None:
            listeners.pop(listener, None)
            if not listeners:
                del self._listeners[listener.user_id]
        for cursor in list(listener.cursors.values()):
            cursor.feed.remove(cursor)
            if not cursor.feed.cursors:
                self._idle[cursor.feed.key] = monotonic()

    # --- feeds

    async def feed(self, key: str) -> Feed:
        """The feed of a key, opened if it is not.

        Raises:
            Unavailable: Its owner, or the tail, stayed out of reach for `JOIN_SECONDS`.
        """
        found = self._feeds.get(key)
        if found is not None:
            if not found.cursors:
                self._idle[key] = monotonic()
            return found
        task = self._opening.get(key)
        if task is None:
            task = self._opening[key] = asyncio.ensure_future(self._open(key))
            task.add_done_callback(lambda _done: self._opening.pop(key, None))
        return await asyncio.shield(task)

    async def _open(self, key: str) -> Feed:
        partition = partition_of(key.encode(), self._topics[UNIFIED])
        deadline = monotonic() + JOIN_SECONDS
        why: Exception | None = None
        while (left := deadline - monotonic()) > 0 and not self.should_stop:
            try:
                async with asyncio.timeout(left):
                    seed = await self._seeds.rows(key, partition)
            except (Unavailable, TimeoutError) as error:
                why = error
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not await self.tail.wait_for(partition, seed.offset, max(0.0, deadline - monotonic())):
                break
            ring = self.tail.ring(partition)
            if seed.offset + 1 < ring.start:  # the fold is further behind than the ring reaches
                await asyncio.sleep(RETRY_SECONDS)
                continue
            feed = self._feeds[key] = Feed(key, partition, ring, View(key, seed.offset, seed.rows))
            self._idle[key] = monotonic()
            return feed
        raise Unavailable(f"the owner of {key} is out of reach") from why

    async def _candidates(self, user_id: int) -> list[int]:
        partition = partition_of(user_key(user_id).encode(), self._topics[UNIFIED])
        upto = self.tail.next(partition) - 1
        deadline = monotonic() + JOIN_SECONDS
        while True:
            try:
                async with asyncio.timeout(max(0.01, deadline - monotonic())):
                    return await self._seeds.candidates(user_id, upto)
            except (Unavailable, TimeoutError):
                if monotonic() >= deadline or self.should_stop:
                    raise Unavailable(f"the owner of user {user_id} is out of reach") from None
            await asyncio.sleep(RETRY_SECONDS)

    @Service.task
    async def _close_idle(self) -> None:
        while not self.should_stop:
            await self.sleep(IDLE_SECONDS / 4)
            before = monotonic() - IDLE_SECONDS
            for key in [key for key, since in self._idle.items() if since < before]:
                del self._idle[key]
                feed = self._feeds.get(key)
                if feed is not None and not feed.cursors:
                    del self._feeds[key]

    # --- looking in

    async def teams_of(self, user_id: int) -> list[tuple[int, str]]:
        """The teams that a user is a member of, and their role in each, sorted.

        Raises:
            Unavailable: An owner stayed out of reach.
        """
        found = []
        for team_id in await self._candidates(user_id):
            feed = await self.feed(team_key(team_id))
            role = feed.view.role(user_id)
            if role is not None:
                found.append((team_id, role))
        return sorted(found)
