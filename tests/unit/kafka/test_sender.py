"""Sending: records of a partition leave together and in order, and each one's place is known."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from aiokafka.structs import TopicPartition
from faust.exceptions import NotReady

from app.errors import SendFailed
from app.kafka import appender as appenders
from app.kafka import sender as module
from app.kafka.appended import Appended
from app.kafka.outgoing import Outgoing
from app.kafka.partitioner import partition_of
from app.kafka.sender import MAX_BATCH_BYTES, MAX_RECORD_BYTES, Sender
from tests.unit.kafka.clock import jumping
from tests.unit.kafka.produce_broker import LOSE_ANSWER, UNAUTHORIZED, Brokers

A, B, C = (TopicPartition("t", number) for number in range(3))


def sender_to(brokers: Brokers) -> Sender:
    return Sender(brokers.client)


# --- what leaves


@jumping
async def test_records_of_a_partition_leave_together_and_in_order() -> None:
    brokers = Brokers()
    sent = await sender_to(brokers).send([Outgoing("t", b"k", b"%d" % n, [("h", b"1")], partition=n % 2) for n in range(10)])
    assert brokers.requests == [[A], [B]]
    assert brokers.values(A) == [b"0", b"2", b"4", b"6", b"8"]
    assert [(one.partition, one.offset) for one in sent] == [(n % 2, n // 2) for n in range(10)]


@jumping
async def test_a_record_leaves_with_all_that_it_has() -> None:
    brokers = Brokers()
    await sender_to(brokers).send([Outgoing("t", b"k", b"v", (("h", b"1"), ("i", b"2")), partition=0)])
    assert brokers.logs[A] == [(b"k", b"v", [("h", b"1"), ("i", b"2")])]


@jumping
async def test_a_record_has_the_time_that_it_is_given_or_that_it_is() -> None:
    brokers = Brokers()
    before = int(time.time() * 1000)
    await sender_to(brokers).send([Outgoing("t", b"k", b"v", partition=0, timestamp=at) for at in (1500, None)])
    given, now = brokers.times[A]
    assert given == 1500
    assert before <= now <= time.time() * 1000


@jumping
async def test_what_is_too_much_for_one_batch_goes_in_more_and_keeps_its_order() -> None:
    brokers = Brokers()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MAX_BATCH_BYTES", 500)
        sent = await sender_to(brokers).send([Outgoing("t", b"k", b"%03d" % n * 20, partition=1) for n in range(50)])
    assert len(brokers.requests) > 5
    assert brokers.values(B) == [b"%03d" % n * 20 for n in range(50)]
    assert [one.offset for one in sent] == list(range(50))


@jumping
async def test_a_batch_is_no_larger_than_every_topic_takes() -> None:
    brokers = Brokers()
    await sender_to(brokers).send([Outgoing("t", b"k", b"x" * 100_000, partition=1) for _ in range(12)])
    assert max(brokers.sizes) <= MAX_BATCH_BYTES
    assert len(brokers.values(B)) == 12


@jumping
async def test_a_record_larger_than_a_batch_is_one_between_those_before_and_behind_it() -> None:
    brokers = Brokers()
    values = [b"before", b"x" * (MAX_BATCH_BYTES + 1), b"behind"]
    sent = await sender_to(brokers).send([Outgoing("t", b"k", value, partition=1) for value in values])
    assert brokers.values(B) == values
    assert [one.offset for one in sent] == [0, 1, 2]
    assert len(brokers.requests) == 3


@jumping
async def test_a_record_without_a_partition_goes_where_its_key_says() -> None:
    sender = sender_to(Brokers())
    [sent] = await sender.send([Outgoing("t", b"team:7", b"v")])
    assert sent.partition == partition_of(b"team:7", 3)
    [anywhere] = await sender.send([Outgoing("t", None, b"v")])
    assert anywhere.partition in {0, 1, 2}


@jumping
async def test_a_tombstone_has_no_value() -> None:
    brokers = Brokers()
    await sender_to(brokers).send([Outgoing("t", b"k", None, partition=0)])
    assert brokers.logs[A] == [(b"k", None, [])]


@jumping
async def test_nothing_is_sent_for_nothing() -> None:
    brokers = Brokers()
    sent = await sender_to(brokers).send([])
    assert (len(sent), sent.placed, sent.ends) == (0, True, {})
    assert brokers.requests == []


@jumping
async def test_records_of_several_topics_leave_together() -> None:
    brokers = Brokers()
    sent = await sender_to(brokers).send([Outgoing(topic, b"k", b"v", partition=0) for topic in ("t", "u")])
    assert [one.topic for one in sent] == ["t", "u"]
    assert len(brokers.requests) == 1


@jumping
async def test_who_sends_later_is_behind_who_sent_earlier() -> None:
    brokers = Brokers()
    sender = sender_to(brokers)
    await asyncio.gather(*(sender.send([Outgoing("t", b"k", b"%d" % n, partition=0)]) for n in range(5)))
    assert brokers.values(A) == [b"%d" % n for n in range(5)]


# --- where it is


@jumping
async def test_the_ends_are_where_the_last_record_of_each_partition_is() -> None:
    brokers = Brokers()
    sender = sender_to(brokers)
    await sender.send([Outgoing("t", b"k", b"first", partition=0)])
    sent = await sender.send([Outgoing("t", b"k", b"v", partition=number) for number in (0, 0, 1, 0)])
    assert sent.ends == {A: 3, B: 0}


@jumping
async def test_the_end_of_a_partition_of_several_batches_is_that_of_the_last() -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "MAX_BATCH_BYTES", 500)
        sent = await sender_to(Brokers()).send([Outgoing("t", b"k", b"x" * 100, partition=0) for _ in range(20)])
    assert sent.ends == {A: 19}


@jumping
async def test_places_may_be_looked_at_from_behind_and_in_part() -> None:
    sent = await sender_to(Brokers()).send([Outgoing("t", b"k", b"v", partition=0) for _ in range(5)])
    assert sent[-1].offset == 4
    assert [one.offset for one in sent[1:3]] == [1, 2]


@jumping
async def test_brokers_that_had_a_batch_already_do_not_tell_its_place() -> None:
    brokers = Brokers()
    sender = sender_to(brokers)
    assert (await sender.send([Outgoing("t", b"k", b"1", partition=0)])).placed
    brokers.tells = False
    brokers.fates.append(LOSE_ANSWER)
    sent = await sender.send([Outgoing("t", b"k", b"%d" % n, partition=0) for n in range(3)])
    assert not sent.placed
    assert sent.ends == {}
    assert [one.offset for one in sent] == [-1, -1, -1]


# --- what fails


@jumping
async def test_one_partition_that_refuses_fails_the_whole() -> None:
    brokers = Brokers()
    brokers.refuses[B] = UNAUTHORIZED
    with pytest.raises(SendFailed, match="2 records for t") as failed:
        await sender_to(brokers).send([Outgoing("t", b"k", b"v", partition=n) for n in range(2)])
    assert isinstance(failed.value.__cause__, TopicAuthorizationFailedError)


@jumping
async def test_a_record_that_no_request_holds_says_so_and_nothing_is_sent() -> None:
    brokers = Brokers()
    with pytest.raises(SendFailed) as failed:
        await sender_to(brokers).send([Outgoing("t", b"k", b"v"), Outgoing("t", b"k", b"x" * (MAX_RECORD_BYTES + 1))])
    assert isinstance(failed.value.__cause__, MessageSizeTooLargeError)
    assert brokers.requests == []


@jumping
async def test_a_worker_that_has_not_started_or_has_stopped_sends_nothing() -> None:
    brokers = Brokers()
    brokers.stopped = True
    with pytest.raises(SendFailed) as failed:
        await sender_to(brokers).send([Outgoing("t", b"k", b"v")])
    assert isinstance(failed.value.__cause__, NotReady)


@jumping
async def test_brokers_that_do_not_answer_in_time_are_a_failure() -> None:
    brokers = Brokers()
    brokers.hold()
    began = asyncio.get_running_loop().time()
    with pytest.raises(SendFailed) as failed:
        await sender_to(brokers).send([Outgoing("t", b"k", b"v")], seconds=7)
    assert isinstance(failed.value.__cause__, TimeoutError)
    assert asyncio.get_running_loop().time() - began == pytest.approx(7, abs=0.1)


@jumping
async def test_what_was_not_sent_in_time_is_not_sent_any_more() -> None:
    brokers = Brokers()
    sender = sender_to(brokers)
    brokers.moved[A] = None
    with pytest.raises(SendFailed):
        await sender.send([Outgoing("t", b"k", b"late", partition=0)], seconds=5)
    del brokers.moved[A]
    await sender.send([Outgoing("t", b"k", b"in time", partition=0)])
    assert brokers.values(A) == [b"in time"]


@jumping
async def test_what_was_sent_and_not_answered_in_time_stands_before_what_is_sent_later() -> None:
    brokers = Brokers()
    sender = sender_to(brokers)
    await sender.send([Outgoing("t", b"k", b"first", partition=0)])
    brokers.hold()
    with pytest.raises(SendFailed):
        await sender.send([Outgoing("t", b"k", b"late", partition=0)], seconds=5)
    brokers.go_on()
    await sender.send([Outgoing("t", b"k", b"in time", partition=0)])
    assert brokers.values(A) == [b"first", b"late", b"in time"]


@jumping
async def test_who_is_cancelled_leaves_nothing_to_be_sent() -> None:
    brokers = Brokers()
    sender = sender_to(brokers)
    brokers.moved[A] = None
    sending = asyncio.ensure_future(sender.send([Outgoing("t", b"k", b"1", partition=0)]))
    await asyncio.sleep(appenders.MOST_BACKOFF)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    del brokers.moved[A]
    await sender.send([Outgoing("t", b"k", b"2", partition=0)])
    assert brokers.values(A) == [b"2"]


# --- who is told of it


@jumping
async def test_a_reader_is_told_what_stands_where_in_the_order_of_each_partition() -> None:
    brokers = Brokers()
    brokers.broker_time = 1700
    sender, told = sender_to(brokers), list[Appended]()
    sender.tell("t", told.append)
    for first in (0, 4):
        await sender.send([Outgoing("t", b"k", b"%d" % n, [("h", b"1")], partition=n % 2) for n in range(first, first + 4)])
    await asyncio.sleep(0)
    assert [(one.tp, one.offset, one.end, one.records[0].timestamp) for one in told] == [
        (A, 0, 2, 1700),
        (B, 0, 2, 1700),
        (A, 2, 4, 1700),
        (B, 2, 4, 1700),
    ]
    assert [record.value for one in told if one.tp == A for record in one.records] == brokers.values(A)


@jumping
async def test_a_reader_is_told_once_of_what_was_sent_again() -> None:
    brokers = Brokers([LOSE_ANSWER])
    brokers.broker_time = 1700
    sender, told = sender_to(brokers), list[Appended]()
    sender.tell("t", told.append)
    await sender.send([Outgoing("t", b"k", b"v", partition=0)])
    await asyncio.sleep(0)
    assert [(one.tp, one.offset, one.end) for one in told] == [(A, 0, 1)]
    assert brokers.values(A) == [b"v"]


@jumping
async def test_a_reader_is_not_told_of_what_nobody_knows_the_place_of() -> None:
    brokers = Brokers([LOSE_ANSWER])
    brokers.broker_time, brokers.tells = 1700, False
    sender, told = sender_to(brokers), list[Appended]()
    sender.tell("t", told.append)
    await sender.send([Outgoing("t", b"k", b"v", partition=0)])
    await asyncio.sleep(0)
    assert not told


@jumping
@pytest.mark.parametrize(("topic", "broker_time"), [("u", 1700), ("t", -1)])
async def test_a_reader_is_not_told_of_other_topics_nor_where_the_broker_gives_no_time(topic: str, broker_time: int) -> None:
    brokers = Brokers()
    brokers.broker_time = broker_time
    sender, told = sender_to(brokers), list[Appended]()
    sender.tell(topic, told.append)
    await sender.send([Outgoing("t", b"k", b"v", partition=0)])
    await asyncio.sleep(0)
    assert not told


@jumping
async def test_a_reader_is_not_told_of_what_was_refused() -> None:
    brokers = Brokers([UNAUTHORIZED])
    brokers.broker_time = 1700
    sender, told = sender_to(brokers), list[Appended]()
    sender.tell("t", told.append)
    with pytest.raises(SendFailed):
        await sender.send([Outgoing("t", b"k", b"v", partition=0)])
    await asyncio.sleep(0)
    assert not told
