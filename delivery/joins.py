"""Joining: a listener begins in a team's feed from where the log was when they came, or with the record that makes them a member."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any

from app.domain.errors import BadRecord
from app.domain.events import team_key, user_key
from app.domain.fold import owner_of
from app.errors import Unavailable
from delivery.cursor import Cursor
from delivery.entry import Entry, type_of
from delivery.feed import Feed
from delivery.feeds import Feeds
from delivery.listener import GapReason, Listener
from delivery.listeners import Listeners
from delivery.membership import first_position, is_member
from delivery.owners import JOIN_SECONDS, Owners
from delivery.presence import Presence

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs something for as long as the worker lasts."""


class Joins:
    """Places listeners in feeds, by themselves or because the log says so."""

    def __init__(self, owners: Owners, feeds: Feeds, listeners: Listeners, spawn: Spawn, presence: Presence[Cursor]) -> None:
        self._owners = owners
        self._feeds = feeds
        self._listeners = listeners
        self._spawn = spawn
        self._presence = presence

    # --- what the tail reads

    def on_candidate(self, user_id: int, team_id: int) -> None:
        """Take the next record that says where to look for a user.

        It stands in the user's partition, the membership event in the team's, and the tail reads the two in any order.
        So for someone who came a moment ago the event may have been read before they did, and this record after.
        """
        key = team_key(team_id)
        for listener in self._listeners.of(user_id):
            listener.heard.add(team_id)
            if listener.follows(team_id) and monotonic() - listener.since < JOIN_SECONDS:
                self._spawn(self._begin_join(listener, key, listener.noted[self._owners.partition(key)], late=True))

    def on_unfed(self, entry: Entry) -> None:
        """Take the next record of a key that has no feed here: it may be what makes a listener a member."""
        user_id = self._maybe_joins(entry)
        for listener in self._listeners.of(user_id) if user_id else ():
            if listener.follows(int(entry.key.partition(":")[2])) or listener.sink.takes_snapshots:
                self._spawn(self._begin_join(listener, entry.key, entry.offset - 1, live=True))

    def on_held(self, entry: Entry) -> None:
        """Take a record that waits, with others, for its feed's tasks: whom it makes a member has not begun there yet."""
        user_id = self._maybe_joins(entry)
        for listener in self._listeners.of(user_id) if user_id else ():
            if listener.follows(int(entry.key.partition(":")[2])):
                self._spawn(self._begin_join(listener, entry.key, entry.offset - 1, live=True))

    def _maybe_joins(self, entry: Entry) -> int | None:
        kind = type_of(entry.value)
        if kind not in ("team.member_added", "team.created") or not self._listeners:
            return None
        try:
            event = entry.record().event
            return owner_of(event) if kind == "team.created" else int(event.data["userId"])
        except (BadRecord, ValueError):
            return None

    def on_joined(self, user_id: int, feed: Feed, offset: int) -> None:
        """The record at an offset made a user a member."""
        for listener in self._listeners.of(user_id):
            self._place(listener, feed, offset - 1, live=True, late=False)

    # --- from where the tail was when they came

    async def join_all(self, listener: Listener) -> None:
        """Start every feed that a registered listener follows, from the noted offsets on.

        Raises:
            Unavailable: An owner stayed out of reach, or all of it took longer than `JOIN_SECONDS`.
        """
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                keys = await self.keys(listener)
                async with asyncio.TaskGroup() as group:
                    for key in keys:
                        group.create_task(self._begin_join(listener, key, listener.noted[self._owners.partition(key)]))
        except TimeoutError:
            raise Unavailable("not all of it could be joined in time") from None

    async def keys(self, listener: Listener) -> list[str]:
        """What a listener may follow now: its user's teams, as far as it wants them, and their own stream.

        Raises:
            Unavailable: Their owner stayed out of reach.
        """
        keys = [team_key(team_id) for team_id in await self._owners.candidates(listener.user_id) if listener.follows(team_id)]
        return [*keys, user_key(listener.user_id)] if listener.everything else keys

    def _begin_join(self, listener: Listener, key: str, after: int, *, live: bool = False, late: bool = False) -> Coroutine[Any, Any, None]:
        # Known from now on, and not only once it runs: what is delivered meanwhile must not count as all that there was.
        coming = (key, after)
        listener.coming.append(coming)
        return self._join(listener, coming, live=live, late=late)

    async def _join(self, listener: Listener, coming: tuple[str, int], *, live: bool, late: bool) -> None:
        key, after = coming
        try:
            async with self._feeds.slots:
                feed = await self._feeds.whole(key)
            listener.coming.remove(coming)
            self._place(listener, feed, after, live=live, late=late)
        except Unavailable:
            listener.sink.unavailable()

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
        if not is_member(listener.user_id, feed.view):
            return
        presence = self._presence if listener.presence else None
        entries = feed.after(after)
        if entries is None and listener.sink.takes_snapshots and listener.follows(team_id or 0):
            listener.sink.gap(feed.key, "overflow")
            feed.place(Cursor(feed, listener, feed.head, snapshot_after=0, presence=presence))
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
                feed.place(Cursor(feed, listener, feed.head, snapshot_after=0, presence=presence))
                return
            user_id = listener.user_id
            after = first_position(entries, user_id, after, feed.view.removed(user_id), feed.view.added(user_id))
        if present is not None:
            present.come_back(after)
            return
        feed.settle(entries)
        feed.place(Cursor(feed, listener, after, snapshot_after=1 if listener.snapshots else None, presence=presence))

    # --- behind a jump of the log

    def begin_anew(self, listener: Listener) -> None:
        """Begin each subscription anew."""
        if not listener.cursors and not listener.sink.takes_snapshots:
            listener.sink.unavailable()
        for cursor in list(listener.cursors.values()):
            self.restart(cursor, "reset")

    def restart(self, cursor: Cursor, reason: GapReason) -> None:
        """Begin a subscription anew: nothing that was delivered leads on to what comes next."""
        listener = cursor.listener
        cursor.feed.remove(cursor)
        if not listener.sink.takes_snapshots:
            listener.sink.unavailable()
            return
        listener.coming.append((cursor.feed.key, None))
        self._spawn(self._restart(listener, cursor, reason))

    async def _restart(self, listener: Listener, before: Cursor, reason: GapReason) -> None:
        key = before.feed.key
        try:
            feed = await self._feeds.open(key)
        except Unavailable:
            listener.sink.unavailable()
            return
        listener.coming.remove((key, None))
        if listener.closed or key in listener.cursors:
            return
        if not is_member(listener.user_id, feed.view):
            listener.sink.left(feed.view.team_id or 0, "removed")
            return
        listener.sink.gap(key, reason)
        feed.place(Cursor(feed, listener, feed.head, snapshot_after=0, presence=before.presence))
