"""The hub: who listens here, to which feeds, and how what the tail reads reaches them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic
from typing import Any

from mode import Service

from app.domain.events import team_key
from app.domain.recent_records import RecentRecords, SharedRecord
from app.domain.stream_ids import Places
from app.errors import Unavailable
from app.settings import Settings
from delivery.attendance import Attendance
from delivery.cursor import Cursor
from delivery.entry import Entry
from delivery.feed import Encode, Feed
from delivery.feeds import Feeds
from delivery.joins import Joins
from delivery.listener import Listener
from delivery.listeners import Listeners
from delivery.log_reader import LogReader
from delivery.owners import Owners, Seeds
from delivery.presence import Presence
from delivery.progress import progress
from delivery.subscriptions import Plan, Subscriptions
from delivery.tail import Tail
from delivery.view import Change

FEEDS_SECONDS = 5.0


class Hub(Service):
    """Listeners by user, feeds by key."""

    def __init__(
        self, settings: Settings, seeds: Seeds, topics: Mapping[str, int], encode: Encode, recent: RecentRecords, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self._reader = LogReader(settings)
        self._owners = Owners(seeds, topics)
        self.feeds = Feeds(self._owners.seed, encode, self._bring_back, settings.view_bytes, recent)
        self._listeners = Listeners(self._owners)
        self._unsent: dict[str, Feed] = {}
        """Feeds that hold what was read and is not written yet; none at any await."""
        self.attendance = Attendance()
        self.presence: Presence[Cursor] = Presence()
        self._joins = Joins(self._owners, self.feeds, self._listeners, self.add_future, self.presence)
        self._subscriptions = Subscriptions(self._owners, self.feeds, self._reader, settings.resume_read_max, self.presence)

    @property
    def tail(self) -> Tail:
        """What reads the log; set once, before anything starts: each needs the other."""
        return self._owners.tail

    @tail.setter
    def tail(self, tail: Tail) -> None:
        self._owners.tail = tail

    # --- what the tail reads

    def on_candidate(self, user_id: int, team_id: int) -> None:
        """Take the next record that says where to look for a user."""
        self._joins.on_candidate(user_id, team_id)

    def on_entry(self, entry: Entry, record: SharedRecord | None = None) -> None:
        """Take the next record of the log; ``record``: it, parsed, if it was."""
        feed = self.feeds.get(entry.key)
        if feed is None:
            self._joins.on_unfed(entry)
            return
        change = feed.take(entry, record)
        if feed.has_unsent:
            self._unsent[entry.key] = feed
        if change is not None:
            self._on_change(feed, entry, change)
        elif feed.waiting:
            self._joins.on_held(entry)

    def _on_change(self, feed: Feed, entry: Entry, change: Change) -> None:
        team_id = feed.view.team_id
        if team_id is None:
            return
        for user_id in change.left:
            self.presence.member_left(team_id, user_id)
        if change.joined is not None:
            self.presence.member_joined(team_id, change.joined)
            self._joins.on_joined(change.joined, feed, entry.offset)

    def flush(self) -> None:
        """Write what was read since the last time: called before anybody else gets a turn."""
        for feed in self._unsent.values():
            feed.flush()
        self._unsent.clear()

    def reset(self) -> None:
        """The log jumped: nothing that is here leads on to what comes next."""
        self.feeds.clear()
        for listener in self._listeners.all():
            self._joins.begin_anew(listener)

    # --- listeners

    def register(self, listener: Listener) -> None:
        """Know a listener: from here on memberships that begin reach it."""
        self._listeners.add(listener)
        self.attendance.enter(listener.user_id)

    def note(self, listener: Listener) -> None:
        """Note where the tail is: what a listener joins from now on it gets from here."""
        self._listeners.note(listener)

    def unregister(self, listener: Listener) -> None:
        """Forget a listener."""
        if self._listeners.remove(listener):
            self.attendance.leave(listener.user_id, monotonic())
        for cursor in list(listener.cursors.values()):
            self.leave(cursor)

    def disconnect(self, user_id: int) -> int:
        """End every connection of a user to this worker; how many there were."""
        return sum(listener.sink.disconnect() for listener in self._listeners.of(user_id))

    def leave(self, cursor: Cursor) -> None:
        """End a listener's place in a feed."""
        self._subscriptions.end(cursor)

    def drained(self, listener: Listener) -> None:
        """A listener's socket takes more again."""
        for cursor in list(listener.cursors.values()):
            if cursor.lagging:
                cursor.catch_up()
            if not listener.sink.ready():
                return

    async def join_all(self, listener: Listener) -> None:
        """Start every feed that a registered listener follows, from the noted offsets on.

        Raises:
            Unavailable: An owner stayed out of reach.
        """
        await self._joins.join_all(listener)

    async def read_candidates(self, user_id: int) -> None:
        """Wait until all teams that a user was in before now are known.

        Raises:
            Unavailable: The log is out of reach, or the tail is too far behind it.
        """
        await self._owners.read_candidates(user_id)

    async def resume_all(self, listener: Listener, places: Places) -> None:
        """Start every feed that a registered listener follows, each where these places say; with a gap where they do not.

        Raises:
            Unavailable: An owner or the log stayed out of reach.
        """
        keys = await self._joins.keys(listener)
        await self._subscriptions.resume_all(listener, keys, places)

    def progress(self, listener: Listener) -> Places:
        """How far a listener has come."""
        return progress(listener, self.tail.offsets())

    def partitions(self, listener: Listener) -> set[int]:
        """The partitions of everything that a listener follows now."""
        return {cursor.feed.partition for cursor in listener.cursors.values()}

    async def plan(self, listener: Listener, key: str, since: str | None, *, snapshot: bool, presence: bool = False) -> Plan | None:
        """Prepare a subscription; ``None`` when the user is no member.

        Raises:
            Unavailable: The owner or the log stayed out of reach.
        """
        return await self._subscriptions.plan(listener, key, since, snapshot=snapshot, presence=presence)

    def renew(self, listener: Listener, plan: Plan) -> Plan | None:
        """A plan, as it can be begun right now; ``None`` when the user is no member any more.

        Raises:
            Unavailable: The feed was closed meanwhile, and cannot go on.
        """
        return self._subscriptions.renew(listener, plan)

    def subscribe(self, listener: Listener, plan: Plan) -> bool:
        """Begin a planned subscription; whether the user is a member still. No await: what is checked here holds."""
        return self._subscriptions.begin(listener, plan)

    # --- feeds, and who is in them

    async def feed(self, key: str) -> Feed:
        """The feed of a key, opened if it is not.

        Raises:
            Unavailable: Its owner, or the tail, stayed out of reach for `delivery.owners.JOIN_SECONDS`.
        """
        return await self.feeds.open(key)

    async def whole_feed(self, key: str) -> Feed:
        """The feed of a key, with its tasks.

        Raises:
            Unavailable: As `feed`.
        """
        return await self.feeds.whole(key)

    def _bring_back(self, feed: Feed) -> None:
        self.add_future(self._restore(feed))

    async def _restore(self, feed: Feed) -> None:
        """Bring a feed's tasks back."""
        try:
            # What the view has folded it does not fold again: rows that lack it would be the tasks as they were.
            _partition, _ring, seed = await self._owners.seed(feed.key, feed.head)
        except Unavailable:
            if not feed.waiting:
                return  # closed meanwhile and reopened, and others have brought them
            self.feeds.close(feed)
            for cursor in list(feed.cursors):
                cursor.unwatch()  # who is a member is not followed any more
                cursor.listener.sink.unavailable()
            return
        if self.feeds.get(feed.key) is not feed or not feed.waiting:
            return  # closed meanwhile; or reopened, and others have brought them
        if feed.torn:
            self.feeds.close(feed)
            for cursor in list(feed.cursors):
                self._joins.restart(cursor, "overflow")
            return
        for entry, change in feed.restored(seed.rows):
            self._on_change(feed, entry, change)

    async def candidates(self, user_id: int) -> list[int]:
        """Teams in which a user may be a member.

        Raises:
            Unavailable: Their owner stayed out of reach.
        """
        return await self._owners.candidates(user_id)

    async def teams_of(self, user_id: int) -> list[tuple[int, str]]:
        """The teams that a user is a member of, and their role in each, sorted.

        Raises:
            Unavailable: An owner stayed out of reach.
        """

        async def role_in(team_id: int) -> tuple[int, str | None]:
            async with self.feeds.slots:
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
        """Give up what is being read and waited for."""
        self._owners.stopped = True
        await self._reader.stop()
