"""The fetcher: records come in order and once, whatever happens on the way, and nothing keeps the others waiting for ever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import (
    CorruptRecordException,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from app.kafka import fetch_buffer
from app.kafka.appended import Appended
from app.kafka.fetcher import Fetcher
from app.kafka.lane import FULL_RECORDS, Lane, Pause
from app.kafka.outgoing import Outgoing
from tests.unit.kafka.clock import jumping, run
from tests.unit.kafka.fetch_broker import (
    COMPACTED,
    CONTROL,
    CORRUPT,
    CUT_ANSWER,
    LATE_ANSWER,
    LOSE_ANSWER,
    LOSE_REQUEST,
    NOT_LEADER,
    OUT_OF_RANGE,
    PLAIN,
    STORAGE,
    UNAUTHORIZED,
    UNKNOWN_TOPIC,
    Cluster,
)

LIMIT_SECONDS = 60
"""By a clock that jumps."""
A, B, C = (TopicPartition("a", number) for number in range(3))
"""A and C are led by one broker, B by the other."""
X = TopicPartition("x", 0)
"""Of a lane of its own, if there is one."""
LOST = [LOSE_REQUEST, LOSE_ANSWER, LATE_ANSWER, CUT_ANSWER]

Taken = dict[TopicPartition, list[int]]


class Consumer:
    """A fetcher, and what aiokafka's consumer does with one."""

    def __init__(self, cluster: Cluster, lanes: tuple[Lane, ...] = (), **options: Any) -> None:
        self.cluster = cluster
        self.subscriptions = SubscriptionState()
        self.fetcher = Fetcher(cluster, self.subscriptions, **({"auto_offset_reset": "earliest"} | options))
        self.fetcher.lanes = lanes or (Lane(rest_ms=100),)
        self._group = False

    def assign(self, *tps: TopicPartition, at: int | None = 0) -> None:
        """Be given partitions, and stand at an offset of each; ``None``: wherever."""
        if not self._group:
            self.subscriptions.subscribe({"a", "x"})
            self._group = True
        self.subscriptions.assign_from_subscribed(set(tps))
        if at is not None:
            for tp in tps:
                self.fetcher.seek_to(tp, at)

    def state(self, tp: TopicPartition) -> Any:
        return self.subscriptions.subscription.assignment.state_value(tp)

    async def take(self, tps: Iterable[TopicPartition] = (), seconds: float = 1.0, most: int | None = 1000) -> Taken:
        """The offsets of what there is."""
        async with asyncio.timeout(LIMIT_SECONDS):
            found = await self.fetcher.fetched_records(list(tps), seconds, most)
        return {tp: [record.offset for record in records] for tp, records in found.items()}

    async def take_up_to(self, tp: TopicPartition, end: int) -> list[int]:
        """The offsets of what comes of a partition, until it stands somewhere."""
        found: list[int] = []
        async with asyncio.timeout(LIMIT_SECONDS):
            while self.state(tp)._position != end:
                found += (await self.take([tp])).get(tp, [])
        return found

    async def settles(self) -> None:
        """Wait until whatever is to be fetched has been."""
        await asyncio.sleep(0.25)


@asynccontextmanager
async def consuming(cluster: Cluster, *tps: TopicPartition, at: int | None = 0, **options: Any) -> AsyncIterator[Consumer]:
    """A consumer of some partitions, from an offset of each."""
    consumer = Consumer(cluster, **options)
    if tps:
        consumer.assign(*tps, at=at)
    try:
        yield consumer
    finally:
        async with asyncio.timeout(LIMIT_SECONDS):
            await consumer.fetcher.close()
            await asyncio.sleep(0)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, "tasks are left behind"


def appended(cluster: Cluster, tp: TopicPartition, count: int = 1) -> Appended:
    """Append records; what who appended them is told."""
    first = cluster.logs[tp].end
    cluster.append(tp, count)
    return Appended.of(tp, first, 1500, [Outgoing(tp.topic, b"k", b"%d" % (first + n), [("h", b"1")]) for n in range(count)])


# --- what comes


@jumping
async def test_records_come_with_all_that_they_have() -> None:
    cluster = Cluster()
    cluster.append(A, 2)
    async with consuming(cluster, A) as consumer:
        found = await consumer.fetcher.fetched_records([], 1.0, 10)
    [first, second] = found[A]
    assert (first.topic, first.partition, first.offset, first.timestamp, first.key, first.value) == ("a", 0, 0, 1500, b"k", b"0")
    assert (first.headers, second.offset, second.value) == ((("h", b"1"),), 1, b"1")


@jumping
async def test_records_come_of_every_partition_of_every_broker() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B, C) as consumer:
        for tp in (A, B, C):
            cluster.append(tp, 2)
            assert await consumer.take() == {tp: [0, 1]}


@jumping
async def test_a_record_that_comes_while_the_broker_holds_the_fetch_comes_at_once() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        began = asyncio.get_running_loop().time()
        cluster.append(A)
        assert await consumer.take() == {A: [0]}
        assert asyncio.get_running_loop().time() == began


@jumping
async def test_who_waits_already_is_told_at_once() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        waiting = asyncio.ensure_future(consumer.take())
        await asyncio.sleep(0.01)
        began = asyncio.get_running_loop().time()
        cluster.append(A)
        assert await waiting == {A: [0]}
        assert asyncio.get_running_loop().time() == began


@jumping
async def test_a_fetch_begins_in_the_middle_of_a_batch_with_the_record_that_was_asked_for() -> None:
    cluster = Cluster()
    cluster.append(A, 5)
    async with consuming(cluster, A, at=3) as consumer:
        assert await consumer.take() == {A: [3, 4]}


@jumping
async def test_whole_batches_come_until_there_are_as_many_as_were_asked_for() -> None:
    cluster = Cluster()
    for _ in range(4):
        cluster.append(A, 3)
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        assert await consumer.take(most=4) == {A: [0, 1, 2, 3, 4, 5]}
        assert await consumer.take(most=1) == {A: [6, 7, 8]}
        assert await consumer.take(most=100) == {A: [9, 10, 11]}


@jumping
async def test_where_there_are_enough_of_one_partition_the_others_wait() -> None:
    cluster = Cluster()
    for tp in (A, C):
        cluster.append(tp, 3)
    async with consuming(cluster, A, C) as consumer:
        await consumer.settles()
        first, second = [await consumer.take(most=3), await consumer.take(most=3)]
    assert sorted([*first, *second]) == [A, C]


@jumping
async def test_without_a_number_there_is_something() -> None:
    cluster = Cluster()
    cluster.append(A, 3)
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        assert await consumer.take(most=None) == {A: [0, 1, 2]}


@jumping
async def test_where_nothing_comes_there_is_nothing_when_the_time_is_over() -> None:
    async with consuming(Cluster(), A) as consumer:
        began = asyncio.get_running_loop().time()
        assert await consumer.take(seconds=0.7) == {}
        assert asyncio.get_running_loop().time() - began == pytest.approx(0.7, abs=0.01)


@jumping
async def test_without_time_there_is_what_there_is() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        began = asyncio.get_running_loop().time()
        assert await consumer.take(seconds=0) == {}
        assert asyncio.get_running_loop().time() == began
        cluster.append(A)
        await consumer.settles()
        assert await consumer.take(seconds=0) == {A: [0]}


@jumping
async def test_only_the_partitions_asked_for_are_taken() -> None:
    cluster = Cluster()
    for tp in (A, C):
        cluster.append(tp)
    async with consuming(cluster, A, C) as consumer:
        await consumer.settles()
        assert await consumer.take([C]) == {C: [0]}
        assert await consumer.take([A]) == {A: [0]}


@jumping
async def test_how_far_a_partition_goes_is_known() -> None:
    cluster = Cluster()
    cluster.append(A, 7)
    async with consuming(cluster, A, B) as consumer:
        await consumer.settles()
        assert [(consumer.state(tp).highwater, consumer.state(tp).lso) for tp in (A, B)] == [(7, 7), (0, 0)]


@jumping
async def test_that_partitions_are_fetched_is_noted() -> None:
    async with consuming(Cluster(), A, B) as consumer:
        await consumer.take(seconds=0.5)
        assert consumer.state(A).timestamp > 1_600_000_000_000


@pytest.mark.parametrize("kind", [CONTROL, COMPACTED])
@jumping
async def test_a_batch_of_which_there_is_nothing_to_see_is_passed(kind: str) -> None:
    cluster = Cluster()
    cluster.append(A, 2)
    cluster.append(A, 2, kind)
    cluster.append(A, 2)
    async with consuming(cluster, A) as consumer:
        assert await consumer.take_up_to(A, 6) == [0, 1, 4, 5]


@pytest.mark.parametrize("kind", [CONTROL, COMPACTED])
@jumping
async def test_a_batch_of_which_there_is_nothing_to_see_at_the_end_is_passed(kind: str) -> None:
    cluster = Cluster()
    cluster.append(A, 2, kind)
    async with consuming(cluster, A) as consumer:
        assert await consumer.take_up_to(A, 2) == []
        fetched = cluster.fetches
        await consumer.take(seconds=1.0)
        assert cluster.fetches - fetched < 15, "it is not fetched over and over"


@jumping
async def test_what_was_compacted_away_at_the_end_of_a_batch_is_passed() -> None:
    cluster = Cluster()
    cluster.append(A, 9, COMPACTED)
    async with consuming(cluster, A) as consumer:
        assert await consumer.take_up_to(A, 9) == [0, 1, 2]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 3), st.integers(1, 4), st.sampled_from([PLAIN, PLAIN, CONTROL, COMPACTED])),
        st.tuples(st.just("take"), st.integers(1, 6), st.integers(0, 3), st.just("")),
        st.tuples(st.just("seek"), st.integers(0, 3), st.integers(0, 12), st.just("")),
        st.tuples(st.just("seek to beginning"), st.integers(0, 3), st.just(0), st.just("")),
        st.tuples(st.just("pause"), st.integers(0, 3), st.just(0), st.just("")),
        st.tuples(st.just("resume"), st.integers(0, 3), st.just(0), st.just("")),
        st.tuples(st.just("move"), st.integers(0, 3), st.integers(0, 1), st.just("")),
        st.tuples(st.just("no leader"), st.integers(0, 3), st.just(0), st.just("")),
        st.tuples(st.just("refresh"), st.just(0), st.just(0), st.just("")),
        st.tuples(st.just("fate"), st.just(0), st.just(0), st.sampled_from(LOST)),
        st.tuples(st.just("fail"), st.sampled_from([71, 99]), st.just(0), st.just("")),
        st.tuples(st.just("error"), st.integers(0, 3), st.sampled_from([NOT_LEADER, UNKNOWN_TOPIC, STORAGE, 99]), st.just("")),
        st.tuples(st.just("restart"), st.integers(0, 1), st.just(0), st.just("")),
        st.tuples(st.just("drop"), st.just(0), st.just(0), st.just("")),
        st.tuples(st.just("out of reach"), st.integers(1, 3), st.just(0), st.just("")),
        st.tuples(st.just("reassign"), st.just(0), st.just(0), st.just("")),
        st.tuples(st.just("wait"), st.integers(0, 3), st.just(0), st.just("")),
    ),
    max_size=40,
)
ALL = [A, B, C, X]


@settings(max_examples=200)
@given(STEPS)
def test_records_come_in_order_and_once_whatever_happens(steps: list[tuple[str, int, int, str]]) -> None:
    async def scenario() -> None:
        cluster = Cluster()
        lanes = Lane(Pause(least_ms=20, most_ms=20), frozenset({"x"})), Lane(Pause(least_ms=5, per_kib_ms=1, most_ms=10))
        due = dict.fromkeys(ALL, 0)
        """The offset from which each partition is to go on."""

        def check(found: Taken) -> None:
            for tp, offsets in found.items():
                assert not consumer.state(tp).paused
                assert offsets == [offset for offset in cluster.logs[tp].offsets() if due[tp] <= offset <= offsets[-1]]
                due[tp] = offsets[-1] + 1

        async with consuming(cluster, *ALL, lanes=lanes) as consumer:
            for what, one, other, how in steps:
                tp = ALL[one] if one < len(ALL) else A
                if what == "append":
                    cluster.append(tp, other, how)
                elif what == "take":
                    check(await consumer.take(ALL[: other + 1], seconds=0, most=one))
                elif what == "seek":
                    due[tp] = min(other, cluster.logs[tp].end)
                    consumer.fetcher.seek_to(tp, due[tp])
                elif what == "seek to beginning":
                    due[tp] = 0
                    consumer.fetcher.request_offset_reset([tp], -2)
                elif what == "pause":
                    consumer.subscriptions.pause(tp)
                elif what == "resume":
                    consumer.subscriptions.resume(tp)
                elif what == "move":
                    cluster.moved[tp] = other
                elif what == "no leader":
                    cluster.moved[tp] = None
                    cluster._loop.call_later(0.3, cluster.moved.pop, tp, None)
                elif what == "refresh":
                    cluster.force_metadata_update()
                elif what == "fate":
                    cluster.fates.append(how)
                elif what == "fail":
                    cluster.fails.append(one)
                elif what == "error":
                    cluster.errors[tp].append(other)
                elif what == "restart":
                    cluster.brokers[one].restart()
                elif what == "drop":
                    cluster.drop()
                elif what == "out of reach":
                    cluster.out_of_reach = one
                elif what == "reassign":
                    consumer.assign(*ALL, at=None)
                    for each in ALL:
                        consumer.fetcher.seek_to(each, due[each])
                else:
                    await asyncio.sleep(one * 0.03)
            for tp in ALL:
                consumer.subscriptions.resume(tp)
            async with asyncio.timeout(LIMIT_SECONDS):
                while any(consumer.state(tp)._position != cluster.logs[tp].end for tp in ALL):
                    check(await consumer.take(seconds=0.1))
            for tp in ALL:
                assert not [offset for offset in cluster.logs[tp].offsets() if offset >= due[tp]]

    run(scenario())


# --- what is done meanwhile


@jumping
async def test_what_is_under_way_when_its_partition_is_moved_is_not_taken() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        cluster.append(A, 10)
        await consumer.settles()
        consumer.fetcher.seek_to(A, 5)
        cluster.go_on()
        assert await consumer.take() == {A: [5, 6, 7, 8, 9]}


@jumping
async def test_who_moves_a_partition_does_not_wait_for_what_the_broker_holds() -> None:
    cluster = Cluster()
    cluster.append(A, 10)
    async with consuming(cluster, A, C, at=10, lanes=(Lane(rest_ms=3_600_000),)) as consumer:
        cluster.logs[C].append(10)
        await consumer.settles()
        consumer.fetcher.seek_to(A, 5)
        began = asyncio.get_running_loop().time()
        assert await consumer.take([A]) == {A: [5, 6, 7, 8, 9]}
        assert asyncio.get_running_loop().time() == began


@jumping
async def test_who_moves_a_partition_to_its_start_does_not_wait_for_what_the_broker_holds() -> None:
    cluster = Cluster()
    cluster.append(A, 3)
    async with consuming(cluster, A, at=3, lanes=(Lane(rest_ms=3_600_000),)) as consumer:
        await consumer.settles()
        consumer.fetcher.request_offset_reset([A], -2)
        began = asyncio.get_running_loop().time()
        assert await consumer.take() == {A: [0, 1, 2]}
        assert asyncio.get_running_loop().time() == began


@jumping
async def test_who_moves_a_partition_while_its_broker_is_being_connected_to_does_not_wait_either() -> None:
    cluster = Cluster()
    cluster.append(A, 3)
    cluster.connect_seconds = 0.5
    async with consuming(cluster, A, at=3, lanes=(Lane(rest_ms=3_600_000),)) as consumer:
        await asyncio.sleep(0.1)
        consumer.fetcher.seek_to(A, 1)
        assert await consumer.take() == {A: [1, 2]}


@jumping
async def test_who_moves_a_partition_to_where_it_stands_disturbs_nothing() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        fetched = cluster.fetches
        consumer.fetcher.seek_to(A, 0)
        await asyncio.sleep(0)
        assert cluster.fetches == fetched


@jumping
async def test_what_has_just_come_when_its_partition_is_moved_is_not_taken() -> None:
    cluster = Cluster()
    cluster.append(A, 5)
    async with consuming(cluster, A, at=5) as consumer:
        cluster.hold()
        cluster.append(A, 5)
        await consumer.settles()
        cluster.go_on()
        consumer.fetcher.seek_to(A, 0)
        assert await consumer.take() == {A: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]}


@jumping
async def test_what_was_fetched_when_its_partition_is_moved_is_not_taken() -> None:
    cluster = Cluster()
    cluster.append(A, 10)
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        consumer.fetcher.seek_to(A, 5)
        assert await consumer.take() == {A: [5, 6, 7, 8, 9]}


@jumping
async def test_what_is_under_way_when_its_partition_is_paused_waits() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        cluster.append(A)
        await consumer.settles()
        consumer.subscriptions.pause(A)
        cluster.go_on()
        assert await consumer.take(seconds=0.5) == {}
        consumer.subscriptions.resume(A)
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_paused_partition_is_not_fetched_and_the_others_are() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C) as consumer:
        consumer.subscriptions.pause(A)
        for tp in (A, C):
            cluster.append(tp)
        assert await consumer.take() == {C: [0]}
        consumer.subscriptions.resume(A)
        assert await consumer.take() == {A: [0]}


@jumping
async def test_where_every_partition_is_paused_one_that_goes_on_is_fetched_soon() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C) as consumer:
        for tp in (A, C):
            consumer.subscriptions.pause(tp)
        await consumer.take(seconds=3)
        cluster.append(A)
        consumer.subscriptions.resume(A)
        assert await consumer.take(seconds=0.3) == {A: [0]}


@jumping
async def test_positions_are_looked_up_where_they_are_not_known() -> None:
    cluster = Cluster()
    cluster.append(A, 3)
    async with consuming(cluster, A, at=None, auto_offset_reset="earliest") as consumer:
        await consumer.settles()
        consumer.state(A).update_committed(OffsetAndMetadata(2, ""))
        assert await consumer.take() == {A: [2]}


@pytest.mark.parametrize(("strategy", "expected"), [("earliest", [0, 1, 2]), ("latest", [3])])
@jumping
async def test_where_nothing_is_committed_the_log_is_read_from_its_start_or_its_end(strategy: str, expected: list[int]) -> None:
    cluster = Cluster()
    cluster.append(A, 3)
    async with consuming(cluster, A, at=None, auto_offset_reset=strategy) as consumer:
        await consumer.settles()
        consumer.state(A).update_committed(OffsetAndMetadata(-1, ""))
        await consumer.settles()
        cluster.append(A)
        assert (await consumer.take())[A][: len(expected)] == expected


@jumping
async def test_where_nothing_is_committed_and_there_is_no_strategy_that_is_an_error_and_the_others_go_on() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C, at=None, auto_offset_reset="none") as consumer:
        consumer.fetcher.seek_to(C, 0)
        await consumer.settles()
        consumer.state(A).update_committed(OffsetAndMetadata(-1, ""))
        cluster.append(C)
        assert await consumer.take([C]) == {C: [0]}
        fetched = cluster.fetches
        assert await consumer.take([C], seconds=1.0) == {}
        assert cluster.fetches - fetched < 30, "while the error waits to be taken nothing goes round in circles"
        with pytest.raises(NoOffsetForPartitionError):
            await consumer.take()


# --- assignments


@jumping
async def test_another_assignment_is_read_from_its_own_positions() -> None:
    cluster = Cluster()
    for tp in (A, B):
        cluster.append(tp, 4)
    async with consuming(cluster, A, B) as consumer:
        await consumer.settles()
        consumer.assign(B, C, at=2)
        cluster.append(C, 3)
        assert await consumer.take_up_to(B, 4) == [2, 3]
        assert await consumer.take_up_to(C, 3) == [2]


@jumping
async def test_what_is_under_way_when_partitions_are_assigned_anew_is_not_taken() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        cluster.append(A, 4)
        await consumer.settles()
        consumer.assign(A, at=2)
        cluster.go_on()
        assert await consumer.take() == {A: [2, 3]}


@jumping
async def test_in_another_assignment_too_it_is_known_how_far_a_partition_goes() -> None:
    cluster = Cluster()
    cluster.append(A, 4)
    async with consuming(cluster, A, at=4, lanes=(Lane(Pause(1000, 0, 1000)),)) as consumer:
        await consumer.take(seconds=0.5)
        consumer.assign(A, at=4)
        await consumer.take(seconds=0.5)
        assert consumer.state(A).highwater == 4


@jumping
async def test_nobody_is_given_records_while_partitions_are_being_assigned() -> None:
    cluster = Cluster()
    cluster.append(A, 4)
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        consumer.subscriptions.begin_reassignment()
        waiting = asyncio.ensure_future(consumer.take())
        await asyncio.sleep(5)
        assert not waiting.done()
        consumer.assign(A, at=3)
        assert await waiting in ({}, {A: [3]})


# --- what goes wrong


@pytest.mark.parametrize("fate", LOST)
@jumping
async def test_whatever_is_lost_is_fetched_again(fate: str) -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.fates.append(fate)
        cluster.append(A, 2)
        assert await consumer.take() == {A: [0, 1]}
        assert not cluster.fates


@jumping
async def test_a_broker_that_is_out_of_reach_for_a_while_is_waited_for() -> None:
    cluster = Cluster()
    cluster.out_of_reach = 7
    cluster.append(A)
    async with consuming(cluster, A) as consumer:
        assert await consumer.take(seconds=5) == {A: [0]}


@jumping
async def test_a_broker_out_of_reach_does_not_keep_another_from_being_read() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B) as consumer:
        await consumer.settles()
        cluster._conns[0, consumer.fetcher.lanes[0]].close()
        cluster.out_of_reach = 10**9
        cluster.append(B)
        assert await consumer.take() == {B: [0]}


@pytest.mark.parametrize("error", [70, 71, 99])
@jumping
async def test_a_session_that_the_broker_does_not_know_is_begun_anew(error: int) -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        cluster.fails.append(error)
        cluster.append(A)
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_broker_that_restarts_is_read_on() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        cluster.brokers[0].restart()
        cluster.append(A)
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_broker_that_has_no_room_for_sessions_is_read_without() -> None:
    cluster = Cluster()
    cluster.remembers = False
    async with consuming(cluster, A, C) as consumer:
        for tp in (A, C, A):
            cluster.append(tp)
            assert list(await consumer.take()) == [tp]


@jumping
async def test_a_broker_keeps_one_session_of_a_lane_however_often_it_begins_anew() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C) as consumer:
        for _ in range(10):
            await consumer.settles()
            consumer.fetcher.request_offset_reset([C], -2)
        await consumer.settles()
        assert len(cluster.brokers[0].sessions) == 1


@pytest.mark.parametrize("error", [NOT_LEADER, UNKNOWN_TOPIC])
@jumping
async def test_where_a_partition_is_led_is_asked_when_a_broker_says_that_it_is_not_there(error: int) -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.errors[A].append(error)
        cluster.append(A)
        assert await consumer.take() == {A: [0]}
        assert cluster.refreshed == 1


@jumping
async def test_a_partition_that_moves_to_another_broker_is_read_there() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B, C) as consumer:
        await consumer.settles()
        cluster.moved[A] = 1
        for tp in (A, B, C):
            cluster.append(tp)
        for tp in (A, B, C):
            assert await consumer.take_up_to(tp, 1) in ([0], [])


@jumping
async def test_a_partition_that_moves_to_a_broker_of_which_its_lane_had_nothing_is_read_there() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B, X, lanes=(Lane(topics=frozenset({"x"})), Lane())) as consumer:
        await consumer.settles()
        cluster.moved[X] = 1
        cluster.append(X)
        assert await consumer.take(seconds=3) == {X: [0]}


@jumping
async def test_new_metadata_that_changes_nothing_interrupts_nothing() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B, X, lanes=(Lane(topics=frozenset({"x"})), Lane())) as consumer:
        await consumer.take(seconds=1.3)
        cluster.append(A)  # from here on the lanes are answered at different times
        await consumer.take(seconds=0.2)
        made = [broker.made for broker in cluster.brokers.values()]
        for _ in range(5):
            cluster.force_metadata_update()
            await consumer.take(seconds=0.2)
        assert [broker.made for broker in cluster.brokers.values()] == made


@jumping
async def test_new_metadata_that_nobody_asked_for_moves_a_partition_too() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B) as consumer:
        await consumer.settles()
        cluster.moved[A] = cluster.known[A] = 1
        cluster.cluster._last_successful_refresh_ms += 1.0
        cluster.append(A)
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_partition_without_a_leader_keeps_no_other_from_being_read() -> None:
    cluster = Cluster()
    cluster.moved[A] = cluster.known[A] = None
    async with consuming(cluster, A, B, C) as consumer:
        for _ in range(3):
            for tp in (B, C):
                cluster.append(tp)
                assert list(await consumer.take()) == [tp]
        cluster.append(A)
        cluster.moved.clear()
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_partition_without_a_leader_is_asked_about_now_and_then() -> None:
    cluster = Cluster()
    cluster.moved[A] = cluster.known[A] = None
    async with consuming(cluster, A, B) as consumer:
        await consumer.take(seconds=10)
        assert cluster.refreshed == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize(("strategy", "expected"), [("earliest", [5, 6, 7]), ("latest", [8])])
@jumping
async def test_an_offset_out_of_range_is_looked_up_anew(strategy: str, expected: list[int]) -> None:
    cluster = Cluster()
    cluster.append(A, 8)
    cluster.logs[A].start = 5
    async with consuming(cluster, A, at=2, auto_offset_reset=strategy) as consumer:
        await consumer.take(seconds=0.5, most=1) if strategy == "latest" else None
        if strategy == "latest":
            cluster.append(A)
        found = await consumer.take()
        assert found == {A: expected}


@jumping
async def test_an_offset_out_of_range_where_there_is_no_strategy_is_an_error_once_and_the_others_go_on() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C, auto_offset_reset="none") as consumer:
        cluster.errors[A].append(OUT_OF_RANGE)
        cluster.append(C)
        await consumer.settles()
        with pytest.raises(OffsetOutOfRangeError) as failed:
            await consumer.take([A])
        assert failed.value.args[0] == {A: 0}
        assert await consumer.take() == {C: [0]}
        cluster.append(A)
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_topic_that_is_not_ours_to_read_is_an_error() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.errors[A].append(UNAUTHORIZED)
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.take()


@pytest.mark.parametrize("error", [STORAGE, 99])
@jumping
async def test_any_other_error_of_a_partition_passes(error: int, caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.errors[A] += [error] * 3
        cluster.append(A)
        assert await consumer.take() == {A: [0]}
    assert "fetching" in caplog.text


@jumping
async def test_an_error_does_not_take_records_of_others_with_it() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C) as consumer:
        cluster.append(C)
        await consumer.settles()
        cluster.errors[A].append(UNAUTHORIZED)
        cluster.look()
        await asyncio.sleep(0.5)
        assert await consumer.take() == {C: [0]}
        with pytest.raises(TopicAuthorizationFailedError):
            await consumer.take()


@jumping
async def test_a_late_answer_of_an_old_leader_changes_nothing_about_what_the_new_one_said() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B, auto_offset_reset="none") as consumer:
        await consumer.settles()
        cluster.hold()
        await asyncio.sleep(0.5)
        cluster.append(A)
        cluster.errors[A].append(OUT_OF_RANGE)
        old = cluster._conns[0, consumer.fetcher.lanes[0]]
        cluster.known[A] = 1
        cluster.cluster._last_successful_refresh_ms += 1.0
        cluster._conns[1, consumer.fetcher.lanes[0]].close()
        await asyncio.sleep(0.5)
        # The new leader answers, and only then the old one, which has not heard that it is none any more.
        cluster.moved[A] = 1
        error, cluster.errors[A] = cluster.errors[A], type(cluster.errors[A])()
        cluster.held = False
        cluster._conns[1, consumer.fetcher.lanes[0]]._go_on()
        await consumer.settles()
        cluster.moved[A] = 0
        cluster.errors[A] = error
        old.look(True)
        await consumer.settles()
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_batch_whose_checksum_is_wrong_is_an_error_each_time_and_never_passed() -> None:
    cluster = Cluster()
    cluster.append(A, 1, CORRUPT)
    cluster.append(A, 1)
    async with consuming(cluster, A) as consumer:
        for _ in range(3):
            with pytest.raises(CorruptRecordException):
                await consumer.take()
        assert consumer.state(A).position == 0


@jumping
async def test_what_stands_before_a_batch_whose_checksum_is_wrong_comes() -> None:
    cluster = Cluster()
    cluster.append(A, 2)
    cluster.append(A, 1, CORRUPT)
    async with consuming(cluster, A) as consumer:
        assert await consumer.take() == {A: [0, 1]}
        with pytest.raises(CorruptRecordException):
            await consumer.take()


@jumping
async def test_a_batch_whose_checksum_is_wrong_does_not_take_records_of_others_with_it() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B) as consumer:
        cluster.append(B, 2)
        await consumer.settles()
        cluster.append(A, 1, CORRUPT)
        await consumer.settles()
        assert await consumer.take() == {B: [0, 1]}
        with pytest.raises(CorruptRecordException):
            await consumer.take()


@jumping
async def test_checksums_may_be_left_out() -> None:
    cluster = Cluster()
    cluster.append(A, 1, CORRUPT)
    async with consuming(cluster, A, check_crcs=False) as consumer:
        assert await consumer.take() == {A: [0]}


@jumping
async def test_a_record_that_does_not_come_whole_is_an_error_and_passed_as_aiokafka_does() -> None:
    cluster = Cluster()
    cluster.append(A, 1)
    cut = cluster.logs[A].batches[0]
    cluster.logs[A].batches[0] = cut._replace(encoded=cut.encoded[:-1])
    async with consuming(cluster, A) as consumer:
        with pytest.raises(RecordTooLargeError):
            await consumer.take()
        assert consumer.state(A).position == 1


@jumping
async def test_a_broker_that_is_too_old_is_an_error_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    cluster = Cluster()
    cluster.modern = False
    async with consuming(cluster, A) as consumer:
        assert await consumer.take(seconds=0.5) == {}
    assert "too old" in caplog.text


@jumping
async def test_whatever_ends_the_fetching_is_told_to_who_waits_for_records() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        await consumer.settles()
        cluster.breaks = ValueError("nobody thought of that")
        with pytest.raises(KafkaError):
            await consumer.take(seconds=5)


@jumping
async def test_trouble_with_the_group_is_told_to_who_waits_for_records() -> None:
    async with consuming(Cluster(), A) as consumer:
        waiting = asyncio.ensure_future(consumer.take(seconds=5))
        await asyncio.sleep(0.01)
        consumer.subscriptions.abort_waiters(KafkaError("the group"))
        with pytest.raises(KafkaError, match="the group"):
            await waiting


# --- who waits for whom


@jumping
async def test_records_that_wait_to_be_taken_hold_back_their_own_partition_only() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C) as consumer:
        cluster.append(A)
        await consumer.settles()
        for _ in range(3):
            cluster.append(C)
            assert list(await consumer.take([C])) == [C]
        assert await consumer.take([A]) == {A: [0]}


@jumping
async def test_what_waits_to_be_taken_is_not_fetched_again() -> None:
    cluster = Cluster()
    cluster.append(A)
    async with consuming(cluster, A) as consumer:
        await asyncio.sleep(5)
        fetched = cluster.fetches
        cluster.append(A)
        await asyncio.sleep(5)
        assert cluster.fetches == fetched
        assert await consumer.take_up_to(A, 2) == [0, 1]


@jumping
async def test_what_was_taken_makes_room_at_once() -> None:
    cluster = Cluster()
    cluster.append(A)
    async with consuming(cluster, A) as consumer:
        await asyncio.sleep(1)
        cluster.append(A)
        began = asyncio.get_running_loop().time()
        assert await consumer.take() == {A: [0]}
        assert await consumer.take() == {A: [1]}
        assert asyncio.get_running_loop().time() == began


@jumping
async def test_what_is_taken_late_is_fetched_soon_though_the_broker_holds_a_fetch_of_the_others() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C, lanes=(Lane(rest_ms=3_600_000),)) as consumer:
        cluster.append(A)
        await consumer.settles()
        assert await consumer.take() == {A: [0]}
        cluster.append(A)
        assert await consumer.take(seconds=0.1) == {A: [1]}


@jumping
async def test_a_partition_that_is_not_paused_any_more_is_fetched_soon_though_the_broker_holds_a_fetch_of_the_others() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C, lanes=(Lane(rest_ms=3_600_000),)) as consumer:
        consumer.subscriptions.pause(A)
        await consumer.settles()
        consumer.subscriptions.resume(A)
        cluster.append(A)
        assert await consumer.take(seconds=0.1) == {A: [0]}


@jumping
async def test_a_lane_that_pauses_does_not_hold_up_another() -> None:
    cluster = Cluster()
    slow, fast = Lane(Pause(10_000, 0, 10_000), frozenset({"x"})), Lane()
    async with consuming(cluster, A, X, lanes=(slow, fast)) as consumer:
        cluster.append(X)
        assert await consumer.take() == {X: [0]}
        cluster.append(X)
        for _ in range(3):
            cluster.append(A)
            assert list(await consumer.take()) == [A]


@jumping
async def test_a_lane_whose_answer_does_not_come_does_not_hold_up_another() -> None:
    cluster = Cluster()
    slow, fast = Lane(topics=frozenset({"x"})), Lane()
    async with consuming(cluster, A, X, lanes=(slow, fast)) as consumer:
        await consumer.settles()
        stuck = cluster._conns[0, slow]
        stuck.look = lambda late: None  # type: ignore[method-assign]
        for _ in range(3):
            cluster.append(A)
            assert list(await consumer.take()) == [A]


@jumping
async def test_lanes_have_connections_of_their_own() -> None:
    cluster = Cluster()
    lanes = Lane(topics=frozenset({"x"})), Lane()
    async with consuming(cluster, A, X, lanes=lanes) as consumer:
        await consumer.settles()
        assert set(cluster._conns) == {(0, lanes[0]), (0, lanes[1])}


@jumping
async def test_a_pause_gathers_what_comes_within_it() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, lanes=(Lane(Pause(1000, 0, 1000)),)) as consumer:
        cluster.append(A)
        assert await consumer.take() == {A: [0]}
        for _ in range(3):
            cluster.append(A)
            await asyncio.sleep(0.2)
        assert await consumer.take() == {A: [1, 2, 3]}


@jumping
async def test_a_lane_that_is_held_is_fetched_a_little_later() -> None:
    cluster = Cluster()
    held = [True]
    async with consuming(cluster, A, B, lanes=(Lane(held=lambda: held[0]),)) as consumer:
        cluster.append(A)
        assert await consumer.take(seconds=0.3) == {}
        held.clear()
        held.append(False)
        assert await consumer.take(seconds=0.1) == {A: [0]}


@jumping
async def test_a_hurry_ends_the_pause() -> None:
    cluster = Cluster()
    lane = Lane(Pause(10_000, 0, 10_000))
    async with consuming(cluster, A, lanes=(lane,)) as consumer:
        cluster.append(A)
        assert await consumer.take() == {A: [0]}
        cluster.append(A)
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        lane.hurry()
        assert await consumer.take() == {A: [1]}
        assert asyncio.get_running_loop().time() == began


# --- what it costs, and the end


@jumping
async def test_a_quiet_fetch_names_nothing_and_rests_at_the_broker() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, B, C) as consumer:
        await consumer.take(seconds=1)
        fetched = cluster.fetches
        await consumer.take(seconds=1)
        assert cluster.fetches - fetched == pytest.approx(20, abs=4), "of two brokers, each every 100 ms"


@jumping
async def test_the_end_lets_go_of_who_waits() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        waiting = asyncio.ensure_future(consumer.take(seconds=3600))
        await asyncio.sleep(0.01)
        await consumer.fetcher.close()
        assert await waiting == {}


@jumping
async def test_the_end_comes_though_partitions_are_being_assigned_anew() -> None:
    """aiokafka's routine then takes the cancellation for that of the fetch that it waits for, and goes on."""
    async with consuming(Cluster(), A) as consumer:
        await consumer.settles()
        consumer.assign(A)
        await asyncio.sleep(0)


@pytest.mark.parametrize("how", ["resting", "pausing", "connecting", "held", "failing", "just begun"])
@jumping
async def test_the_end_comes_whatever_is_under_way_and_leaves_nothing_behind(how: str) -> None:
    cluster = Cluster()
    lanes = Lane(Pause(10_000, 0, 10_000), frozenset({"x"})), Lane()
    async with consuming(cluster, A, B, X, lanes=lanes) as consumer:
        if how == "just begun":
            return
        if how == "pausing":
            cluster.append(X)
            await consumer.take()
        elif how == "connecting":
            cluster.out_of_reach = 10**9
        elif how == "held":
            cluster.hold()
        elif how == "failing":
            cluster.errors[A] += [STORAGE] * 1000
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        await consumer.fetcher.close()
        assert asyncio.get_running_loop().time() - began < 0.2


@jumping
async def test_one_record_at_a_time_is_not_given() -> None:
    async with consuming(Cluster(), A) as consumer:
        with pytest.raises(NotImplementedError):
            await consumer.fetcher.next_record([])


# --- what is brought and not fetched


@jumping
async def test_what_is_brought_is_what_would_have_been_fetched() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        assert consumer.fetcher.bring(appended(cluster, A, 2))
        brought = (await consumer.fetcher.fetched_records([], 1.0, 10))[A]
        consumer.fetcher.seek_to(A, 0)
        cluster.go_on()
        fetched = (await consumer.fetcher.fetched_records([], 1.0, 10))[A]
        assert [
            [getattr(one, name) for name in ("topic", "partition", "offset", "timestamp", "key", "value", "headers")] for one in brought
        ] == [[getattr(one, name) for name in ("topic", "partition", "offset", "timestamp", "key", "value", "headers")] for one in fetched]


@jumping
async def test_who_waits_is_given_what_is_brought_at_once_and_not_again_when_it_is_fetched() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        waiting = asyncio.ensure_future(consumer.take())
        await asyncio.sleep(0.1)
        consumer.fetcher.bring(appended(cluster, A, 2))
        assert await waiting == {A: [0, 1]}
        cluster.go_on()
        cluster.append(A)
        assert await consumer.take_up_to(A, 3) == [2]


@jumping
async def test_what_is_brought_one_behind_the_other_is_taken_together() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        assert all(consumer.fetcher.bring(appended(cluster, A, count)) for count in (1, 2, 3))
        assert await consumer.take() == {A: [0, 1, 2, 3, 4, 5]}


@jumping
async def test_no_more_is_given_at_a_time_than_is_asked_for_but_whole_batches() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        for count in (2, 2, 2):
            consumer.fetcher.bring(appended(cluster, A, count))
        assert [await consumer.take(most=3) for _ in range(2)] == [{A: [0, 1, 2, 3]}, {A: [4, 5]}]


@jumping
async def test_of_what_nobody_comes_for_only_so_much_is_kept_and_the_rest_is_fetched() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, C) as consumer:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(fetch_buffer, "MOST_BROUGHT", 4)
            cluster.hold()
            assert [consumer.fetcher.bring(appended(cluster, tp, 2)) for tp in (A, C, A, C)] == [True, True, False, False]
            assert consumer.fetcher.brought == 4
            cluster.go_on()
            assert await consumer.take_up_to(A, 4) == [0, 1, 2, 3]
            assert await consumer.take_up_to(C, 4) == [0, 1, 2, 3]
            assert consumer.fetcher.brought == 0


@jumping
async def test_what_does_not_follow_is_fetched_with_what_comes_before_it() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        cluster.append(A)
        assert not consumer.fetcher.bring(appended(cluster, A))
        cluster.go_on()
        assert await consumer.take_up_to(A, 2) == [0, 1]


@jumping
async def test_a_gap_behind_what_was_brought_is_fetched() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.hold()
        assert consumer.fetcher.bring(appended(cluster, A))
        cluster.append(A)
        assert not consumer.fetcher.bring(appended(cluster, A))
        cluster.go_on()
        assert await consumer.take_up_to(A, 3) == [0, 1, 2]


@jumping
async def test_what_has_been_fetched_already_is_not_brought_again() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        news = appended(cluster, A)
        assert await consumer.take_up_to(A, 1) == [0]
        assert consumer.fetcher.bring(news)
        assert await consumer.take(seconds=0.3) == {}


@jumping
async def test_what_is_brought_to_nobody_is_left_for_the_fetch() -> None:
    cluster = Cluster()
    async with consuming(cluster) as consumer:
        assert not consumer.fetcher.bring(appended(cluster, A))
    async with consuming(cluster, B) as consumer:
        assert not consumer.fetcher.bring(appended(cluster, A))
    async with consuming(cluster, A, at=None) as consumer:
        assert not consumer.fetcher.bring(appended(cluster, A))
        await consumer.settles()
        consumer.state(A).update_committed(OffsetAndMetadata(0, ""))
        assert await consumer.take_up_to(A, 3) == [0, 1, 2]


@jumping
async def test_what_is_brought_while_what_comes_before_it_waits_to_be_taken_is_not_fetched() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.append(A, 2)
        await consumer.settles()
        cluster.hold()
        assert [consumer.fetcher.bring(appended(cluster, A, count)) for count in (1, 2)] == [False, False]
        assert consumer.fetcher.brought == 3
        assert await consumer.take() == {A: [0, 1, 2, 3, 4]}
        assert consumer.fetcher.brought == 0


@jumping
async def test_of_what_is_brought_early_no_more_is_given_at_a_time_than_is_asked_for() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.append(A, 2)
        await consumer.settles()
        cluster.hold()
        consumer.fetcher.bring(appended(cluster, A, 2))
        assert [await consumer.take(most=2) for _ in range(2)] == [{A: [0, 1]}, {A: [2, 3]}]


@jumping
async def test_what_is_brought_while_what_comes_before_it_is_fetched_is_given_once() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.append(A, 2)
        assert not consumer.fetcher.bring(appended(cluster, A, 1))
        assert await consumer.take_up_to(A, 3) == [0, 1, 2]
        cluster.hold()
        consumer.fetcher.bring(appended(cluster, A, 1))
        assert await consumer.take() == {A: [3]}


@jumping
async def test_of_what_is_brought_early_only_what_follows_is_given_and_a_gap_is_fetched() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.append(A, 1)
        await consumer.settles()
        cluster.hold()
        consumer.fetcher.bring(appended(cluster, A))
        cluster.append(A)  # somebody else's
        consumer.fetcher.bring(appended(cluster, A))
        assert await consumer.take() == {A: [0]}
        assert await consumer.take(seconds=0.3) == {}
        cluster.go_on()
        assert await consumer.take_up_to(A, 4) == [1, 2, 3]


@pytest.mark.parametrize("how", ["sought", "assigned anew"])
@jumping
async def test_what_was_brought_early_is_not_given_where_it_does_not_belong(how: str) -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        cluster.append(A, 2)
        await consumer.settles()
        cluster.hold()
        consumer.fetcher.bring(appended(cluster, A, 2))
        if how == "sought":
            consumer.fetcher.seek_to(A, 1)
            cluster.go_on()
            assert await consumer.take_up_to(A, 4) == [1, 2, 3]
        else:
            consumer.assign(A, at=1)
            cluster.go_on()
            assert await consumer.take_up_to(A, 4) == [1, 2, 3]
        assert consumer.fetcher.brought == 0


@jumping
async def test_what_was_brought_before_a_seek_is_not_given_behind_it() -> None:
    cluster = Cluster()
    async with consuming(cluster, A) as consumer:
        consumer.fetcher.bring(appended(cluster, A, 3))
        consumer.fetcher.seek_to(A, 1)
        assert await consumer.take_up_to(A, 3) == [1, 2]


@jumping
async def test_where_nobody_else_appends_hardly_anything_is_fetched() -> None:
    cluster = Cluster()
    lane = Lane(rest_ms=100, alone=lambda: True)
    async with consuming(cluster, A, lanes=(lane,)) as consumer:
        before = cluster.fetches
        for number in range(100):
            consumer.fetcher.bring(appended(cluster, A))
            assert await consumer.take() == {A: [number]}
            await asyncio.sleep(0.005)
        assert cluster.fetches - before < 15


@jumping
async def test_what_gathers_is_given_together_when_the_pause_since_the_last_time_is_over() -> None:
    cluster, lane = Cluster(), Lane(Pause(least_ms=200, most_ms=200), alone=lambda: True, gathers=True)
    async with consuming(cluster, A, B, lanes=(lane,)) as consumer:
        await consumer.settles()
        cluster.hold()
        began = asyncio.get_running_loop().time()
        consumer.fetcher.bring(appended(cluster, A))
        assert await consumer.take() == {A: [0]}, "what comes alone finds no pause"
        assert asyncio.get_running_loop().time() == began
        for tp in (A, B, A):
            consumer.fetcher.bring(appended(cluster, tp))
        assert await consumer.take(seconds=0) == {}
        assert await consumer.take() == {A: [1, 2], B: [0]}
        assert asyncio.get_running_loop().time() == pytest.approx(began + 0.2, abs=0.001)
        assert lane._paused == set()


@pytest.mark.parametrize("how", ["much", "in a hurry", "wanted"])
@jumping
async def test_what_gathers_is_given_at_once_when_it_is_much_or_somebody_waits(how: str) -> None:
    wanted = [False]
    cluster = Cluster()
    lane = Lane(Pause(least_ms=3_600_000, most_ms=3_600_000), alone=lambda: True, gathers=True, wanted=lambda: wanted[0])
    async with consuming(cluster, A, lanes=(lane,)) as consumer:
        await consumer.settles()
        cluster.hold()
        consumer.fetcher.bring(appended(cluster, A))
        await consumer.take()
        consumer.fetcher.bring(appended(cluster, A))
        assert await consumer.take(seconds=0) == {}
        if how == "much":
            consumer.fetcher.bring(appended(cluster, A, FULL_RECORDS - 1))
        elif how == "in a hurry":
            lane.hurry()
        else:
            wanted[0] = True
            consumer.fetcher.bring(appended(cluster, A))
        found = (await consumer.take(most=FULL_RECORDS))[A]
        assert found == list(range(1, {"much": FULL_RECORDS, "in a hurry": 1, "wanted": 2}[how] + 1))


@jumping
async def test_what_gathered_for_a_partition_that_went_is_forgotten() -> None:
    cluster = Cluster()
    async with consuming(cluster, A, lanes=(Lane(Pause(200, 0, 200), alone=lambda: True, gathers=True),)) as consumer:
        cluster.hold()
        for _ in range(2):
            consumer.fetcher.bring(appended(cluster, A))
            await consumer.take(seconds=0)
        consumer.assign(B)
        cluster.go_on()
        await asyncio.sleep(0.3)
        assert await consumer.take(seconds=0) == {}
        assert A not in consumer.fetcher._records


STEPS = st.lists(st.sampled_from(["ours", "ours, told late", "theirs", "take", "wait", "hold", "go on"]), max_size=40)


@settings(deadline=None, max_examples=150)
@given(STEPS, st.booleans(), st.booleans())
def test_whoever_appends_every_record_comes_once_and_in_order(steps: list[str], alone: bool, gathers: bool) -> None:
    async def main() -> None:
        cluster = Cluster()
        found: list[int] = []
        lane = Lane(Pause(least_ms=3, most_ms=3), rest_ms=100, alone=lambda: alone, gathers=gathers)
        async with consuming(cluster, A, lanes=(lane,)) as consumer:
            for step in steps:
                if step == "ours":
                    consumer.fetcher.bring(appended(cluster, A))
                elif step == "ours, told late":
                    asyncio.get_running_loop().call_later(0.001, consumer.fetcher.bring, appended(cluster, A, 2))
                elif step == "theirs":
                    cluster.append(A)
                elif step == "take":
                    found += (await consumer.take(seconds=0)).get(A, [])
                elif step == "wait":
                    await asyncio.sleep(0.002)
                elif step == "hold":
                    cluster.hold()
                else:
                    cluster.go_on()
            cluster.go_on()
            found += await consumer.take_up_to(A, cluster.logs[A].end)
        assert found == list(range(cluster.logs[A].end))

    run(main())
