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
from aiokafka.structs import TopicPartition
from faust.exceptions import NotReady
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from app.errors import BatchLost
from app.kafka.lane import Lane
from app.kafka.record import Record
from app.kafka.transport import driver
from app.kafka.transport.batches import BATCH_RECORDS, Batch, BatchMessage, BatchSchema, Part, batches
from app.kafka.transport.driver import Consumer, Transport
from app.kafka.transport.flow import FlowControl
from app.kafka.transport.inline import UNPOSITIONED, Fetched, InlineConsumer

A, B, OTHER, LOG, LOG_1 = TP("source", 0), TP("source", 1), TP("other", 0), TP("changelog", 0), TP("changelog", 1)
"""A and B are read by one agent, OTHER by another."""
LANES = (Lane(),)


def record(offset: int, tp: TP = A, timestamp: int = 1500) -> Record:
    return Record(tp.topic, tp.partition, offset, timestamp, 1, None, b"x", ())


def part(offsets: Iterable[int], tp: TP = A) -> Part:
    return Part(tp, records(offsets, tp))


def records(offsets: Iterable[int], tp: TP = A) -> list[Record]:
    return [record(offset, tp) for offset in offsets]


@pytest.fixture
async def app(tmp_path: Path) -> faust.App:
    app = faust.App("unit", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
    app.topics.acks_enabled_for = lambda topic: topic != LOG.topic  # type: ignore[method-assign]
    cast(Any, app.topics)._topic_name_index.update({A.topic: {"one agent"}, OTHER.topic: {"another"}})
    app.consumer_generation_id = 7
    cast(Any, app).lanes = LANES
    return app


@pytest.fixture
async def assigned(app: faust.App) -> Consumer:
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
    return made


@pytest.fixture
async def consumer(assigned: Consumer) -> Consumer:
    """A consumer that stands at what is committed."""
    await assigned.perform_seek()
    return assigned


def fetches(consumer: Consumer, found: dict[Any, list[Record]] | None, active: set[TP] | None) -> None:
    """What the next fetch finds, fetched from the present positions."""
    fetched = None if found is None else Fetched(found)
    if fetched is not None:
        fetched.epoch = UNPOSITIONED if consumer._thread.needs_seek else consumer._thread.epoch

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


async def deliver_together(consumer: Consumer, offsets: dict[TP, list[int]]) -> list[BatchMessage]:
    """What one fetch brought."""
    fetches(consumer, {tp: records(found, tp) for tp, found in offsets.items()}, {*offsets})
    delivered = [cast(BatchMessage, message) async for _tp, message in consumer.getmany(1.0)]
    for message in delivered:
        consumer.track_message(message)
    return delivered


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
    tps = [A, B, OTHER]
    ends: dict[TP, list[int]] = {tp: [] for tp in tps}
    messages: list[BatchMessage] = []
    # Each message has some of the partitions; of each it goes on by so much, 0 being the same last offset again.
    steps = st.dictionaries(st.sampled_from(tps), st.integers(0, 5), min_size=1)
    for drawn in data.draw(st.lists(steps, min_size=1, max_size=12)):
        for tp, step in drawn.items():
            ends[tp].append((ends[tp][-1] if ends[tp] else 0) + step)
        messages.append(BatchMessage.of([part([ends[tp][-1]], tp) for tp in drawn], 7, 1))
    delivered = {tp: [part for message in messages for part in message.parts if part.tp == tp] for tp in tps}
    consumer = Consumer.__new__(Consumer)
    consumer._delivered = defaultdict(deque, {tp: deque(parts) for tp, parts in delivered.items()})
    taken = dict.fromkeys(tps, 0)
    """How many of each partition have been committed."""
    for message in data.draw(st.permutations(messages)):
        for one in message.parts:
            one.done = True
        if data.draw(st.booleans()):
            continue
        run = {tp: next((place for place, one in enumerate(parts) if not one.done), len(parts)) for tp, parts in delivered.items()}
        assert set(consumer._filter_tps_with_pending_acks()) == {tp for tp in tps if run[tp] > taken[tp]}
        for tp in tps:
            assert consumer._new_offset(tp) == (ends[tp][run[tp] - 1] + 1 if run[tp] > taken[tp] else None)
        taken = run
    for tp in tps:
        assert consumer._new_offset(tp) == (ends[tp][-1] + 1 if taken[tp] < len(ends[tp]) else None)
        assert not consumer._delivered[tp]


async def test_a_message_of_several_partitions_is_committed_in_each_behind_its_last_record(consumer: Consumer) -> None:
    [message] = await deliver_together(consumer, {A: [0, 1], B: [4, 9]})
    assert consumer._filter_committable_offsets([A, B]) == {}
    acknowledge(consumer, message)
    assert consumer._filter_committable_offsets([A, B]) == {A: 2, B: 10}


async def test_a_message_of_several_partitions_waits_in_each_for_what_was_delivered_before_it(consumer: Consumer) -> None:
    [before] = await deliver(consumer, [0])
    [message] = await deliver_together(consumer, {A: [1, 2], B: [7]})
    acknowledge(consumer, message)
    assert consumer._filter_committable_offsets([A, B]) == {B: 8}
    acknowledge(consumer, before)
    assert consumer._filter_committable_offsets([A, B]) == {A: 3}


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


async def test_a_message_of_several_partitions_is_due_in_each(consumer: Consumer) -> None:
    [_lost] = await deliver(consumer, [4], tp=B)
    [message] = await deliver_together(consumer, {A: [0], B: [5]})
    with pytest.raises(BatchLost, match="source-1: batch 2 where 1 is due"):
        consumer.take(message)


async def test_a_message_of_several_partitions_is_taken_once_for_all(consumer: Consumer) -> None:
    [together] = await deliver_together(consumer, {A: [0], B: [4]})
    [ours], [theirs] = await deliver(consumer, [1]), await deliver(consumer, [5], tp=B)
    assert [consumer.take(message) for message in (together, theirs, ours)] == [True, True, True]


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
    assert consumer.is_current(BatchMessage.of([part([0])], generation, epoch)) is current


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


async def messages(consumer: Consumer) -> list[BatchMessage]:
    return [cast(BatchMessage, message) async for _tp, message in consumer.getmany(1.0)]


def offsets(message: BatchMessage) -> dict[TP, list[int]]:
    return {part.tp: [record.offset for record in part.records] for part in message.parts}


async def test_what_one_agent_reads_of_a_fetch_comes_together(consumer: Consumer) -> None:
    fetches(consumer, {A: records([0, 1]), OTHER: records([3], OTHER), B: records([7], B)}, {A, B, OTHER})
    assert [offsets(message) for message in await messages(consumer)] == [{A: [0, 1], B: [7]}, {OTHER: [3]}]


async def test_topics_of_one_agent_come_together(consumer: Consumer, app: faust.App) -> None:
    cast(Any, app.topics)._topic_name_index[OTHER.topic] = {"one agent"}
    fetches(consumer, {A: records([0]), OTHER: records([3], OTHER)}, {A, OTHER})
    assert [offsets(message) for message in await messages(consumer)] == [{A: [0], OTHER: [3]}]


async def test_while_faust_makes_its_index_anew_what_different_agents_read_is_not_mixed(consumer: Consumer, app: faust.App) -> None:
    index = cast(Any, app.topics)._topic_name_index
    index.clear()
    fetches(consumer, {A: records([0]), OTHER: records([3], OTHER), B: records([1], B)}, {A, B, OTHER})
    assert [offsets(message) for message in await messages(consumer)] == [{A: [0], B: [1]}, {OTHER: [3]}]
    assert not index, "a topic that is in it counts as subscribed"


async def test_partitions_of_a_changelog_come_each_by_itself(consumer: Consumer) -> None:
    fetches(consumer, {LOG: records([0], LOG), LOG_1: records([1], LOG_1)}, {LOG, LOG_1})
    assert [offsets(message) for message in await messages(consumer)] == [{LOG: [0]}, {LOG_1: [1]}]


async def test_of_each_partition_so_many_records_come_at_a_time(consumer: Consumer) -> None:
    fetches(consumer, {TopicPartition("source", 0): records(range(2 * BATCH_RECORDS + 1)), B: records([7], B)}, {A, B})
    found = await messages(consumer)
    assert [{tp: len(ones) for tp, ones in offsets(message).items()} for message in found] == [
        {A: BATCH_RECORDS, B: 1},
        {A: BATCH_RECORDS},
        {A: 1},
    ]
    assert [message.offset for message in found] == [499, 999, 1000]
    assert all(isinstance(part.tp, TP) for message in found for part in message.parts)
    assert {message.generation_id for message in found} == {7}


async def test_parts_are_numbered_in_the_order_of_their_partition(consumer: Consumer) -> None:
    fetches(consumer, {A: records(range(BATCH_RECORDS + 1)), B: records([7], B)}, {A, B})
    assert [[(part.tp, part.number) for part in message.parts] for message in await messages(consumer)] == [[(A, 1), (B, 1)], [(A, 2)]]


async def test_how_far_each_partition_of_a_message_was_read_is_known(consumer: Consumer) -> None:
    await deliver_together(consumer, {A: [0, 1], B: [4, 9]})
    assert (consumer._read_offset.get(A), consumer._read_offset.get(B)) == (1, 9)


async def test_what_is_not_active_is_not_yielded_unless_it_is_buffered(consumer: Consumer) -> None:
    fetches(consumer, {A: records([0]), B: records([1], B)}, {A})
    assert [list(offsets(message)) for message in await messages(consumer)] == [[A]]
    consumer._buffered_partitions.add(B)
    assert [list(offsets(message)) for message in await messages(consumer)] == [[A, B]]


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


def test_a_message_is_what_faust_sees_of_its_first_part() -> None:
    first, second = part([3, 4, 9]), part([1], B)
    message = BatchMessage.of([first, second], 7, 3)
    assert (message.topic, message.partition, message.offset, message.tp, message.generation_id) == ("source", 0, 9, A, 7)
    assert cast(Any, message.value) is first.records
    assert message.parts == [first, second]
    assert message.timestamp == 1.5
    assert message.epoch == 3
    assert not message.handled


def test_a_message_counts_the_records_of_all_its_parts() -> None:
    assert BatchMessage.of([part([3, 4, 9]), part([1], B)], 7, 3).count == 4


def test_a_part_is_at_the_offset_of_its_last_record() -> None:
    assert part([3, 4, 9]).offset == 9


def test_a_record_without_a_time_is_taken() -> None:
    assert BatchMessage.of([Part(A, [record(0, timestamp=-1)])], 7, 0).timestamp == 0.0


async def test_a_schema_lets_the_records_through_as_they_are() -> None:
    made: list[tuple[Any, ...]] = []
    decode = BatchSchema().compile(SimpleNamespace(create_event=lambda *args: made.append(args)))
    message = BatchMessage.of([part([0])], 7, 0)
    await decode(message)
    assert made == [(None, message.value, None, message)]


class Event:
    """As much of Faust's event as a batch uses."""

    def __init__(self, offsets: list[int], *others: Part, epoch: int = 1) -> None:
        self.message = BatchMessage.of([part(offsets), *others], 7, epoch)
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


async def test_the_records_of_every_part_count_towards_the_limit() -> None:
    stream = Stream(Event([0], part([7, 8], B)), Event([1]), Event([2]))
    assert await taken(stream, 3) == [[0], [1, 2]]


def test_a_batch_has_the_records_of_each_partition_in_their_order() -> None:
    batch = Batch([Event([0, 1], part([7], B)), Event([2]), Event([3], part([9], B))])  # type: ignore[list-item]
    assert {tp: [one.offset for one in found] for tp, found in batch.parts.items()} == {A: [0, 1, 2, 3], B: [7, 9]}


def test_to_look_at_a_batch_changes_no_message() -> None:
    events = [Event([0, 1]), Event([2])]
    batch = Batch(events)  # type: ignore[arg-type]
    assert batch.parts == batch.parts
    assert [len(event.message.parts[0].records) for event in events] == [2, 1]


def test_a_batch_is_acknowledged_whole_and_as_an_agents_own() -> None:
    events = [Event([0, 1]), Event([2])]
    Batch(events).ack()  # type: ignore[arg-type]
    assert [event.acknowledged for event in events] == [[True], [True]]


# --- the producer


async def test_the_producer_is_idempotent_and_waits_for_every_replica(app: faust.App) -> None:
    producer = Transport(app.conf.broker_producer, app).create_producer()
    assert isinstance(producer, driver.Producer)
    assert producer._settings_extra() == {"acks": "all", "enable_idempotence": True}


async def test_the_connections_are_those_of_the_producer_that_has_started(app: faust.App) -> None:
    producer = cast(driver.Producer, Transport(app.conf.broker_producer, app).create_producer())
    cast(Any, producer)._producer = SimpleNamespace(client="its client")
    assert producer.connections == "its client"


async def test_a_producer_that_has_not_started_has_no_connections(app: faust.App) -> None:
    producer = cast(driver.Producer, Transport(app.conf.broker_producer, app).create_producer())
    with pytest.raises(NotReady):
        _ = producer.connections


async def test_the_consumer_fetches_over_the_lanes_of_the_application(consumer: Consumer) -> None:
    assert isinstance(consumer._thread, InlineConsumer)
    assert consumer._thread._lanes == LANES
