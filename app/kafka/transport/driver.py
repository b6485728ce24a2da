"""The transport: the consumer that yields batches and commits their leading acknowledged run, and the idempotent producer."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Iterator, Mapping
from inspect import iscoroutine
from time import monotonic
from typing import Any, ClassVar, Protocol, cast

from aiokafka.client import AIOKafkaClient
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP, Message
from mode.services import WaitResults
from mode.utils.futures import notify

from app.errors import BatchLost
from app.kafka.appended import Appended
from app.kafka.lane import Lane
from app.kafka.transport.batches import BATCH_RECORDS, BatchMessage, Part
from app.kafka.transport.begun import Begun
from app.kafka.transport.inline import UNPOSITIONED, InlineConsumer

POLL_SECONDS = 0.25
"""How long a fetch that finds nothing holds up a rebalance; Faust has 1 s."""
WAIT_EMPTY_SECONDS = 2.0
"""Bound on waiting for agents when partitions go or the worker stops; what is late is read again by the next owner."""


class ReadOffsets(dict[TP, int | None]):
    """How far each partition was read, for those who ask by `get`.

    Faust's loop asks by index, to drop what is older; after a seek that is what was asked for. What is stale is known by
    its epoch here, so nothing is dropped for its offset.
    """

    def __getitem__(self, tp: TP) -> None:
        return None


class HasLanes(Protocol):
    """An application that says what is fetched together."""

    lanes: tuple[Lane, ...]


class Consumer(faust_driver.Consumer):
    """Yields batches, and commits the leading run, in each partition, of what was yielded and acknowledged.

    Faust finds the offset to commit by looking for consecutive numbers; a batch has one offset for many records, and a
    compacted or transactional topic has holes. So the order of delivery is kept, and what is acknowledged at its head
    is what may be committed.
    """

    _thread: InlineConsumer

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._delivered: defaultdict[TP, deque[Part]] = defaultdict(deque)
        self._yielded: Counter[TP] = Counter()
        self._taken: Counter[TP] = Counter()
        self._begun_at: dict[TP, int] = {}
        self._read_offset = ReadOffsets()

    def _new_consumer_thread(self) -> InlineConsumer:
        return InlineConsumer(self, lanes=cast(HasLanes, self.app).lanes, loop=self.loop, beacon=self.beacon)

    def is_current(self, message: Message) -> bool:
        """Whether a batch is of the present assignment and position; another one is read again, and counts for nothing."""
        if self._thread.needs_seek or getattr(message, "epoch", UNPOSITIONED) != self._thread.epoch:
            return False
        return bool(message.generation_id == self.app.consumer_generation_id)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, Message]]:  # noqa: ASYNC109  (Faust's signature)
        """Fetch, and yield batches of at most ``BATCH_RECORDS`` records of a partition, partitions in turn."""
        records, active = await self._wait_next_records(min(timeout, POLL_SECONDS))
        generation = self.app.consumer_generation_id
        if records is None or self.should_stop:
            return
        epoch = getattr(records, "epoch", self._thread.epoch)
        waiting = {self._ensure_tp(tp): deque(found) for tp, found in records.items()}
        while waiting:
            for parts in self._round(waiting, active):
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return  # a rebalance is under way; once it is over, positions are set anew
                message = BatchMessage.of(parts, generation, epoch)
                # A changelog has no acknowledgements, and is read from where recovery says.
                if self.app.topics.acks_enabled_for(message.topic) and not self._deliver(message):
                    continue  # fetched from where the partition stood before; it is fetched again from what is committed
                yield parts[0].tp, message

    def _round(self, waiting: dict[TP, deque[Any]], active: set[TP] | None) -> list[list[Part]]:
        """The next records of each partition that has any; those that the same agent reads are together."""
        topics = cast(Any, self.app.topics)
        together: dict[Any, list[Part]] = {}
        for tp in list(waiting):
            rest = waiting[tp]
            if len(rest) <= BATCH_RECORDS:
                chunk = list(rest)
                del waiting[tp]
            else:
                chunk = [rest.popleft() for _ in range(BATCH_RECORDS)]
            if chunk and (active is None or tp in active or tp in self._buffered_partitions):
                # Faust makes its index anew while others run: what is not in it is nobody's to be mixed with.
                agents = topics._topic_name_index.get(tp.topic) or {tp.topic}
                readers = frozenset(agents) if topics.acks_enabled_for(tp.topic) else tp
                together.setdefault(readers, []).append(Part(tp, chunk))
        return list(together.values())

    def _deliver(self, message: BatchMessage) -> bool:
        """Note the order in which parts are delivered; whether they are of the present position."""
        if message.epoch != self._thread.epoch or self._thread.needs_seek:
            return False
        for part in message.parts:
            self._yielded[part.tp] += 1
            part.number = self._yielded[part.tp]
            self._delivered[part.tp].append(part)
            self._read_offset[part.tp] = part.offset
        return True

    def take(self, message: BatchMessage) -> bool:
        """Note that an agent begins with a batch; ``False``: it is read again, and not to be begun.

        Raises:
            BatchLost: One before it was never begun: to go on would break the order, and the commit waits for it for ever.
        """
        if not self.is_current(message):
            return False
        for part in message.parts:
            self._taken[part.tp] += 1
            if part.number != self._taken[part.tp]:
                raise BatchLost(f"{part.tp.topic}-{part.tp.partition}: batch {part.number} where {self._taken[part.tp]} is due")
        if not message.tracked:
            message.tracked = True
            self.track_message(message)
        return True

    async def sleep(self, n: Any) -> None:
        """Sleep, or until the consumer stops; of no time at all, which Faust's loop asks for in each turn, without a task and two waits."""
        if n == 0:
            await asyncio.sleep(0)
        else:
            await super().sleep(n)

    async def verify_all_partitions_active(self) -> None:
        """Nothing, ninety times a second: see `InlineConsumer.verify_event_path`."""

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
        for part in message.parts:
            part.done = True
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

    def bring(self, appended: Appended) -> None:
        """Take what this worker appended itself: where it is what is read next, it need not be fetched."""
        consumer = cast(Any, self._thread)._consumer
        if consumer is not None:
            consumer._fetcher.bring(appended)

    def begun_at(self, tp: TP) -> int | None:
        """Offset that this assignment's reading of a partition began at; ``None`` before it has begun."""
        return self._begun_at.get(tp)


class Producer(faust_driver.Producer):
    """Faust's producer, whose connections `app.kafka.appender` writes over; of its own it writes nothing here."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    @property
    def connections(self) -> AIOKafkaClient:
        """The aiokafka client.

        Raises:
            faust.exceptions.NotReady: Not started yet, or stopped.
        """
        return self._ensure_producer().client


class Transport(faust_driver.Transport):
    """aiokafka as this project needs it."""

    Consumer: ClassVar[type[Consumer]] = Consumer
    Producer: ClassVar[type[Producer]] = Producer
