"""Incremental fetch sessions (KIP-227), which aiokafka does not have: a fetch names what changed, and is answered with what changed.

Without one every partition stands in every request and every answer: some 100 of them in ours, 0.7 ms of CPU here and as much again
at the broker, for each fetch that brings a single record.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Any

import aiokafka.consumer.consumer
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.protocol.fetch import FetchRequest

SESSIONS_SINCE = 7
"""Version of the fetch request that has sessions; brokers since 1.1 speak it."""
_LEADER_EPOCH_SINCE = 9
_RACK_SINCE = 11
_UNKNOWN = -1
_MAX_EPOCH = 2**31 - 1
POLLED_SECONDS = 5.0
"""How often it is noted that every partition is being fetched: Faust warns of one that has not been for a minute and a half."""

REFUSED_SECONDS = 0.05

Topics = list[tuple[str, list[Any]]]


class FetchSession:
    """What one broker holds of one consumer's fetches. Anything unexpected begins a new session, which names every partition."""

    def __init__(self) -> None:
        self._id = 0
        self._epoch = 0
        self._held: dict[tuple[str, int], tuple[int, int]] = {}
        self._asked: dict[tuple[str, int], tuple[int, int]] | None = None

    def reset(self) -> None:
        """Begin anew with the next fetch."""
        self._id, self._epoch, self._held, self._asked = 0, 0, {}, None

    def ask(self, topics: Topics) -> tuple[int, int, Topics, Topics]:
        """The session's id and epoch, the partitions that the broker has not or has at another offset, and those that it is to forget."""
        asked = {(topic, partition): (offset, size) for topic, partitions in topics for partition, offset, size in partitions}
        changed, gone = defaultdict(list), defaultdict(list)
        for tp, place in asked.items():
            if self._held.get(tp) != place:
                changed[tp[0]].append((tp[1], *place))
        if len(asked) < len(self._held) or not asked.keys() >= self._held.keys():
            for topic, partition in self._held.keys() - asked.keys():
                gone[topic].append(partition)
        self._asked = asked
        return self._id, self._epoch, list(changed.items()), list(gone.items())

    def answered(self, error_code: int, session_id: int) -> bool:
        """Take the answer to what was asked last; whether it stands."""
        if self._asked is None:
            return True
        if error_code or not session_id:
            self.reset()  # the broker knows it no more, or has no room for one: then each fetch names everything
            return not error_code
        self._held, self._asked = self._asked, None
        self._id, self._epoch = session_id, self._epoch % _MAX_EPOCH + 1
        return True

    def settle(self) -> None:
        """The fetch is over: without an answer nobody knows what the broker holds."""
        if self._asked is not None:
            self.reset()


class SessionRequest(FetchRequest):  # type: ignore[misc]
    """A fetch that is written as what changed since the one before, where the broker has sessions."""

    def __init__(self, request: FetchRequest, session: FetchSession) -> None:
        self.__dict__.update(request.__dict__)
        self.session = session

    def build(self, request_struct_class: Any) -> Any:
        """The request as this version of the protocol writes it."""
        version = request_struct_class.API_VERSION
        if version < SESSIONS_SINCE:
            return super().build(request_struct_class)
        session_id, epoch, changed, gone = self.session.ask(self.topics)
        epochs = (_UNKNOWN,) if version >= _LEADER_EPOCH_SINCE else ()
        topics = [
            (topic, [(partition, *epochs, offset, _UNKNOWN, size) for partition, offset, size in partitions])
            for topic, partitions in changed
        ]
        rack = [self._rack_id] if version >= _RACK_SINCE else []
        limits = (self._max_wait_ms, self._min_bytes, self._max_bytes, self._isolation_level)
        return request_struct_class(_UNKNOWN, *limits, session_id, epoch, topics, gone, *rack)


class _Client:
    """aiokafka's client, which shows each session the answers to its fetches."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **kwargs: Any) -> Any:
        response = await self._client.send(node_id, request, **kwargs)
        sessions = isinstance(request, SessionRequest) and response.API_VERSION >= SESSIONS_SINCE
        if sessions and not request.session.answered(response.error_code, response.session_id):
            await asyncio.sleep(REFUSED_SECONDS)  # whatever the broker does not like, it is not asked in a tight loop
        return response


class SessionFetcher(Fetcher):  # type: ignore[misc]
    """aiokafka's fetcher, with a session at each broker."""

    def __init__(self, client: Any, subscriptions: Any, **kwargs: Any) -> None:
        self._sessions: defaultdict[int, FetchSession] = defaultdict(FetchSession)
        self._polled_at = 0.0
        super().__init__(_Client(client), subscriptions, **kwargs)

    def _get_actions_per_node(self, assignment: Any) -> Any:
        # Half of the calls come while every broker has a fetch, or records of its own that nobody has taken yet: nothing can be done.
        cluster = self._client.cluster
        busy, wait = set(self._in_flight), self._fetcher_timeout
        for tp, found in self._records.items():
            backoff = found.calculate_backoff()
            if backoff:
                busy.add(cluster.leader_for_partition(tp))
                wait = min(wait, backoff)
        if busy.issuperset(broker.nodeId for broker in cluster.brokers()):
            return [], {}, wait, False, []
        return super()._get_actions_per_node(assignment)

    async def _proc_fetch_request(self, assignment: Any, node_id: int, request: FetchRequest) -> bool:
        session = self._sessions[node_id]
        try:
            found: bool = await super()._proc_fetch_request(assignment, node_id, SessionRequest(request, session))
        finally:
            session.settle()
        now = time.time()
        if assignment.active and now - self._polled_at > POLLED_SECONDS:
            self._polled_at = now
            for tp in assignment.tps:
                assignment.state_value(tp).timestamp = int(now * 1000)
        return found


def install() -> None:
    """Let every aiokafka consumer of this process have sessions; aiokafka looks the class up when a consumer starts."""
    aiokafka.consumer.consumer.Fetcher = SessionFetcher
