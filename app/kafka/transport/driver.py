"""The transport: the consumer that yields batches and commits their leading acknowledged run, and the idempotent producer."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from inspect import iscoroutine
from time import monotonic
from typing import Any, ClassVar, cast

import aiokafka
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP, Message
from mode.services import WaitResults
from mode.utils.futures import notify

from app.errors import BatchLost
from app.kafka.pace import Pace
from app.kafka.transport.batches import BATCH_RECORDS, BatchMessage
from app.kafka.transport.begun import Begun

FETCH_WAIT_MS = 100
"""How long the broker holds an empty fetch; Faust has 1,500, which a rebalance then waits for."""
GATHER_MS = (4, 30)
"""How long it gathers, at least and at most, where records keep coming."""
UNPOSITIONED = -1
"""Epoch of what was fetched before positions were set."""
POLL_SECONDS = 0.25
"""How long a fetch that finds nothing holds up a rebalance; Faust has 1 s."""
WAIT_EMPTY_SECONDS = 2.0
"""Bound on waiting for agents when partitions go or the worker stops; what is late is read again by the next owner."""


class Fetched(dict[Any, Any]):
    """Fetched records by partition, and how often positions had been set before they were fetched."""

    epoch = 0


class ReadOffsets(dict[TP, int | None]):
    """How far each partition was read, for those who ask by `get`.

    Faust's loop asks by index, to drop what is older; after a seek that is what was asked for. What is stale is known by
    its epoch here, so nothing is dropped for its offset.
    """

    def __getitem__(self, tp: TP) -> None:
        return None


class ConsumerThread(faust_driver.AIOKafkaConsumerThread):
    """Faust's consumer thread with a short fetch wait, in which fetching and going back to what is committed never overlap."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epoch = 0
        """How often positions were set to what is committed. Records fetched before the last time are fetched again."""
        self.needs_seek = True
        """Whether partitions stand where an earlier assignment, or nobody, left them."""
        self._turn: asyncio.Lock | None = None
        self._pace = Pace(FETCH_WAIT_MS, *GATHER_MS)

    def _in_turn(self) -> asyncio.Lock:
        if self._turn is None:  # made in the thread that it is used in
            self._turn = asyncio.Lock()
        return self._turn

    def _create_worker_consumer(self, transport: faust_driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        return consumer

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109  (Faust's signature)
        max_records: int | None = None,
    ) -> Fetched:
        wait_for_records = super()._fetch_records

        async def ask(seconds: float) -> dict[Any, Any]:
            return cast("dict[Any, Any]", await wait_for_records(consumer, active_partitions, timeout=seconds, max_records=max_records))

        async with self._in_turn():
            fetched = Fetched(await self._pace.fetch(consumer._fetcher, ask, timeout or 0.0))
            fetched.epoch = UNPOSITIONED if self.needs_seek else self.epoch
        return fetched

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to the committed offset of every partition but the changelogs', and to the log's start where there is none."""
        return cast("Mapping[TP, int]", await self.call_thread(self._seek_to_committed))

    async def _seek_to_committed(self) -> dict[TP, int]:
        consumer = self._ensure_consumer()
        changelogs = self.app.tables.changelog_topics
        committed: dict[TP, int] = {}
        async with self._in_turn():
            tps = [tp for tp in consumer.assignment() if tp.topic not in changelogs]
            for tp in tps:
                offset = await consumer.committed(tp)
                if offset is not None:
                    committed[TP(tp.topic, tp.partition)] = offset
                    consumer.seek(tp, offset)  # offset 0 too, which aiokafka's own leaves out
            fresh = [tp for tp in tps if TP(tp.topic, tp.partition) not in committed]
            if fresh:
                await consumer.seek_to_beginning(*fresh)
            # Both at once, before the next fetch: what is fetched from here on is to be kept, whenever it is looked at.
            self.epoch += 1
            self.needs_seek = False
        return committed


class Consumer(faust_driver.Consumer):
    """Yields batches, and commits the leading run of what was yielded and acknowledged.

    Faust finds the offset to commit by looking for consecutive numbers; a batch has one offset for many records, and a
    compacted or transactional topic has holes. So the order of delivery is kept, and what is acknowledged at its head
    is what may be committed.
    """

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: defaultdict[TP, deque[BatchMessage]] = defaultdict(deque)
        self._yielded: Counter[TP] = Counter()
        self._taken: Counter[TP] = Counter()
        self._begun_at: dict[TP, int] = {}
        self._read_offset = ReadOffsets()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def is_current(self, message: Message) -> bool:
        """Whether a batch is of the present assignment and position; another one is read again, and counts for nothing."""
        if self._thread.needs_seek or getattr(message, "epoch", UNPOSITIONED) != self._thread.epoch:
            return False
        return bool(message.generation_id == self.app.consumer_generation_id)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109  (Faust's signature)
        """Fetch, and yield batches of at most ``BATCH_RECORDS`` records, partitions in turn."""
        records, active = await self._wait_next_records(min(timeout, POLL_SECONDS))
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        epoch = getattr(records, "epoch", self._thread.epoch)
        acked = self.app.topics.acks_enabled_for
        waiting = {self._ensure_tp(tp): deque(found) for tp, found in records.items()}
        while waiting:
            for tp in list(waiting):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return  # a rebalance is under way; once it is over, positions are set anew
                rest = waiting[tp]
                chunk = [rest.popleft() for _ in range(min(BATCH_RECORDS, len(rest)))]
                if not rest:
                    del waiting[tp]
                if not chunk or not (active is None or tp in active or tp in self._buffered_partitions):
                    continue
                message = BatchMessage.of(tp, chunk, generation, epoch)
                if acked(tp.topic):  # a changelog has no acknowledgements, and is read from where recovery says
                    if epoch != self._thread.epoch or self._thread.needs_seek:
                        continue  # fetched from where the partition stood before; it is fetched again from what is committed
                    self._yielded[tp] += 1
                    message.number = self._yielded[tp]
                    self._delivered[tp].append(message)
                yield tp, message

    def take(self, message: BatchMessage) -> bool:
        """Note that an agent begins with a batch; ``False``: it is read again, and not to be begun.

        Raises:
            BatchLost: One before it was never begun: to go on would break the order, and the commit waits for it for ever.
        """
        if not self.is_current(message):
            return False
        self._taken[message.tp] += 1
        if message.number != self._taken[message.tp]:
            raise BatchLost(f"{message.topic}-{message.partition}: batch {message.number} where {self._taken[message.tp]} is due")
        if not message.tracked:
            message.tracked = True
            self.track_message(message)
        return True

    async def wait_first(self, *coros: Any, **kwargs: Any) -> WaitResults:
        """Wait for the first of some coroutines.

        Faust puts each message into its queue so, beside a wait for the flow to be suspended: four tasks, where hardly any
        message has to wait for anything.
        """
        if not iscoroutine(coros[0]):
            return await super().wait_first(*coros, **kwargs)
        first = Begun(coros[0])
        if not first.results:
            return await super().wait_first(first, *coros[1:], **kwargs)
        for other in coros[1:]:
            other.close()
        return WaitResults([coros[0]], first.results, stopped=False)

    @staticmethod
    def _ensure_tp(tp: Any) -> TP:
        return tp if isinstance(tp, TP) else TP(tp.topic, tp.partition)

    def ack(self, message: Message) -> bool:
        """Count an acknowledgement, if it is an agent's own and of the present position."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        notify(self._waiting_for_ack)
        if not isinstance(message, BatchMessage) or not message.handled or not self.is_current(message):
            return False
        message.done = True
        self._n_acked += 1
        return True

    def _new_offset(self, tp: TP) -> int | None:
        delivered, last = self._delivered[tp], None
        while delivered and delivered[0].done:
            last = delivered.popleft().offset
        return None if last is None else last + 1

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        pending = [tp for tp, delivered in self._delivered.items() if delivered and delivered[0].done]
        return iter([tp for tp in pending if topics is None or tp in topics or tp.topic in topics])

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: a batch steps over many offsets, and none of them may count as acknowledged."""

    async def perform_seek(self) -> None:
        """Go back to what is committed: what was delivered since comes again."""
        self._forget()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to what is committed, and remember where that was: Faust takes offset 0 for none."""
        self._begun_at = dict(await super().seek_to_committed())
        return self._begun_at

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Wait for the agents, then forget: positions are set anew before anything more is yielded."""
        await super().on_partitions_revoked(revoked)
        self._forget()

    def _forget(self) -> None:
        self._thread.needs_seek = True
        self._delivered.clear()
        self._yielded.clear()
        self._taken.clear()

    async def wait_empty(self) -> None:
        """Wait for the agents to finish what they began, within a bound; then commit, within another.

        Faust's own can neither be bounded nor cancelled: it takes a cancellation for an acknowledgement, and waits on.
        """
        deadline = monotonic() + WAIT_EMPTY_SECONDS
        while self._unacked_messages and monotonic() < deadline:
            await asyncio.sleep(0.02)
            self._clean_unacked_messages()
        if self._unacked_messages:
            self.log.warning("agents still busy after %s s: what they do is done again by the next owner", WAIT_EMPTY_SECONDS)
        commit = asyncio.ensure_future(self.commit_and_end_transactions())
        commit.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not (await asyncio.wait({commit}, timeout=WAIT_EMPTY_SECONDS))[0]:
            self.log.warning("no commit within %s s: what was done since the last one is done again", WAIT_EMPTY_SECONDS)
        elif (error := commit.exception()) is not None:
            self.log.warning("the commit failed (%r): what was done since the last one is done again", error)

    def waiting(self) -> dict[str, object]:
        """What has work to do, and where it stands: batches delivered and not committed, partitions with records not read."""
        found: dict[str, object] = {}
        for tp, delivered in list(self._delivered.items()):
            if delivered:
                found[f"the commit of {tp.topic}-{tp.partition}"] = delivered[0].offset
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
