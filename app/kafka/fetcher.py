"""The fetcher: aiokafka's, whose fetches of a broker go on by themselves for as long as nothing happens but records.

aiokafka walks all partitions, starts a task and reads an answer by its schema for each fetch: half a millisecond, whatever it brings.
Here a broker is followed, over the lanes that the consumer has: what changed is asked for in one pass over the partitions, and the answer
read in another. Anything else (a position that has to be looked up, an error, new metadata, a new assignment) ends the following, and
aiokafka's own routine does what there is to do and begins it again.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Collection
from typing import Any

import aiokafka.consumer.consumer
from aiokafka import errors
from aiokafka.consumer.subscription_state import Assignment, TopicPartitionState
from aiokafka.structs import TopicPartition

from app.kafka import fetch_protocol
from app.kafka.appended import Appended
from app.kafka.connection import Connection
from app.kafka.fetch_buffer import FetchBuffer
from app.kafka.fetch_protocol import Answer, Wanted
from app.kafka.fetch_session import FetchSession
from app.kafka.lane import Lane

log = logging.getLogger(__name__)

POLLED_SECONDS = 5.0
"""How often it is noted that every partition is being fetched: Faust warns of one that has not been for a minute and a half."""
REFUSED_SECONDS = 0.05
SOON_MS = 50
"""How long the broker holds a fetch that leaves out what waits to be taken, or is paused: that is to be fetched soon behind it."""
LOOK_SECONDS = 0.5
"""How often it is looked whether there is something to fetch, though nobody has said so."""
CANCEL_SECONDS = 0.01

Followed = list[tuple[TopicPartition, TopicPartitionState]]


class _Moved(Exception):  # noqa: N818  (no error)
    """A partition is to be fetched from another place than was asked for."""


class Fetcher(FetchBuffer):
    """aiokafka's fetcher, following each broker over its lanes."""

    def __init__(self, client: Any, subscriptions: Any, **kwargs: Any) -> None:
        self.lanes: tuple[Lane, ...] = (Lane(),)
        """Set before anything is assigned, if there are to be others."""
        self._sessions: dict[tuple[int, Lane], FetchSession] = {}
        self._sessions_of: Assignment | None = None
        self._asked: dict[asyncio.Future[memoryview], dict[TopicPartition, int]] = {}
        """Fetches under way, and what they are for."""
        self._leaders: tuple[Any, frozenset[Any]] = (None, frozenset())
        self._taken = asyncio.Event()
        """Set when records were taken, or are not wanted any more: there may be something to fetch again."""
        self._polled_at = 0.0
        super().__init__(client, subscriptions, **kwargs)

    def _notify(self, future: Any) -> None:
        if future is not None and future is self._wait_consume_future:
            self._taken.set()
            if self._follows_all(self._subscriptions.subscription and self._subscriptions.subscription.assignment):
                return
        super()._notify(future)

    def _follows_all(self, assignment: Assignment | None) -> bool:
        """Whether every broker that has partitions of ours is being followed: there is nothing to do for aiokafka's routine."""
        if assignment is None:
            return False
        seen = (assignment, self._metadata())
        if self._leaders[0] != seen:
            self._leaders = (seen, frozenset(self._select_read_replica(tp) for tp in assignment.tps))
        return bool(self._in_flight.issuperset(self._leaders[1]))

    def _get_actions_per_node(self, assignment: Assignment) -> Any:
        if self._follows_all(assignment):
            return [], {}, POLLED_SECONDS, False, []
        fetches, resets, seconds, leaderless, resumed = super()._get_actions_per_node(assignment)
        if leaderless:
            # Looked at again a little later: aiokafka's routine asks, for as long as there is none, as fast as brokers answer.
            self._client.force_metadata_update()
            seconds = min(seconds, self._retry_backoff)
        return fetches, resets, seconds, False, resumed

    # --- what need not be fetched

    def bring(self, appended: Appended) -> bool:
        """Keep what this process appended, if it is what comes next; whether nothing that comes before it has to be fetched."""
        lane = self._lane_of(appended.tp)
        here = self.keep_appended(appended, gather=lane.gathers)
        if here:
            lane.brought()
            if lane.gathers:
                lane.gather(len(appended.records), self.release)
        else:
            lane.missed()
        return here

    # --- what moves a position

    def seek_to(self, tp: TopicPartition, offset: int) -> None:
        """Go on from an offset."""
        super().seek_to(tp, offset)
        self._early.pop(tp, None)
        self._leave(lambda places: places.get(tp, offset) != offset)

    def request_offset_reset(self, tps: Collection[TopicPartition], strategy: Any) -> Any:
        """Go on from the log's start or end."""
        found = super().request_offset_reset(tps, strategy)
        for tp in tps:
            self._early.pop(tp, None)
        self._leave(lambda places: not places.keys().isdisjoint(tps))
        return found

    def _leave(self, outdated: Callable[[dict[TopicPartition, int]], bool]) -> None:
        """Wait no longer for what is not wanted any more: the broker may hold it for a while yet."""
        for asked, places in self._asked.items():
            if outdated(places) and not asked.done():
                asked.set_exception(_Moved())

    # --- following a broker

    async def _proc_fetch_request(self, assignment: Assignment, node_id: int, request: Any) -> bool:
        """Follow a broker until there is something for aiokafka's own routine to do."""
        if self._sessions_of is not assignment:
            # Of partitions that it holds a session says what has changed: how far they go would not be known in this assignment.
            for session in self._sessions.values():
                session.reset()
            self._early.clear()
            self._sessions_of = assignment
        followed = {} if self._closed else self._followed(assignment, node_id)
        tasks = [asyncio.ensure_future(self._follow(assignment, node_id, lane, followed)) for lane in followed]
        if not tasks:
            await asyncio.sleep(self._retry_backoff)
            return False
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            return False  # closed, or another assignment: what is under way is of no interest
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in tasks:
            if not task.cancelled():
                task.result()
        return False

    def _followed(self, assignment: Assignment, node_id: int) -> dict[Lane, Followed]:
        """Partitions of a broker, by lane."""
        found: dict[Lane, Followed] = {}
        for tp in sorted(assignment.tps):
            if self._select_read_replica(tp) == node_id:
                found.setdefault(self._lane_of(tp), []).append((tp, assignment.state_value(tp)))
        return found

    def _lane_of(self, tp: TopicPartition) -> Lane:
        others = [lane for lane in self.lanes if not lane.topics]
        return next((lane for lane in self.lanes if tp.topic in lane.topics), *others)

    async def _follow(self, assignment: Assignment, node_id: int, lane: Lane, by_lane: dict[Lane, Followed]) -> None:
        session = self._sessions.setdefault((node_id, lane), FetchSession())
        followed, metadata = by_lane[lane], self._metadata()
        while assignment.active and not self._closed:
            await self._until_taken(followed)
            await lane.turn()
            try:
                connection = await self._connection(node_id, lane)
                # From here on nothing is waited for: what is asked for is what is wanted now.
                self._taken.clear()
                if metadata != self._metadata():
                    metadata = self._metadata()
                    if by_lane != self._followed(assignment, node_id):
                        return
                places = self._places(followed)
                if places is None:
                    return
                if not places:  # paused, or waiting to be taken
                    await self._until_wanted(followed)
                    continue
                rest_ms = lane.rest_ms if len(places) == len(followed) else min(lane.rest_ms, SOON_MS)
                answer = await self._ask(connection, rest_ms, session, places)
            except _Moved:
                continue
            except errors.KafkaError as error:
                log.error("a fetch from broker %s failed: %r", node_id, error)
                await asyncio.sleep(self._retry_backoff)
                return
            finally:
                session.settle()
            if not assignment.active:
                return
            if answer is None:
                await asyncio.sleep(REFUSED_SECONDS)  # whatever the broker does not like, it is not asked in a tight loop
                continue
            count, fine = self._take_answer(assignment, places, answer)
            self._note_polled(assignment)
            if not fine:
                await asyncio.sleep(self._retry_backoff)
                return
            await lane.after(count)

    def _metadata(self) -> Any:
        return self._client.cluster._last_successful_refresh_ms

    def _places(self, followed: Followed) -> dict[TopicPartition, int] | None:
        """Where the next fetch goes on; ``None`` when a position has to be looked up."""
        waiting = self._records
        found: dict[TopicPartition, int] = {}
        for tp, state in followed:
            if tp in waiting:
                continue
            position = state._position
            if position is None:
                return None
            if not state._paused:
                found[tp] = position
        return found

    async def _until_taken(self, followed: Followed) -> None:
        """Wait while records of a broker wait to be taken, so that they do not pile up; not so long that other partitions starve."""
        while self._records:
            backoff = max([self._records[tp].calculate_backoff() for tp, _ in followed if tp in self._records], default=0.0)
            if not backoff:
                return
            self._taken.clear()
            await self._until_taken_at_all(backoff)

    async def _until_wanted(self, followed: Followed) -> None:
        """Wait until something is taken or resumed; a little at most."""
        resumed = [state.resume_fut for _, state in followed if state.resume_fut is not None]
        for one in resumed:
            one.add_done_callback(self._wake)
        try:
            await self._until_taken_at_all()
        finally:
            for one in resumed:
                one.remove_done_callback(self._wake)

    def _wake(self, _done: Any) -> None:
        self._taken.set()

    async def _until_taken_at_all(self, seconds: float = LOOK_SECONDS) -> None:
        timer = self._loop.call_later(seconds, self._taken.set)
        try:
            await self._taken.wait()
        finally:
            timer.cancel()

    async def _connection(self, node_id: int, lane: Lane) -> Connection:
        """The lane's connection.

        Raises:
            KafkaError: The broker is out of reach, or too old.
        """
        connection: Connection | None = await self._client._get_conn(node_id, group=lane)
        if connection is None:
            raise errors.NodeNotReadyError(f"broker {node_id} is not ready")
        if not connection.speaks(fetch_protocol.API_KEY, fetch_protocol.VERSION):
            raise errors.UnsupportedVersionError(f"broker {node_id} is too old: fetches need Kafka 2.3 or later")
        return connection

    async def _ask(self, connection: Connection, rest_ms: int, session: FetchSession, places: dict[TopicPartition, int]) -> Answer | None:
        """Fetch; ``None``: the answer does not stand, and a new session begins.

        Raises:
            KafkaError: The broker is out of reach.
        """
        limits = self._fetch_max_bytes, self._max_partition_fetch_bytes
        wanted = Wanted(rest_ms, self._fetch_min_bytes, *limits, self._isolation_level)
        body = fetch_protocol.encode(wanted, *session.ask(places))
        asked = connection.ask(fetch_protocol.API_KEY, fetch_protocol.VERSION, body)
        self._asked[asked] = places
        try:
            answer = fetch_protocol.decode(await asked)
        except struct.error as error:
            raise errors.KafkaConnectionError(f"an answer cannot be read: {error}") from error
        except (_Moved, asyncio.CancelledError):
            connection.close()  # the next fetch would stand behind the answer to this one
            raise
        finally:
            del self._asked[asked]
        return answer if session.answered(answer.error_code, answer.session_id) else None

    def _note_polled(self, assignment: Assignment) -> None:
        now = time.time()
        if now - self._polled_at > POLLED_SECONDS:
            self._polled_at = now
            for tp in assignment.tps:
                assignment.state_value(tp).timestamp = int(now * 1000)

    async def close(self) -> None:
        """Stop fetching, whatever has become of it, and let go of whoever waits for records."""
        self._closed = True
        tasks = {self._fetch_task, *self._pending_tasks}
        while not all(task.done() for task in tasks):
            # More than once: aiokafka's routine takes a cancellation for that of what it waits for, and goes on.
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
            tasks |= self._pending_tasks
        await asyncio.gather(*tasks, return_exceptions=True)  # what ended one was raised for whoever waited for records
        for waiter in list(self._fetch_waiters):
            self._notify(waiter)


def install() -> None:
    """Let every aiokafka consumer of this process use it; aiokafka looks the class up when a consumer starts."""
    aiokafka.consumer.consumer.Fetcher = Fetcher
