"""The transport commits the leading run of what was delivered and acknowledged, and nothing else."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
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
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from app.errors import BatchLost
from app.kafka.transport import driver
from app.kafka.transport.batches import BATCH_RECORDS, Batch, BatchMessage, BatchSchema, Record, batches
from app.kafka.transport.driver import Consumer, ConsumerThread, Fetched, Transport
from app.kafka.transport.flow import FlowControl

CONSUMER = cast(Any, SimpleNamespace(_fetcher=SimpleNamespace(_fetch_min_bytes=1, _fetch_max_wait_ms=100)))
"""aiokafka's, as far as the pace of its fetches goes."""

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
async def assigned(app: faust.App) -> AsyncIterator[Consumer]:
    """A consumer that has partitions, and has not gone to what is committed yet."""

    async def nothing(*_args: Any) -> None:
        """Not called."""

    transport = Transport(app.conf.broker_consumer, app)
    made = Consumer(transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing)
    thread = made._thread

    async def seek_to_committed() -> dict[TP, int]:
        thread.epoch += 1
        thread.needs_seek = False
        return {A: 0, B: 5}

    cast(Any, thread).seek_to_committed = seek_to_committed
    yield made
    thread.thread_loop.close()


@pytest.fixture
async def consumer(assigned: Consumer) -> Consumer:
    """A consumer that stands at what is committed."""
    await assigned.perform_seek()
    return assigned


def fetches(consumer: Consumer, found: dict[Any, list[Record]] | None, active: set[TP] | None) -> None:
    """What the next fetch finds, fetched from the present positions."""
    fetched = None if found is None else Fetched(found)
    if fetched is not None:
        fetched.epoch = driver.UNPOSITIONED if consumer._thread.needs_seek else consumer._thread.epoch

    async def wait(_timeout: float) -> Any:
        return fetched, active

    cast(Any, consumer)._wait_next_records = wait


async def yielded(consumer: Consumer) -> list[tuple[TP, int]]:
    return [(tp, message.offset) async for tp, message in consumer.getmany(1.0)]


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


async def test_the_same_last_offset_delivered_twice_holds_up_nothing(consumer: Consumer) -> None:
    first, again, behind = await deliver(consumer, [3, 4], [4], [5])
    assert acknowledge(consumer, first)
    assert acknowledge(consumer, again)
    assert acknowledge(consumer, behind)
    assert consumer._new_offset(A) == 6
    assert not consumer._delivered[A]
    assert list(consumer._filter_tps_with_pending_acks()) == []


async def test_the_same_last_offset_delivered_twice_is_acknowledged_twice(consumer: Consumer) -> None:
    first, again, behind = await deliver(consumer, [3, 4], [4], [5])
    acknowledge(consumer, first)
    acknowledge(consumer, behind)
    assert consumer._new_offset(A) == 5
    assert consumer._new_offset(A) is None, "the second is still at work"
    acknowledge(consumer, again)
    assert consumer._new_offset(A) == 6


@given(st.data())
def test_what_is_committed_is_the_leading_run_that_is_acknowledged_in_whatever_order(data: st.DataObject) -> None:
    ends: list[int] = []
    for step in data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=12)):  # 0: the same last offset again
        ends.append((ends[-1] if ends else 0) + step)
    delivered = [BatchMessage.of(A, [record(end)], 7, 1) for end in ends]
    consumer = Consumer.__new__(Consumer)
    consumer._delivered = defaultdict(deque, {A: deque(delivered)})
    taken = 0
    """How many have been committed."""
    for message in data.draw(st.permutations(delivered)):
        message.done = True
        if data.draw(st.booleans()):
            continue
        run = next((place for place, one in enumerate(delivered) if not one.done), len(delivered))
        pending = list(consumer._filter_tps_with_pending_acks())
        assert pending == ([A] if run > taken else [])
        assert consumer._new_offset(A) == (ends[run - 1] + 1 if run > taken else None)
        taken = run
    assert consumer._new_offset(A) == (ends[-1] + 1 if taken < len(ends) else None)
    assert not consumer._delivered[A]


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


async def test_an_acknowledgement_of_what_was_delivered_before_the_last_seek_counts_for_nothing(consumer: Consumer) -> None:
    [old] = await deliver(consumer, [0, 1])
    await consumer.perform_seek()
    [again] = await deliver(consumer, [0, 1])
    assert not acknowledge(consumer, old)
    assert old not in consumer.unacked, "and is not waited for"
    assert consumer._new_offset(A) is None
    assert acknowledge(consumer, again)
    assert consumer._new_offset(A) == 2


# --- positions


async def test_going_back_to_what_is_committed_forgets_everything_and_says_where_it_began(assigned: Consumer) -> None:
    assert assigned.begun_at(A) is None
    await assigned.perform_seek()
    await deliver(assigned, [0])
    await assigned.perform_seek()
    assert not assigned._delivered
    assert (assigned.begun_at(A), assigned.begun_at(B), assigned.begun_at(LOG)) == (0, 5, None)


async def test_what_was_fetched_before_the_last_seek_is_not_yielded(consumer: Consumer) -> None:
    fetches(consumer, {A: records([0, 1])}, {A})
    await consumer.perform_seek()
    assert await yielded(consumer) == []
    assert not consumer._delivered[A]
    fetches(consumer, {A: records([0, 1])}, {A})
    assert await yielded(consumer) == [(A, 1)]


async def test_a_seek_ends_what_is_being_yielded_of_a_source_and_not_of_a_changelog(consumer: Consumer) -> None:
    fetches(consumer, {A: records(range(3 * BATCH_RECORDS)), LOG: records(range(2 * BATCH_RECORDS), LOG)}, {A, LOG})
    found = []
    async for tp, message in consumer.getmany(1.0):
        found.append((tp, message.offset))
        if len(found) == 1:
            await consumer.perform_seek()
    assert found == [(A, 499), (LOG, 499), (LOG, 999)]
    assert not consumer._delivered[A], "what was yielded before comes again"


async def test_between_an_assignment_and_its_seek_changelogs_are_yielded_and_sources_are_not(assigned: Consumer) -> None:
    fetches(assigned, {A: records([7]), LOG: records([3], LOG)}, {A, LOG})
    assert await yielded(assigned) == [(LOG, 3)]
    await assigned.perform_seek()
    fetches(assigned, {A: records([7]), LOG: records([4], LOG)}, {A, LOG})
    assert await yielded(assigned) == [(A, 7), (LOG, 4)]


async def test_sources_are_not_yielded_while_the_seek_is_under_way(consumer: Consumer) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def slow() -> dict[TP, int]:
        asked.set()
        await answered.wait()
        consumer._thread.epoch += 1
        consumer._thread.needs_seek = False
        return {}

    cast(Any, consumer._thread).seek_to_committed = slow
    seeking = asyncio.ensure_future(consumer.perform_seek())
    await asked.wait()
    fetches(consumer, {A: records([0])}, {A})
    assert await yielded(consumer) == []
    answered.set()
    await seeking
    assert not consumer._delivered


async def test_what_is_fetched_behind_the_seek_is_kept_though_nobody_has_heard_of_its_end_yet(consumer: Consumer) -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def done_over_there() -> dict[TP, int]:
        consumer._thread.epoch += 1
        consumer._thread.needs_seek = False
        asked.set()
        await answered.wait()
        return {A: 0}

    cast(Any, consumer._thread).seek_to_committed = done_over_there
    seeking = asyncio.ensure_future(consumer.perform_seek())
    await asked.wait()
    fetches(consumer, {A: records([0])}, {A})
    assert await yielded(consumer) == [(A, 0)]
    answered.set()
    await seeking
    assert [message.offset for message in consumer._delivered[A]] == [0], "nobody fetches it again"


def test_nothing_is_dropped_for_being_older_than_what_was_read_before_a_seek(consumer: Consumer) -> None:
    consumer._read_offset[A] = 40
    assert consumer._read_offset[A] is None
    assert consumer._read_offset.get(A) == 40


async def test_a_revoked_assignment_yields_no_source_before_the_next_seek(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    async def revoked(_self: Any, _tps: set[TP]) -> None:
        """Nobody is there."""

    monkeypatch.setattr(faust_driver.Consumer, "on_partitions_revoked", revoked)
    await consumer.on_partitions_revoked({A})
    fetches(consumer, {A: records([0]), LOG: records([1], LOG)}, {A, LOG})
    assert await yielded(consumer) == [(LOG, 1)]


async def test_batches_are_taken_in_the_order_that_they_were_yielded_in(consumer: Consumer) -> None:
    first, second = await deliver(consumer, [0, 1], [2])
    [other] = await deliver(consumer, [0], tp=B)
    assert [consumer.take(one) for one in (first, other, second)] == [True, True, True]
    assert consumer.unacked >= {first, second}


async def test_a_batch_that_never_reached_its_agent_stops_the_worker_before_anything_behind_it_is_done(consumer: Consumer) -> None:
    first, _lost, third = await deliver(consumer, [0], [1, 2], [3])
    assert consumer.take(first)
    with pytest.raises(BatchLost, match="source-0: batch 3 where 2 is due"):
        consumer.take(third)


async def test_a_batch_of_an_earlier_position_is_not_taken_and_counts_for_nothing(consumer: Consumer) -> None:
    [old] = await deliver(consumer, [0])
    await consumer.perform_seek()
    [again] = await deliver(consumer, [0])
    assert not consumer.take(old)
    assert consumer.take(again)


async def test_no_batch_is_current_until_positions_are_set(consumer: Consumer) -> None:
    [batch] = await deliver(consumer, [0])
    assert consumer.is_current(batch)
    consumer._thread.needs_seek = True
    assert not consumer.take(batch)


async def test_what_was_fetched_before_a_seek_and_is_looked_at_while_it_is_due_is_not_yielded(consumer: Consumer) -> None:
    fetches(consumer, {A: records([0]), LOG: records([1], LOG)}, {A, LOG})
    consumer._thread.needs_seek = True
    assert await yielded(consumer) == [(LOG, 1)]
    assert not consumer._delivered[A]


@pytest.mark.parametrize("flow", [FlowControl, pytest.param(FlowControlEvent, marks=pytest.mark.xfail(strict=True, reason="Faust's own"))])
async def test_resuming_a_flow_that_runs_empties_no_queue(flow: type[FlowControlEvent]) -> None:
    control = flow()
    queue: ThrowableQueue[int] = ThrowableQueue(flow_control=control, clear_on_resume=True)
    control.resume()
    queue.force_put_nowait(1)
    control.resume()
    assert queue.get_nowait() == 1


async def test_resuming_a_flow_that_stood_still_empties_the_queues() -> None:
    control = FlowControl()
    queue: ThrowableQueue[int] = ThrowableQueue(flow_control=control, clear_on_resume=True)
    queue.force_put_nowait(1)
    control.resume()
    assert queue.empty()
    assert control.is_active()


@pytest.mark.parametrize(("generation", "epoch", "current"), [(7, 1, True), (6, 1, False), (8, 1, False), (7, 0, False), (7, 2, False)])
async def test_a_batch_is_current_in_its_own_assignment_and_position(
    consumer: Consumer, generation: int, epoch: int, current: bool
) -> None:
    assert consumer._thread.epoch == 1
    assert consumer.is_current(BatchMessage.of(A, records([0]), generation, epoch)) is current


# --- what is forgotten


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


async def test_what_was_fetched_while_the_flow_was_stopped_is_neither_yielded_nor_waited_for(consumer: Consumer) -> None:
    consumer.flow_active = False
    fetches(consumer, {A: records([0])}, {A})
    assert await yielded(consumer) == []
    assert not consumer._delivered


# --- waiting for the agents


@pytest.fixture
def commits(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """What each commit commits of A."""
    done: list[int | None] = []

    async def commit() -> None:
        done.append(consumer._new_offset(A))

    monkeypatch.setattr(consumer, "commit_and_end_transactions", commit)
    return done


async def test_agents_are_waited_for_and_what_they_did_is_committed(consumer: Consumer, commits: list[int | None]) -> None:
    [only] = await deliver(consumer, [0, 1])
    waiting = asyncio.ensure_future(consumer.wait_empty())
    await asyncio.sleep(0)
    assert not commits
    acknowledge(consumer, only)
    await waiting
    assert commits == [2]


async def test_agents_that_do_not_finish_are_waited_for_within_a_bound(
    consumer: Consumer, commits: list[int | None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(driver, "WAIT_EMPTY_SECONDS", 0.01)
    done, busy = await deliver(consumer, [0], [1])
    acknowledge(consumer, done)
    async with asyncio.timeout(5):
        await consumer.wait_empty()
    assert busy in consumer.unacked
    assert "agents still busy" in caplog.text
    assert commits == [1], "what is done is committed all the same"


async def test_a_commit_that_does_not_end_is_waited_for_within_a_bound(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[asyncio.Task[Any] | None] = []

    async def for_ever() -> None:
        begun.append(asyncio.current_task())
        await asyncio.Event().wait()

    monkeypatch.setattr(consumer, "commit_and_end_transactions", for_ever)
    monkeypatch.setattr(driver, "WAIT_EMPTY_SECONDS", 0.01)
    [_busy] = await deliver(consumer, [0])
    async with asyncio.timeout(5):
        await consumer.wait_empty()
    assert "agents still busy" in caplog.text
    assert "no commit within" in caplog.text
    [commit] = begun
    assert commit is not None
    commit.cancel()


async def test_where_nobody_is_at_work_nothing_is_waited_for(
    consumer: Consumer, commits: list[int | None], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(driver, "WAIT_EMPTY_SECONDS", 3600.0)
    [skipped] = await deliver(consumer, [0])
    consumer.ack(skipped)
    async with asyncio.timeout(5):
        await consumer.wait_empty()
    assert commits == [None]
    assert not caplog.records


# --- the watchdog's question


async def test_what_waits_to_be_committed_or_read_is_named(consumer: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer, "assignment", lambda: {A, LOG})
    monkeypatch.setattr(consumer, "highwater", {A: 10, LOG: 10}.get)
    assert consumer.waiting() == {"the reading of source-0": 0}, "it stands where the seek left it"
    consumer._read_offset.clear()
    assert consumer.waiting() == {}
    await deliver(consumer, [0, 4])
    consumer._read_offset[A] = 4
    assert consumer.waiting() == {"the commit of source-0": 4, "the reading of source-0": 4}
    consumer._read_offset[A] = 9
    assert "the reading of source-0" not in consumer.waiting()


# --- batches


def test_a_message_is_a_list_of_records_at_the_offset_of_the_last() -> None:
    found = records([3, 4, 9])
    message = BatchMessage.of(A, found, 7, 3)
    assert (message.topic, message.partition, message.offset, message.tp, message.generation_id) == ("source", 0, 9, A, 7)
    assert cast(Any, message.value) is found
    assert message.timestamp == 1.5
    assert message.epoch == 3
    assert not message.handled
    assert not message.done


def test_a_record_of_an_old_format_without_a_time_is_taken() -> None:
    assert BatchMessage.of(A, [record(0, timestamp=None)], 7, 0).timestamp == 0.0


async def test_a_schema_lets_the_records_through_as_they_are() -> None:
    made: list[tuple[Any, ...]] = []
    decode = BatchSchema().compile(SimpleNamespace(create_event=lambda *args: made.append(args)))
    message = BatchMessage.of(A, records([0]), 7, 0)
    await decode(message)
    assert made == [(None, message.value, None, message)]


class Event:
    """As much of Faust's event as a batch uses."""

    def __init__(self, offsets: list[int], epoch: int = 1) -> None:
        self.message = BatchMessage.of(A, records(offsets), 7, epoch)
        self.value = self.message.value
        self.acknowledged: list[bool] = []

    def ack(self) -> None:
        self.acknowledged.append(self.message.handled)


class Stream:
    """As much of Faust's stream as `batches` uses: a queue, of which Faust takes the first, and a consumer at an epoch."""

    def __init__(self, *events: Event) -> None:
        self.acks = True
        self.epoch = 1
        self.tracked: list[int] = []
        self.queue: asyncio.Queue[Event] = asyncio.Queue()
        for event in events:
            self.queue.put_nowait(event)
        self.channel = SimpleNamespace(queue=self.queue)
        self.app = SimpleNamespace(consumer=self)

    def noack(self) -> Stream:
        self.acks = False
        return self

    async def events(self) -> AsyncIterator[Event]:
        while not self.queue.empty():
            yield self.queue.get_nowait()
            await asyncio.sleep(0)  # as Faust does: others run before the next one is looked for

    def take(self, message: BatchMessage) -> bool:
        if message.epoch != self.epoch:
            return False
        self.tracked.append(message.offset)
        return True


async def taken(stream: Stream, limit: int = 4000) -> list[list[int]]:
    return [[event.message.offset for event in batch.events] async for batch in batches(cast(Any, stream), limit)]


async def test_all_that_waits_is_taken_at_once() -> None:
    stream = Stream(Event([0]), Event([1]), Event([2]))
    assert await taken(stream) == [[0, 1, 2]]
    assert not stream.acks, "acknowledgement is the agent's"


async def test_what_comes_while_a_batch_is_at_work_is_the_next_one() -> None:
    stream, found = Stream(Event([0])), []
    async for batch in batches(cast(Any, stream)):
        found.append([event.message.offset for event in batch.events])
        if len(found) == 1:
            stream.queue.put_nowait(Event([1]))
            stream.queue.put_nowait(Event([2]))
    assert found == [[0], [1, 2]]


async def test_no_more_is_taken_than_some_records() -> None:
    stream = Stream(Event([0, 1]), Event([2, 3]), Event([4]), Event([5]))
    assert await taken(stream, 3) == [[1, 3], [4, 5]]


async def test_whatever_is_taken_is_waited_for() -> None:
    stream = Stream(Event([0]), Event([1]), Event([2]))
    await taken(stream)
    assert stream.tracked == [0, 1, 2]


async def test_what_is_not_current_is_dropped_wherever_it_stands() -> None:
    stream = Stream(Event([0], epoch=0), Event([1]), Event([2], epoch=0), Event([3]), Event([4], epoch=2))
    assert await taken(stream) == [[1, 3]]
    assert stream.tracked == [1, 3]


async def test_a_stale_batch_counts_nothing_towards_the_limit() -> None:
    stream = Stream(Event([0, 1, 2], epoch=0), Event([3]), Event([4]), Event([5]))
    assert await taken(stream, 2) == [[3, 4], [5]]


async def test_where_nothing_is_current_there_is_no_batch() -> None:
    assert await taken(Stream(Event([0], epoch=0), Event([1], epoch=0))) == []


async def test_what_has_been_taken_is_never_left_behind_when_the_queue_is_emptied() -> None:
    """A rebalance empties the queue whenever the agent awaits something: what has left the queue by then is in the agent's hands."""
    stream = Stream(*(Event([offset]) for offset in range(5)))
    emptied: list[int] = []

    async def rebalance() -> None:
        while not stream.queue.empty():
            emptied.append(stream.queue.get_nowait().message.offset)

    found: list[int] = []
    async for batch in batches(cast(Any, stream), 3):
        found += [event.message.offset for event in batch.events]
        await rebalance()
    assert (found, emptied) == ([0, 1, 2], [3, 4])

    for offset in range(5):
        stream.queue.put_nowait(Event([offset]))
    events = stream.events

    async def with_a_rebalance_behind_the_first() -> AsyncIterator[Event]:
        async for event in events():
            rebalancing.append(asyncio.ensure_future(rebalance()))
            yield event

    rebalancing: list[asyncio.Future[None]] = []
    emptied.clear()
    cast(Any, stream).events = with_a_rebalance_behind_the_first
    assert await taken(stream) == [[0, 1, 2, 3, 4]], "none was in the queue any more when it was emptied"
    await asyncio.gather(*rebalancing)
    assert emptied == []


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


# --- the thread: fetching, and going to what is committed


class Kafka:
    """As much of aiokafka's consumer as going to what is committed uses."""

    def __init__(self, committed: dict[TP, int | None]) -> None:
        self._committed = committed
        self.did: list[tuple[str, TP, int | None]] = []

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(tp.topic, tp.partition) for tp in self._committed}

    async def committed(self, tp: TopicPartition) -> int | None:
        return self._committed[TP(tp.topic, tp.partition)]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.did.append(("seek", TP(tp.topic, tp.partition), offset))

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        assert tps, "none means all of them to aiokafka, changelogs too"
        self.did += [("start", TP(tp.topic, tp.partition), None) for tp in tps]


@pytest.fixture
async def thread(app: faust.App, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ConsumerThread]:
    async def nothing(*_args: Any) -> None:
        """Not called."""

    monkeypatch.setattr(type(app.tables), "changelog_topics", {LOG.topic})
    transport = Transport(app.conf.broker_consumer, app)
    made = Consumer(transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing)
    yield made._thread
    made._thread.thread_loop.close()


def stands_on(thread: ConsumerThread, committed: dict[TP, int | None]) -> Kafka:
    kafka = Kafka(committed)
    cast(Any, thread)._consumer = kafka
    return kafka


async def test_it_goes_to_what_is_committed_offset_zero_too_and_to_the_logs_start_where_nothing_is(thread: ConsumerThread) -> None:
    kafka = stands_on(thread, {A: 0, B: 12, TP("source", 2): None})
    assert await thread._seek_to_committed() == {A: 0, B: 12}
    assert sorted(kafka.did) == [("seek", A, 0), ("seek", B, 12), ("start", TP("source", 2), None)]


async def test_it_leaves_changelogs_where_they_are(thread: ConsumerThread) -> None:
    kafka = stands_on(thread, {A: 3, LOG: 7, TP("changelog", 1): None})
    assert await thread._seek_to_committed() == {A: 3}
    assert kafka.did == [("seek", A, 3)]


async def test_without_a_source_nothing_is_moved(thread: ConsumerThread) -> None:
    kafka = stands_on(thread, {LOG: None})
    assert await thread._seek_to_committed() == {}
    assert kafka.did == []


async def test_what_is_fetched_says_how_often_positions_had_been_set(thread: ConsumerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(_self: Any, *_args: Any, **_more: Any) -> dict[TP, list[Record]]:
        return {A: records([0])}

    monkeypatch.setattr(faust_driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    stands_on(thread, {A: 0})
    before = await thread._fetch_records(CONSUMER, set())
    await thread._seek_to_committed()
    after = await thread._fetch_records(CONSUMER, set())
    assert after == {A: records([0])}
    assert (before.epoch, after.epoch) == (driver.UNPOSITIONED, 1)
    assert after.epoch == thread.epoch


async def test_fetching_and_going_back_never_overlap(thread: ConsumerThread, monkeypatch: pytest.MonkeyPatch) -> None:
    began, answered = asyncio.Event(), asyncio.Event()

    async def fetch(_self: Any, *_args: Any, **_more: Any) -> dict[TP, list[Record]]:
        began.set()
        await answered.wait()
        return {A: records([5])}

    monkeypatch.setattr(faust_driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    kafka = stands_on(thread, {A: 0})
    fetching = asyncio.ensure_future(thread._fetch_records(CONSUMER, set()))
    await began.wait()
    seeking = asyncio.ensure_future(thread._seek_to_committed())
    for _ in range(5):
        await asyncio.sleep(0)
    assert kafka.did == [], "a fetch is under way"
    answered.set()
    fetched = await fetching
    await seeking
    assert kafka.did == [("seek", A, 0)]
    assert fetched.epoch < thread.epoch, "so it is known as one from before"
