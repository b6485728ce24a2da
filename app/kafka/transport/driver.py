"""The transport: the consumer that yields batches and commits their leading acknowledged run, and the idempotent producer."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar

import aiokafka
from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP, Message

from app.kafka.transport.batches import BATCH_RECORDS, BatchMessage

FETCH_WAIT_MS = 100
"""How long the broker holds an empty fetch; Faust has 1,500, which a rebalance then waits for."""
WAIT_EMPTY_SECONDS = 2.0
"""Bound on waiting for agents when partitions go or the worker stops; what is late is read again by the next owner."""


class ConsumerThread(faust_driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a short fetch wait."""

    def _create_worker_consumer(self, transport: faust_driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer


class Consumer(faust_driver.Consumer):
    """Yields batches, and commits the leading run of what was yielded and acknowledged.

    Faust finds the offset to commit by looking for consecutive numbers; a batch has one offset for many records, and a
    compacted or transactional topic has holes. So the order of delivery is kept, and what is acknowledged at its head
    is what may be committed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: defaultdict[TP, deque[int]] = defaultdict(deque)
        self._begun_at: dict[TP, int] = {}

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109  (Faust's signature)
        """Fetch, and yield batches of at most ``BATCH_RECORDS`` records, partitions in turn."""
        records, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        if not self.flow_active:
            # A rebalance is under way, and recovery seeks once it is over; what was fetched meanwhile is fetched again.
            with suppress(IllegalStateError):
                await self.perform_seek()
            return
        waiting = {self._ensure_tp(tp): deque(found) for tp, found in records.items()}
        while waiting:
            for tp in list(waiting):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                rest = waiting[tp]
                chunk = [rest.popleft() for _ in range(min(BATCH_RECORDS, len(rest)))]
                if not rest:
                    del waiting[tp]
                if chunk and (active is None or tp in active or tp in self._buffered_partitions):
                    if self.app.topics.acks_enabled_for(tp.topic):  # a changelog has no acknowledgements
                        self._delivered[tp].append(chunk[-1].offset)
                    yield tp, BatchMessage.of(tp, chunk, generation)

    @staticmethod
    def _ensure_tp(tp: Any) -> TP:
        return tp if isinstance(tp, TP) else TP(tp.topic, tp.partition)

    def ack(self, message: Message) -> bool:
        """Count an acknowledgement, if it is an agent's own and of the present assignment."""
        if not getattr(message, "handled", False) or message.generation_id != self.app.consumer_generation_id:
            message.acked = True
            self._unacked_messages.discard(message)
            return False
        return bool(super().ack(message))

    def _new_offset(self, tp: TP) -> int | None:
        delivered, acked = self._delivered[tp], self._acked_index[tp]
        last = None
        while delivered and delivered[0] in acked:
            last = delivered.popleft()
            acked.discard(last)
        self._acked[tp].clear()
        return None if last is None else last + 1

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp, acked in self._acked_index.items() if acked and (topics is None or tp in topics or tp.topic in topics)])

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: a batch steps over many offsets, and none of them may count as acknowledged."""

    def _forget_delivered(self, tps: Iterable[TP] | None = None) -> None:
        for tp in list(self._delivered) if tps is None else tps:
            self._delivered.pop(tp, None)
            self._acked_index.pop(tp, None)
            self._acked.pop(tp, None)

    async def perform_seek(self) -> None:
        """Go back to what is committed: what was delivered since comes again."""
        self._forget_delivered()
        await super().perform_seek()

    async def seek(self, partition: TP, offset: int) -> None:
        """Go to an offset."""
        self._forget_delivered([partition])
        await super().seek(partition, offset)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Forget what was delivered of partitions that are another worker's now."""
        await super().on_partitions_revoked(revoked)
        self._forget_delivered(revoked)

    async def wait_empty(self) -> None:
        """Wait for the agents to finish what they began, within a bound; then commit."""
        try:
            await asyncio.wait_for(super().wait_empty(), WAIT_EMPTY_SECONDS)
        except TimeoutError:
            self.log.warning("agents still busy after %s s: what they do is done again by the next owner", WAIT_EMPTY_SECONDS)

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to what is committed, and remember where that was: Faust takes offset 0 for none."""
        committed = await super().seek_to_committed()
        self._begun_at = {self._ensure_tp(tp): offset for tp, offset in committed.items() if offset is not None}
        return committed

    def waiting(self) -> dict[str, object]:
        """What has work to do, and where it stands: batches delivered and not committed, partitions with records not read."""
        found: dict[str, object] = {}
        for tp, delivered in list(self._delivered.items()):
            if delivered:
                found[f"the commit of {tp.topic}-{tp.partition}"] = delivered[0]
        for tp in self.assignment():
            read, end = self._read_offset.get(tp), self.highwater(tp)
            if self.app.topics.acks_enabled_for(tp.topic) and end is not None and read is not None and end > read + 1:
                found[f"the reading of {tp.topic}-{tp.partition}"] = read
        return found

    def begun_at(self, tp: TP) -> int | None:
        """Offset that this assignment's reading of a partition began at; ``None`` before it has begun."""
        return self._begun_at.get(tp)


class Producer(faust_driver.Producer):
    """An idempotent producer: a retry never repeats or reorders, and a record counts once all in-sync replicas have it."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    @property
    def client(self) -> aiokafka.AIOKafkaProducer:
        """The aiokafka producer.

        Raises:
            faust.exceptions.NotReady: Not started yet.
        """
        return self._ensure_producer()


class Transport(faust_driver.Transport):
    """aiokafka as this project needs it."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer
