"""The transport commits the leading run of what was delivered and acknowledged, and nothing else."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.exceptions import NotReady
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from app.kafka.transport import driver
from app.kafka.transport.batches import BATCH_RECORDS, Batch, BatchMessage, BatchSchema, Record, batches
from app.kafka.transport.driver import Consumer, Transport

A, B, LOG = TP("source", 0), TP("source", 1), TP("changelog", 0)


def record(offset: int, tp: TP = A, timestamp: int | None = 1500) -> Record:
    return ConsumerRecord(tp.topic, tp.partition, offset, timestamp, 1, None, b"x", None, 0, 1, ())


def records(offsets: Iterable[int], tp: TP = A) -> list[Record]:
    return [record(offset, tp) for offset in offsets]


@pytest.fixture
async def app(tmp_path: Path) -> faust.App:
    app = faust.App("unit", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
    app.topics.acks_enabled_for = lambda topic: topic == A.topic  # type: ignore[method-assign]
    app.consumer_generation_id = 7
    return app


@pytest.fixture
async def consumer(app: faust.App) -> AsyncIterator[Consumer]:
    async def nothing(*_args: Any) -> None:
        """Not called."""

    transport = Transport(app.conf.broker_consumer, app)
    made = Consumer(transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing)
    yield made
    made._thread.thread_loop.close()


def fetches(consumer: Consumer, found: dict[Any, list[Record]] | None, active: set[TP] | None) -> None:
    async def fetched(_timeout: float) -> Any:
        return found, active

    cast(Any, consumer)._wait_next_records = fetched


async def deliver(consumer: Consumer, *sizes: list[int], tp: TP = A) -> list[BatchMessage]:
    """Each list of offsets as one batch."""
    delivered = []
    for offsets in sizes:
        fetches(consumer, {tp: records(offsets, tp)}, {A, B, LOG})
        delivered += [message async for _tp, message in consumer.getmany(1.0)]
    for message in delivered:
        consumer.track_message(message)
    return delivered  # type: ignore[return-value]


def acknowledge(consumer: Consumer, message: BatchMessage) -> bool:
    """As an agent does that has done its work."""
    message.handled = True
    return consumer.ack(message)


# --- what is committed


async def test_nothing_is_committed_before_anything_is_acknowledged(consumer: Consumer) -> None:
    await deliver(consumer, [0, 1, 2])
    assert consumer._new_offset(A) is None
    assert list(consumer._filter_tps_with_pending_acks()) == []


async def test_an_acknowledged_batch_is_committed_behind_its_last_record_whatever_holes_it_has(consumer: Consumer) -> None:
    [first] = await deliver(consumer, [3, 4, 9])
    assert acknowledge(consumer, first)
    assert consumer._new_offset(A) == 10
    assert consumer._new_offset(A) is None, "once"


async def test_a_batch_that_is_acknowledged_before_an_earlier_one_waits_for_it(consumer: Consumer) -> None:
    first, second, third = await deliver(consumer, [0, 1], [5, 6], [7])
    acknowledge(consumer, second)
    assert consumer._new_offset(A) is None
    acknowledge(consumer, first)
    assert consumer._new_offset(A) == 7
    acknowledge(consumer, third)
    assert consumer._new_offset(A) == 8


async def test_offset_zero_is_an_offset(consumer: Consumer) -> None:
    [first] = await deliver(consumer, [0])
    acknowledge(consumer, first)
    assert consumer._new_offset(A) == 1


@given(st.data())
def test_what_is_committed_is_the_leading_run_that_is_acknowledged_in_whatever_order(data: st.DataObject) -> None:
    ends: list[int] = []
    for step in data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=12)):
        ends.append((ends[-1] if ends else -1) + step)
    consumer = Consumer.__new__(Consumer)
    consumer._delivered = defaultdict(deque, {A: deque(ends)})
    consumer._acked_index = defaultdict(set)
    consumer._acked = defaultdict(list)
    acknowledged: set[int] = set()
    committed = -1
    for end in data.draw(st.permutations(ends)):
        acknowledged.add(end)
        consumer._acked_index[A].add(end)
        consumer._acked[A].append(end)
        if data.draw(st.booleans()):
            continue
        found = consumer._new_offset(A)
        run = [end for place, end in enumerate(ends) if set(ends[: place + 1]) <= acknowledged]
        expected = run[-1] + 1 if run and run[-1] + 1 > committed else None
        assert found == expected
        committed = found or committed
    final = consumer._new_offset(A)
    assert (final or committed) == ends[-1] + 1
    assert not consumer._acked_index[A]
    assert not consumer._acked[A]


async def test_partitions_are_committed_each_for_itself(consumer: Consumer) -> None:
    [ours] = await deliver(consumer, [0])
    await deliver(consumer, [0], tp=B)
    acknowledge(consumer, ours)
    assert list(consumer._filter_tps_with_pending_acks()) == [A]
    assert list(consumer._filter_tps_with_pending_acks({B})) == []
    assert list(consumer._filter_tps_with_pending_acks({A.topic})) == [A]
    assert consumer._filter_committable_offsets([A, B]) == {A: 1}


async def test_a_gap_that_faust_sees_counts_as_nothing(consumer: Consumer) -> None:
    await deliver(consumer, [0], [400])
    await consumer._add_gap(A, 1, 399)
    assert consumer._new_offset(A) is None
    assert not consumer._gap[A]


# --- whose acknowledgement counts


async def test_an_acknowledgement_that_is_no_agents_own_counts_for_nothing(consumer: Consumer) -> None:
    [skipped] = await deliver(consumer, [0])
    assert not consumer.ack(skipped)
    assert skipped.acked, "and is not waited for"
    assert skipped not in consumer.unacked
    assert consumer._new_offset(A) is None


async def test_an_acknowledgement_of_an_earlier_assignment_counts_for_nothing(consumer: Consumer, app: faust.App) -> None:
    [old] = await deliver(consumer, [0])
    app.consumer_generation_id = 8
    assert not acknowledge(consumer, old)
    assert old not in consumer.unacked
    assert consumer._new_offset(A) is None


async def test_an_acknowledgement_counts_once(consumer: Consumer) -> None:
    [only] = await deliver(consumer, [0])
    assert acknowledge(consumer, only)
    assert not acknowledge(consumer, only)


# --- what is forgotten


async def test_a_seek_forgets_what_was_delivered_of_that_partition(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sought(_self: Any, _partition: TP, _offset: int) -> None:
        """Nobody is there."""

    monkeypatch.setattr(faust_driver.Consumer, "seek", sought)
    [ours] = await deliver(consumer, [0])
    [theirs] = await deliver(consumer, [0], tp=B)
    await consumer.seek(A, 0)
    acknowledge(consumer, ours)
    acknowledge(consumer, theirs)
    assert consumer._filter_committable_offsets([A, B]) == {B: 1}


async def test_going_back_to_what_is_committed_forgets_everything_and_says_where_it_began(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sought(_self: Any) -> dict[Any, int | None]:
        return {TopicPartition("source", 0): 0, B: 5, LOG: None}

    monkeypatch.setattr(faust_driver.Consumer, "seek_to_committed", sought)
    await deliver(consumer, [0])
    assert consumer.begun_at(A) is None
    await consumer.perform_seek()
    assert not consumer._delivered
    assert (consumer.begun_at(A), consumer.begun_at(B), consumer.begun_at(LOG)) == (0, 5, None)


async def test_a_revoked_partition_is_forgotten_after_its_last_commit(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int | None] = []

    async def revoked(_self: Any, _tps: set[TP]) -> None:
        seen.append(consumer._new_offset(A))

    monkeypatch.setattr(faust_driver.Consumer, "on_partitions_revoked", revoked)
    [ours] = await deliver(consumer, [0])
    acknowledge(consumer, ours)
    await consumer.on_partitions_revoked({A})
    assert seen == [1]
    assert A not in consumer._delivered


# --- fetching


async def test_a_fetch_is_yielded_in_batches_partitions_in_turn(consumer: Consumer) -> None:
    fetches(consumer, {TopicPartition("source", 0): records(range(2 * BATCH_RECORDS + 1)), B: records([7], B)}, {A, B})
    found = [(tp, message) async for tp, message in consumer.getmany(1.0)]
    assert [(tp, message.offset) for tp, message in found] == [(A, 499), (B, 7), (A, 999), (A, 1000)]
    assert all(isinstance(tp, TP) for tp, _ in found)
    assert [len(message.value or b"") for _, message in found] == [BATCH_RECORDS, 1, BATCH_RECORDS, 1]
    assert {message.generation_id for _, message in found} == {7}


async def test_what_is_not_active_is_not_yielded_unless_it_is_buffered(consumer: Consumer) -> None:
    fetches(consumer, {A: records([0]), B: records([1], B)}, {A})
    assert [tp async for tp, _ in consumer.getmany(1.0)] == [A]
    consumer._buffered_partitions.add(B)
    assert [tp async for tp, _ in consumer.getmany(1.0)] == [A, B]


async def test_a_changelog_is_yielded_and_never_waits_for_a_commit(consumer: Consumer) -> None:
    await deliver(consumer, [0, 1], tp=LOG)
    assert not consumer._delivered[LOG]


async def test_a_rebalance_ends_what_is_being_yielded(consumer: Consumer, app: faust.App) -> None:
    fetches(consumer, {A: records(range(3 * BATCH_RECORDS))}, {A})
    found: list[int] = []
    async for _tp, message in consumer.getmany(1.0):
        found.append(message.offset)
        app.consumer_generation_id += 1
    assert found == [499]


async def test_nothing_fetched_is_nothing(consumer: Consumer) -> None:
    fetches(consumer, None, None)
    assert [tp async for tp, _ in consumer.getmany(1.0)] == []


async def test_what_was_fetched_while_the_flow_was_stopped_is_given_back(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    sought: list[bool] = []

    async def seek() -> None:
        sought.append(True)

    monkeypatch.setattr(consumer, "perform_seek", seek)
    consumer.flow_active = False
    fetches(consumer, {A: records([0])}, {A})
    assert [tp async for tp, _ in consumer.getmany(1.0)] == []
    assert sought == [True]


async def test_agents_that_do_not_finish_are_waited_for_within_a_bound(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def for_ever(_self: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(faust_driver.Consumer, "wait_empty", for_ever)
    monkeypatch.setattr(driver, "WAIT_EMPTY_SECONDS", 0.01)
    await consumer.wait_empty()
    assert "agents still busy" in caplog.text


async def test_what_waits_to_be_committed_or_read_is_named(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "assignment", lambda: {A, LOG})
    monkeypatch.setattr(consumer, "highwater", {A: 10, LOG: 10}.get)
    assert consumer.waiting() == {}
    await deliver(consumer, [0, 4])
    consumer._read_offset[A] = 4
    assert consumer.waiting() == {"the commit of source-0": 4, "the reading of source-0": 4}
    consumer._read_offset[A] = 9
    assert "the reading of source-0" not in consumer.waiting()


# --- batches


def test_a_message_is_a_list_of_records_at_the_offset_of_the_last() -> None:
    found = records([3, 4, 9])
    message = BatchMessage.of(A, found, 7)
    assert (message.topic, message.partition, message.offset, message.tp, message.generation_id) == ("source", 0, 9, A, 7)
    assert cast(Any, message.value) is found
    assert message.timestamp == 1.5
    assert not message.handled


def test_a_record_of_an_old_format_without_a_time_is_taken() -> None:
    assert BatchMessage.of(A, [record(0, timestamp=None)], 7).timestamp == 0.0


async def test_a_schema_lets_the_records_through_as_they_are() -> None:
    made: list[tuple[Any, ...]] = []
    decode = BatchSchema().compile(SimpleNamespace(create_event=lambda *args: made.append(args)))
    message = BatchMessage.of(A, records([0]), 7)
    await decode(message)
    assert made == [(None, message.value, None, message)]


class Event:
    """As much of Faust's event as a batch uses."""

    def __init__(self, offsets: list[int]) -> None:
        self.message = BatchMessage.of(A, records(offsets), 7)
        self.value = self.message.value
        self.acknowledged: list[bool] = []

    def ack(self) -> None:
        self.acknowledged.append(self.message.handled)


class Stream:
    """As much of Faust's stream as `batches` uses."""

    def __init__(self, events: list[Event], waiting: Callable[[int], bool]) -> None:
        self._events = events
        self._taken = 0
        self.acks = True
        self.channel = SimpleNamespace(queue=SimpleNamespace(empty=lambda: not waiting(self._taken)))

    def noack(self) -> Stream:
        self.acks = False
        return self

    async def events(self) -> AsyncIterator[Event]:
        for event in self._events:
            self._taken += 1
            yield event


async def taken(stream: Stream, limit: int = 4000) -> list[list[int]]:
    return [[event.message.offset for event in batch.events] async for batch in batches(stream, limit)]  # type: ignore[arg-type]


async def test_all_that_waits_is_taken_at_once() -> None:
    stream = Stream([Event([0]), Event([1]), Event([2])], lambda taken: taken < 2)
    assert await taken(stream) == [[0, 1], [2]]
    assert not stream.acks, "acknowledgement is the agent's"


async def test_no_more_is_taken_than_some_records() -> None:
    stream = Stream([Event([0, 1]), Event([2, 3]), Event([4]), Event([5])], lambda taken: taken < 4)
    assert await taken(stream, 3) == [[1, 3], [4, 5]]


def test_a_batch_is_acknowledged_whole_and_as_an_agents_own() -> None:
    events = [Event([0, 1]), Event([2])]
    batch = Batch(events)  # type: ignore[arg-type]
    assert [(tp, [one.offset for one in found]) for tp, found in batch.parts.items()] == [(A, [0, 1, 2])]
    batch.ack()
    assert [event.acknowledged for event in events] == [[True], [True]]


# --- the producer, and what our own classes put in place


async def test_the_producer_is_idempotent_and_waits_for_every_replica(app: faust.App) -> None:
    producer = Transport(app.conf.broker_producer, app).create_producer()
    assert isinstance(producer, driver.Producer)
    assert producer._settings_extra() == {"acks": "all", "enable_idempotence": True}
    with pytest.raises(NotReady):
        _ = producer.client


async def test_the_consumer_fetches_with_a_short_wait(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(_fetch_max_wait_ms=1500)
    monkeypatch.setattr(faust_driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda _self, _transport: made)
    thread = consumer._thread
    assert isinstance(thread, driver.ConsumerThread)
    assert thread._create_worker_consumer(cast(Any, consumer.transport))._fetch_max_wait_ms == driver.FETCH_WAIT_MS == 100
