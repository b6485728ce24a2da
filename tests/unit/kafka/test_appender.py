"""The appender: whatever is lost or refused on the way, every batch that stands stands once, and in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupLoadInProgressError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    TopicAuthorizationFailedError,
    UnsupportedVersionError,
)
from aiokafka.structs import RecordMetadata, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from app.kafka import appender as module
from app.kafka.appender import Appender
from tests.unit.kafka.clock import jumping, run
from tests.unit.kafka.produce_broker import (
    CUT_ANSWER,
    LATE_ANSWER,
    LOSE_ANSWER,
    LOSE_REQUEST,
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
    NOT_LEADER,
    OUT_OF_ORDER,
    SILENT,
    TIMED_OUT,
    TOO_LARGE,
    UNAUTHORIZED,
    Brokers,
    Fate,
    built,
)

LIMIT_SECONDS = 60
"""By a clock that jumps."""
A, B, C = (TopicPartition("t", number) for number in range(3))
TRIED_AGAIN: list[Fate] = [
    LOSE_REQUEST,
    LOSE_ANSWER,
    LATE_ANSWER,
    CUT_ANSWER,
    SILENT,
    NOT_LEADER,
    TIMED_OUT,
    NOT_ENOUGH_REPLICAS,
    NOT_ENOUGH_REPLICAS_AFTER_APPEND,
]
REFUSED: list[Fate] = [TOO_LARGE, UNAUTHORIZED]


async def within(future: asyncio.Future[RecordMetadata]) -> RecordMetadata:
    async with asyncio.timeout(LIMIT_SECONDS):
        return await future


async def until(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        while not holds():  # noqa: ASYNC110  (the brokers set no event)
            await asyncio.sleep(0.01)


def append(appender: Appender, tp: TopicPartition, *values: bytes) -> asyncio.Future[RecordMetadata]:
    """Put a batch behind what waits, and leave it to a flush."""
    return appender.append(tp.topic, tp.partition, built(*values), len(values))


def send(appender: Appender, tp: TopicPartition, *values: bytes) -> asyncio.Future[RecordMetadata]:
    """Put a batch behind what waits, and send what can be sent."""
    future = append(appender, tp, *values)
    appender.flush()
    return future


async def introduced(brokers: Brokers) -> Appender:
    """An appender that has its id and its connections, and nothing under way."""
    appender = Appender(brokers.client)
    for tp in (A, B):
        await within(send(appender, tp, b"first"))
    brokers.logs.clear()
    brokers.requests.clear()
    brokers.sizes.clear()
    for known in brokers._known.values():
        known.batches.clear()
    return appender


# --- exactly once, in order


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(0, 2), st.integers(1, 3)),
        st.tuples(st.just("flush"), st.just(0), st.just(0)),
        st.tuples(st.just("turn"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("move"), st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("no leader"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("out of reach"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS, st.lists(st.sampled_from([*TRIED_AGAIN, *REFUSED, 0, 0, 0]), max_size=25), st.booleans())
def test_whatever_is_lost_or_refused_every_batch_that_stands_stands_once_and_in_order(
    steps: list[tuple[str, int, int]], fates: list[Fate], tells: bool
) -> None:
    async def scenario() -> None:
        brokers = Brokers(fates)
        brokers.tells = tells
        appender = Appender(brokers.client)
        sent: list[tuple[TopicPartition, list[bytes], asyncio.Future[RecordMetadata]]] = []
        for what, one, other in steps:
            tp = TopicPartition("t", one)
            if what == "append":
                values = [b"%d-%d" % (len(sent), at) for at in range(other)]
                sent.append((tp, values, append(appender, tp, *values)))
            elif what == "flush":
                appender.flush()
            elif what == "turn":
                for _ in range(one):
                    await asyncio.sleep(0)
            elif what == "move":
                brokers.moved[tp] = other
            elif what == "no leader":
                brokers.moved[tp] = None
                asyncio.get_running_loop().call_later(0.3, brokers.moved.pop, tp, None)
            elif what == "out of reach":
                brokers.out_of_reach = one
            elif sent:
                sent[one % len(sent)][2].cancel()
        appender.flush()
        async with asyncio.timeout(LIMIT_SECONDS):
            await asyncio.gather(*(future for _tp, _values, future in sent), return_exceptions=True)
        for tp in (A, B, C):
            # What was cancelled or refused may stand all the same, once, in its place; everything else does.
            optional, expected = set(), []
            for at, values, future in sent:
                if at != tp:
                    continue
                expected += values
                if future.cancelled() or future.exception() is not None:
                    optional |= set(values)
                elif (offset := future.result().offset) >= 0:
                    assert brokers.values(tp)[offset : offset + len(values)] == values
                else:
                    assert not tells
            stands = brokers.values(tp)
            assert [value for value in expected if value not in optional or value in stands] == stands
            for at, values, future in sent:
                if at == tp and not future.cancelled() and (error := future.exception()) is not None:
                    assert isinstance(error, MessageSizeTooLargeError | TopicAuthorizationFailedError), values

    run(scenario())


@pytest.mark.parametrize("fate", TRIED_AGAIN)
@jumping
async def test_what_fails_for_now_is_sent_again_and_stands_once(fate: Fate) -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.fates.append(fate)
    assert (await within(send(appender, A, b"1", b"2"))).offset == 0
    assert (await within(send(appender, A, b"3"))).offset == 2
    assert brokers.values(A) == [b"1", b"2", b"3"]


@jumping
async def test_what_the_broker_had_already_and_does_not_know_the_place_of_stands_nowhere_in_particular() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.tells = False
    brokers.fates.append(LOSE_ANSWER)
    assert (await within(send(appender, A, b"1"))).offset == -1
    assert brokers.values(A) == [b"1"]


@jumping
async def test_a_batch_says_where_it_stands() -> None:
    brokers = Brokers()
    found = await within(send(await introduced(brokers), A, b"1"))
    assert (found.topic, found.partition, found.topic_partition, found.offset, found.timestamp, found.timestamp_type) == (
        "t",
        0,
        A,
        0,
        -1,
        0,
    )


@jumping
async def test_batches_of_a_partition_leave_one_behind_the_other() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    futures = [send(appender, A, b"%d" % n) for n in range(3)]
    await asyncio.sleep(0)
    assert brokers.requests == [[A]]
    brokers.go_on()
    for future in futures:
        await within(future)
    assert brokers.requests == [[A]] * 3
    assert brokers.values(A) == [b"0", b"1", b"2"]


@jumping
async def test_a_partition_does_not_wait_for_another() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.moved[A] = None
    waits = send(appender, A, b"1")
    await within(send(appender, B, b"2"))
    assert not waits.done()
    del brokers.moved[A]
    await within(waits)


@jumping
async def test_numbers_go_round() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    appender._logs[A].sequence = brokers._known[A].next = 2**31 - 2
    await within(send(appender, A, b"1", b"2"))
    assert appender._logs[A].sequence == 0


# --- requests


@jumping
async def test_partitions_of_one_leader_share_a_request() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    futures = [append(appender, tp, b"1") for tp in (A, B, C)]
    appender.flush()
    for future in futures:
        await within(future)
    assert brokers.requests == [[A, C], [B]]


@jumping
async def test_a_request_takes_batches_up_to_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_BYTES", 2500)
    brokers = Brokers()
    appender = await introduced(brokers)
    futures = [append(appender, TopicPartition("t", 2 * number), b"x" * 1000) for number in range(5)]
    appender.flush()
    for future in futures:
        await within(future)
    assert [len(tps) for tps in brokers.requests] == [2, 2, 1]
    assert max(brokers.sizes) <= 2500


@jumping
async def test_a_batch_larger_than_a_request_is_one_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_BYTES", 2500)
    brokers = Brokers()
    appender = await introduced(brokers)
    futures = [append(appender, TopicPartition("t", 2 * number), b"x" * size) for number, size in enumerate((1, 5000, 1))]
    appender.flush()
    for future in futures:
        await within(future)
    assert [len(tps) for tps in brokers.requests] == [1, 1, 1]


@jumping
async def test_what_waits_while_a_request_is_under_way_leaves_together_behind_it() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    futures = [send(appender, tp, b"1") for tp in (A, C)] + [send(appender, tp, b"2") for tp in (A, C)]
    brokers.go_on()
    await asyncio.gather(*map(within, futures))
    assert brokers.values(A) == brokers.values(C) == [b"1", b"2"]


@jumping
async def test_where_nothing_waits_nothing_is_sent() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    appender.flush()
    await asyncio.sleep(0)
    assert brokers.requests == []


# --- refused


@pytest.mark.parametrize(("code", "kind"), [(TOO_LARGE, MessageSizeTooLargeError), (UNAUTHORIZED, TopicAuthorizationFailedError)])
@jumping
async def test_a_refused_batch_fails_alone(code: int, kind: type[KafkaError]) -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.refuses[A] = code
    futures = [append(appender, tp, b"1") for tp in (A, B, C)]
    appender.flush()
    with pytest.raises(kind, match="t-0"):
        await within(futures[0])
    assert [(await within(future)).offset for future in futures[1:]] == [0, 0]


@jumping
async def test_the_number_of_a_refused_batch_is_used_again() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.fates.append(TOO_LARGE)
    refused, behind = send(appender, A, b"1", b"2"), send(appender, A, b"3")
    with pytest.raises(MessageSizeTooLargeError):
        await within(refused)
    await within(behind)
    assert brokers.values(A) == [b"3"]


@pytest.mark.parametrize("first", [LOSE_ANSWER, LATE_ANSWER, CUT_ANSWER, SILENT, TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND])
@jumping
async def test_a_batch_that_is_refused_and_may_stand_from_an_earlier_try_does_not_swallow_the_next(first: Fate) -> None:
    """Its number is the broker's for it: another batch with that number would be taken for a repeat, and thrown away."""
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.fates += [first, UNAUTHORIZED]
    refused, behind = send(appender, A, b"1"), send(appender, A, b"2")
    with pytest.raises(TopicAuthorizationFailedError):
        await within(refused)
    await within(behind)
    await within(send(appender, A, b"3"))
    assert brokers.values(A) == [b"1", b"2", b"3"]


@jumping
async def test_a_number_that_the_broker_did_not_expect_fails_the_batch() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.fates.append(OUT_OF_ORDER)
    with pytest.raises(OutOfOrderSequenceNumber):
        await within(send(appender, A, b"1"))


@jumping
async def test_a_broker_that_is_too_old_refuses_everything_that_waits() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.modern = False
    futures = [append(appender, A, b"1"), append(appender, A, b"2"), append(appender, B, b"3")]
    appender.flush()
    for future in futures:
        with pytest.raises(UnsupportedVersionError):
            await within(future)


# --- cancelled


@jumping
async def test_a_batch_that_is_cancelled_before_it_is_sent_is_not_sent() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    cancelled, behind = append(appender, A, b"1"), append(appender, A, b"2")
    cancelled.cancel()
    appender.flush()
    await within(behind)
    assert brokers.values(A) == [b"2"]


@jumping
async def test_a_batch_that_is_cancelled_while_the_one_before_it_is_under_way_is_not_sent() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    first, cancelled, behind = (send(appender, A, b"%d" % n) for n in range(3))
    cancelled.cancel()
    brokers.go_on()
    await within(first)
    await within(behind)
    assert brokers.values(A) == [b"0", b"2"]


@pytest.mark.parametrize("fate", [0, *TRIED_AGAIN])
@jumping
async def test_a_batch_that_is_cancelled_once_it_was_sent_still_counts(fate: Fate) -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    cancelled, behind = send(appender, A, b"1"), send(appender, A, b"2")
    await asyncio.sleep(0)
    cancelled.cancel()
    brokers.fates.append(fate)
    brokers.go_on()
    await within(behind)
    assert brokers.values(A) == [b"1", b"2"]


# --- out of reach


@jumping
async def test_brokers_that_are_out_of_reach_for_a_while_are_waited_for() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    for connection in brokers._conns.values():
        connection.close()
    brokers.out_of_reach = 5
    await within(send(appender, A, b"1"))
    assert brokers.out_of_reach == 0
    assert brokers.refreshed, "the leader may be another one by now"


@jumping
async def test_a_partition_without_a_leader_is_waited_for_and_its_topic_asked_about() -> None:
    """A client that has been told of some topics asks for no others, and would never hear of the leader."""
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.moved[A] = None
    waits = send(appender, A, b"1")
    await until(lambda: brokers.refreshed > 3)
    assert brokers.topics == {"t"}
    del brokers.moved[A]
    await within(waits)


@jumping
async def test_a_leader_that_moves_is_followed() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    moved = send(appender, A, b"1")
    await asyncio.sleep(0)
    brokers.moved[A] = 1
    brokers.go_on()
    await within(moved)
    assert brokers.values(A) == [b"1"]
    assert brokers.requests == [[A], [A]]


@jumping
async def test_a_connection_is_opened_once_for_all_that_wait() -> None:
    brokers = Brokers()
    appender = Appender(brokers.client)
    futures = [send(appender, tp, b"1") for tp in (A, B, C)] + [send(appender, A, b"2")]
    await asyncio.gather(*map(within, futures))
    assert sorted(node for node, _group in brokers._conns) == [0, 1]


# --- the producer's id


@jumping
async def test_the_first_batch_waits_for_an_id() -> None:
    brokers = Brokers()
    appender = Appender(brokers.client)
    await within(send(appender, A, b"1"))
    assert brokers.introduced == 1


@jumping
async def test_one_id_is_asked_for_whoever_waits() -> None:
    brokers = Brokers()
    appender = Appender(brokers.client)
    await asyncio.gather(*(within(send(appender, tp, b"1")) for tp in (A, B, C)))
    await within(send(appender, A, b"2"))
    assert brokers.introduced == 1


@jumping
async def test_an_id_that_cannot_be_had_for_a_while_is_waited_for() -> None:
    brokers = Brokers()
    brokers.introductions += [GroupLoadInProgressError.errno, KafkaConnectionError(), GroupLoadInProgressError.errno]
    await within(send(Appender(brokers.client), A, b"1"))
    assert brokers.introduced == 4


@jumping
async def test_an_id_that_is_refused_fails_all_that_wait() -> None:
    brokers = Brokers()
    brokers.introductions += [ClusterAuthorizationFailedError.errno] * 9
    appender = Appender(brokers.client)
    futures = [append(appender, A, b"1"), append(appender, A, b"2"), append(appender, B, b"3")]
    appender.flush()
    for future in futures:
        with pytest.raises(ClusterAuthorizationFailedError):
            await within(future)


@jumping
async def test_behind_a_refusal_an_id_is_asked_for_again() -> None:
    brokers = Brokers()
    brokers.introductions.append(ClusterAuthorizationFailedError.errno)
    appender = Appender(brokers.client)
    with pytest.raises(ClusterAuthorizationFailedError):
        await within(send(appender, A, b"1"))
    assert (await within(send(appender, A, b"2"))).offset == 0


# --- stopping


async def stop(brokers: Brokers) -> None:
    """The client stops, and its connections close."""
    brokers.stopped = True
    for connection in brokers._conns.values():
        connection.close()
    await asyncio.sleep(3 * module.MOST_BACKOFF)  # what would be sent again has been


@jumping
async def test_a_batch_under_way_when_the_client_stops_is_left() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    left = send(appender, A, b"1")
    await asyncio.sleep(0)
    await stop(brokers)
    assert not left.done()


@jumping
async def test_a_client_that_stops_while_an_id_is_asked_for_is_left() -> None:
    brokers = Brokers()
    brokers.introductions += [GroupLoadInProgressError.errno] * 100
    appender = Appender(brokers.client)
    left = send(appender, A, b"1")
    await until(lambda: brokers.introduced > 2)
    await stop(brokers)
    assert not left.done()
    assert appender._introducing is None


@jumping
async def test_a_client_that_stops_right_before_the_id_comes_is_left() -> None:
    brokers = Brokers()
    appender = Appender(brokers.client)
    left = send(appender, A, b"1")
    await asyncio.sleep(0)
    await stop(brokers)
    assert not left.done()


@jumping
async def test_a_client_that_stops_while_it_connects_is_left() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    for connection in brokers._conns.values():
        connection.close()
    left = send(appender, A, b"1")
    await stop(brokers)
    assert not left.done()
    assert not appender._connecting


@jumping
async def test_a_client_that_starts_again_takes_what_was_left() -> None:
    brokers = Brokers()
    appender = await introduced(brokers)
    brokers.hold()
    left = send(appender, A, b"1")
    await asyncio.sleep(0)
    await stop(brokers)
    brokers.stopped = False
    brokers.go_on()
    behind = send(appender, A, b"2")
    await within(left)
    await within(behind)
    assert brokers.values(A) == [b"1", b"2"]
