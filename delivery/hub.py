"""The hub: who listens here, to which feeds; how they join, and how what the tail reads reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any

from mode import Service

from app import metrics
from app.domain.errors import BadRecord
from app.domain.events import team_key, user_key
from app.domain.fold import owner_of
from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.partitioner import partition_of
from app.settings import Settings
from delivery.cursor import Cursor
from delivery.entry import Entry, type_of
from delivery.feed import Encode, Feed
from delivery.feeds import Feeds
from delivery.listener import GapReason, Listener
from delivery.log_reader import LogReader
from delivery.membership import first_position, is_touched
from delivery.resume import Resumed, resume
from delivery.ring import Ring
from delivery.tail import Tail
from tables.seed import Seed

JOIN_SECONDS = 20.0
"""How long a join waits for a team's owner, and for the tail."""
RETRY_SECONDS = 0.1
JOINS_AT_ONCE = 32
FEEDS_SECONDS = 5.0


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


@dataclass(slots=True, frozen=True)
class Plan:
    """How a subscription to one feed begins."""

    feed: Feed
    resumed: Resumed | None
    """How the client's position leads on; ``None`` when it gave none."""
    snapshot: bool
    """Whether it asked for a snapshot."""

    @property
    def key(self) -> str:
        """``team:<id>`` or ``user:<id>``."""
        return self.feed.key

    @property
    def leads_on(self) -> bool:
        """Whether the client's position is where it goes on from."""
        return self.resumed is not None and self.resumed.gap is None


class Hub(Service):
    """Listeners by user, feeds by key."""

    def __init__(self, settings: Settings, seeds: Seeds, topics: Mapping[str, int], encode: Encode, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._settings = settings
        self._seeds = seeds
        self._topics = topics
        self._reader = LogReader(settings)
        self._listeners: dict[int, dict[Listener, None]] = {}
        self._slots = asyncio.Semaphore(JOINS_AT_ONCE)
        self.feeds = Feeds(self._seed_of, encode, self._bring_back, settings.view_bytes)
        self.tail: Tail
        """Set once, before anything starts: each needs the other."""

    def partition(self, key: str) -> int:
        """Where a key's records are."""
        return partition_of(key.encode(), self._topics[UNIFIED])

    # --- what the tail reads

    def on_candidate(self, user_id: int, team_id: int) -> None:
        """Take the next record that says where to look for a user.

        It stands in the user's partition, the membership event in the team's, and the tail reads the two in any order.
        So for someone who came a moment ago the event may have been read before they did, and this record after.
        """
        key = team_key(team_id)
        for listener in self._listeners.get(user_id, ()):
            listener.heard.add(team_id)
            if listener.follows(team_id) and monotonic() - listener.since < JOIN_SECONDS:
                self.add_future(self._join(listener, key, listener.noted[self.partition(key)], late=True))

    def on_entry(self, entry: Entry) -> None:
        """Take the next record of the log."""
        feed = self.feeds.get(entry.key)
        if feed is not None:
            change = feed.take(entry)
            if change is not None and change.joined is not None:
                self._joined(change.joined, feed, entry.offset)
            return
        user_id = self._maybe_joins(entry)
        for listener in self._listeners.get(user_id, ()) if user_id else ():
            if listener.follows(int(entry.key.partition(":")[2])) or listener.sink.takes_snapshots:
                self.add_future(self._join(listener, entry.key, entry.offset - 1, live=True))

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
            self._place(listener, feed, offset - 1, live=True, late=False)

    def reset(self) -> None:
        """The log jumped: nothing that is here leads on to what comes next."""
        self.feeds.clear()
        for listeners in list(self._listeners.values()):
            for listener in list(listeners):
                keys = list(listener.cursors)
                listener.cursors.clear()
                if not listener.sink.takes_snapshots:
                    listener.sink.unavailable()
                for key in keys if listener.sink.takes_snapshots else ():
                    self.add_future(self._restart(listener, key))

    async def _restart(self, listener: Listener, key: str) -> None:
        """Begin a subscription anew behind a jump of the log."""
        try:
            feed = await self.feed(key)
        except Unavailable:
            listener.sink.unavailable()
            return
        if listener.closed or key in listener.cursors:
            return
        if not self.is_member(listener, feed):
            listener.sink.left(feed.view.team_id or 0, "removed")
            return
        listener.sink.gap(key, "reset")
        feed.place(Cursor(feed, listener, feed.head, snapshot_after=0))

    # --- listeners

    def register(self, listener: Listener) -> None:
        """Know a listener: from here on memberships that begin reach it."""
        self.note(listener)
        self._listeners.setdefault(listener.user_id, {})[listener] = None

    def note(self, listener: Listener) -> None:
        """Note where the tail is: what a listener joins from now on it gets from here."""
        listener.since = monotonic()
        listener.heard.clear()
        listener.noted = {partition: offset - 1 for partition, offset in self.tail.offsets().items()}

    def unregister(self, listener: Listener) -> None:
        """Forget a listener."""
        listener.closed = True
        listeners = self._listeners.get(listener.user_id)
        if listeners is not None:
            listeners.pop(listener, None)
            if not listeners:
                del self._listeners[listener.user_id]
        for cursor in list(listener.cursors.values()):
            self.leave(cursor)

    def leave(self, cursor: Cursor) -> None:
        """End a listener's place in a feed."""
        cursor.feed.remove(cursor)
        self.feeds.used(cursor.feed)

    def drained(self, listener: Listener) -> None:
        """A listener's socket takes more again."""
        for cursor in list(listener.cursors.values()):
            if cursor.lagging:
                cursor.catch_up()
            if not listener.sink.ready():
                return

    # --- joining: from where the tail was when they came

    async def join_all(self, listener: Listener) -> None:
        """Start every feed that a registered listener follows, from the noted offsets on.

        Raises:
            Unavailable: An owner stayed out of reach.
        """
        keys = [team_key(team_id) for team_id in await self.candidates(listener.user_id) if listener.follows(team_id)]
        if listener.everything:
            keys.append(user_key(listener.user_id))
        async with asyncio.TaskGroup() as group:
            for key in keys:
                group.create_task(self._join_noted(listener, key))

    async def _join_noted(self, listener: Listener, key: str) -> None:
        await self._join(listener, key, listener.noted[self.partition(key)])

    async def _join(self, listener: Listener, key: str, after: int, *, live: bool = False, late: bool = False) -> None:
        try:
            async with self._slots:
                feed = await self.whole_feed(key)
        except Unavailable:
            listener.sink.unavailable()
            return
        self._place(listener, feed, after, live=live, late=late)

    def _place(self, listener: Listener, feed: Feed, after: int, *, live: bool, late: bool) -> None:
        """Begin at an offset, or as far behind it as membership can be proven. No await: the view stays as it is.

        Args:
            listener: Who begins.
            feed: Where.
            after: The offset.
            live: Whether it is the record behind that offset that made them a member.
            late: Whether word of a membership came by itself, which may have begun before.
        """
        present = listener.cursors.get(feed.key)
        if listener.closed or (present is not None and not present.away):
            return
        team_id = feed.view.team_id
        if not self.is_member(listener, feed):
            return
        entries = feed.after(after)
        if entries is None and listener.sink.takes_snapshots and listener.follows(team_id or 0):
            listener.sink.gap(feed.key, "overflow")
            feed.place(Cursor(feed, listener, feed.head, snapshot_after=0))
            return
        if entries is None:
            if listener.follows(team_id or 0):
                listener.sink.fell_behind()
            return
        if team_id is not None:
            listener.heard.add(team_id)
            if present is None and (live or late):
                listener.sink.joined(team_id)
            if not listener.follows(team_id):
                return
            if present is None and late and listener.snapshots:
                # Found late, and a member since before: there is no event to begin with.
                feed.place(Cursor(feed, listener, feed.head, snapshot_after=0))
                return
            after = first_position(entries, listener.user_id, after, feed.view.removed(listener.user_id))
        if present is not None:
            present.come_back(after)
            return
        feed.settle(entries)
        feed.place(Cursor(feed, listener, after, snapshot_after=1 if listener.snapshots else None))

    # --- subscribing: from a position, or from now

    async def plan(self, listener: Listener, key: str, since: str | None, *, snapshot: bool) -> Plan | None:
        """Prepare a subscription; ``None`` when the user is no member.

        Raises:
            Unavailable: The owner or the log stayed out of reach.
        """
        async with self._slots:
            feed = await self.whole_feed(key)
            if not self.is_member(listener, feed):
                return None
            resumed = None
            if since is not None:
                resumed = await resume(self.tail, self._reader, feed, since, self._settings.resume_read_max)
                metrics.RESUMES.labels(source=resumed.source).inc()
            return Plan(feed, resumed, snapshot)

    def is_member(self, listener: Listener, feed: Feed) -> bool:
        """Whether a feed is the listener's to see, by what has been read of the log."""
        return feed.view.user_id == listener.user_id if feed.view.team_id is None else feed.view.role(listener.user_id) is not None

    def subscribe(self, listener: Listener, plan: Plan) -> bool:
        """Begin a planned subscription; whether the user is a member still. No await: what is checked here holds."""
        feed, resumed = plan.feed, plan.resumed
        if listener.closed or not self.is_member(listener, feed):
            return False
        present = listener.cursors.get(feed.key)
        if present is not None:
            self.leave(present)
        gap: GapReason | None = None
        if resumed is not None:
            gap = resumed.gap or self._proof(listener, feed, resumed)
            if gap is None and not feed.need_tasks():  # dropped while others were being planned
                gap = "overflow"
            if gap is None:
                backlog = list(resumed.backlog)
                feed.settle(backlog)
                feed.settle(feed.after(resumed.after) or [])
                feed.place(Cursor(feed, listener, resumed.after, backlog))
                return True
            listener.sink.gap(feed.key, gap)
        feed.place(Cursor(feed, listener, feed.head, snapshot_after=0 if plan.snapshot or gap is not None else None))
        return True

    def _proof(self, listener: Listener, feed: Feed, resumed: Resumed) -> GapReason | None:
        """Why what a client missed may not be given to it as it is; ``None`` when it may."""
        held = feed.after(resumed.after)
        if held is None:
            return "overflow"
        missed = [*resumed.backlog, *held]
        if feed.view.team_id is not None and is_touched(missed, listener.user_id):
            return "membership"
        return None

    # --- feeds, and who is in them

    async def feed(self, key: str) -> Feed:
        """The feed of a key, opened if it is not.

        Raises:
            Unavailable: Its owner, or the tail, stayed out of reach for `JOIN_SECONDS`.
        """
        return await self.feeds.open(key)

    async def whole_feed(self, key: str) -> Feed:
        """The feed of a key, with its tasks.

        Raises:
            Unavailable: As `feed`.
        """
        deadline = monotonic() + JOIN_SECONDS
        feed = await self.feed(key)
        while not feed.need_tasks():
            if monotonic() > deadline:
                raise Unavailable(f"the owner of {key} is out of reach")
            await asyncio.sleep(0.01)
        return feed

    def _bring_back(self, feed: Feed) -> None:
        self.add_future(self._restore(feed))

    async def _restore(self, feed: Feed) -> None:
        """Bring a feed's tasks back."""
        try:
            _partition, _ring, seed = await self._seed_of(feed.key)
        except Unavailable:
            self.feeds.close(feed)
            for cursor in list(feed.cursors):
                cursor.listener.sink.unavailable()
            return
        if self.feeds.get(feed.key) is not feed:
            return
        for entry, change in feed.restored(seed.rows):
            if change.joined is not None:
                self._joined(change.joined, feed, entry.offset)

    async def _seed_of(self, key: str) -> tuple[int, Ring, Seed]:
        """A key's partition, its ring, and a seed that the ring leads on from."""
        partition = self.partition(key)
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
            if seed.offset + 1 >= ring.start:
                return partition, ring, seed
            await asyncio.sleep(RETRY_SECONDS)  # the fold is further behind than the ring reaches
        raise Unavailable(f"the owner of {key} is out of reach") from why

    async def candidates(self, user_id: int) -> list[int]:
        """Teams in which a user may be a member.

        Raises:
            Unavailable: Their owner stayed out of reach.
        """
        deadline = monotonic() + JOIN_SECONDS
        upto = self.tail.next(self.partition(user_key(user_id))) - 1
        while True:
            try:
                async with asyncio.timeout(max(0.01, deadline - monotonic())):
                    return await self._seeds.candidates(user_id, upto)
            except (Unavailable, TimeoutError):
                if monotonic() >= deadline or self.should_stop:
                    raise Unavailable(f"the owner of user {user_id} is out of reach") from None
            await asyncio.sleep(RETRY_SECONDS)

    async def teams_of(self, user_id: int) -> list[tuple[int, str]]:
        """The teams that a user is a member of, and their role in each, sorted.

        Raises:
            Unavailable: An owner stayed out of reach.
        """

        async def role_in(team_id: int) -> tuple[int, str | None]:
            async with self._slots:
                return team_id, (await self.feed(team_key(team_id))).view.role(user_id)

        found = await asyncio.gather(*(role_in(team_id) for team_id in await self.candidates(user_id)))
        return sorted((team_id, role) for team_id, role in found if role is not None)

    @Service.task
    async def _close_idle(self) -> None:
        while not self.should_stop:
            await self.sleep(FEEDS_SECONDS)
            self.feeds.close_idle()
            self.feeds.shrink()

    async def on_stop(self) -> None:
        """Give up what is being read."""
        await self._reader.stop()
