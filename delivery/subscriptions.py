"""Subscribing: a listener begins in a feed from a position that it gives, or from now."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace

from app import metrics
from app.domain import positions
from app.domain.stream_ids import Places
from delivery.cursor import Cursor
from delivery.feed import Feed
from delivery.feeds import Feeds
from delivery.listener import GapReason, Listener
from delivery.log_reader import LogReader
from delivery.membership import is_member, is_touched
from delivery.owners import Owners
from delivery.presence import Presence
from delivery.resume import Resumed, resume


@dataclass(slots=True, frozen=True)
class Plan:
    """How a subscription to one feed begins."""

    feed: Feed
    resumed: Resumed | None
    """How the client's position leads on; ``None`` when it gave none."""
    snapshot: bool
    """Whether it asked for a snapshot."""
    presence: bool = False
    """Whether it asked who is online."""

    @property
    def key(self) -> str:
        """``team:<id>`` or ``user:<id>``."""
        return self.feed.key

    @property
    def leads_on(self) -> bool:
        """Whether the client's position is where it goes on from."""
        return self.resumed is not None and self.resumed.gap is None


class Subscriptions:
    """Plans subscriptions, which may wait for owners and the log, and begins them, which waits for nothing."""

    def __init__(self, owners: Owners, feeds: Feeds, reader: LogReader, read_max: int, presence: Presence[Cursor]) -> None:
        self._owners = owners
        self._feeds = feeds
        self._reader = reader
        self._read_max = read_max
        self._presence = presence

    async def plan(self, listener: Listener, key: str, since: str | None, *, snapshot: bool, presence: bool = False) -> Plan | None:
        """Prepare a subscription; ``None`` when the user is no member.

        Raises:
            Unavailable: The owner or the log stayed out of reach.
        """
        async with self._feeds.slots:
            feed = await self._feeds.whole(key)
            if not is_member(listener.user_id, feed.view):
                return None
            resumed = None
            if since is not None:
                resumed = await resume(self._owners.tail, self._reader, feed, since, self._read_max)
                metrics.RESUMES.labels(source=resumed.source).inc()
            return Plan(feed, resumed, snapshot, presence)

    async def resume_all(self, listener: Listener, keys: Iterable[str], places: Places) -> None:
        """Begin in each of these feeds where a listener was, or with a gap where that is not known.

        Raises:
            Unavailable: An owner or the log stayed out of reach.
        """
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.plan(listener, key, self._since(key, places), snapshot=False)) for key in keys]
        for task in tasks:
            plan = task.result()
            if plan is not None:
                self.begin(listener, plan)

    def _since(self, key: str, places: Places) -> str:
        """The position of a place between a key's records; "", which is none, where the place is not known."""
        place = places.of(key, self._owners.partition(key))
        return "" if place is None else positions.position(self._owners.tail.log_id, key, place, ())

    def renew(self, listener: Listener, plan: Plan) -> Plan | None:
        """A plan, as it can be begun right now; ``None`` when the user is no member any more.

        Raises:
            Unavailable: The feed was closed meanwhile, and cannot go on.
        """
        feed = self._feeds.reopen(plan.feed)
        return replace(plan, feed=feed) if is_member(listener.user_id, feed.view) else None

    def begin(self, listener: Listener, plan: Plan) -> bool:
        """Begin a planned subscription; whether the user is a member still. No await: what is checked here holds.

        Raises:
            Unavailable: As `renew`.
        """
        if listener.closed or (now := self.renew(listener, plan)) is None:
            return False
        feed, resumed = now.feed, now.resumed
        present = listener.cursors.get(feed.key)
        if present is not None:
            self.end(present)
        presence = self._presence if plan.presence else None
        gap: GapReason | None = None
        if resumed is not None:
            gap = resumed.gap or self._proof(listener, feed, resumed)
            if gap is None and not feed.need_tasks():  # dropped while others were being planned
                gap = "overflow"
            if gap is None:
                backlog = list(resumed.backlog)
                feed.settle(backlog)
                feed.settle(feed.after(resumed.after) or [])
                feed.place(Cursor(feed, listener, resumed.after, backlog, presence=presence))
                return True
            listener.sink.gap(feed.key, gap)
        snapshot_after = 0 if plan.snapshot or gap is not None else None
        feed.place(Cursor(feed, listener, feed.head, snapshot_after=snapshot_after, presence=presence))
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

    def end(self, cursor: Cursor) -> None:
        """End a listener's place in a feed."""
        cursor.feed.remove(cursor)
        self._feeds.used(cursor.feed)
