"""Sending: records of a partition leave together and in order, and each one's place is known."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.structs import RecordMetadata

from app.errors import SendFailed
from app.kafka.partitioner import partition_of
from app.kafka.sender import LARGE_BYTES, Outgoing, Sender

Held = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]


class Brokers:
    """What of aiokafka's producer is used, over logs in memory."""

    def __init__(self, batch_bytes: int = 4096) -> None:
        self.logs: defaultdict[tuple[str, int], list[Held]] = defaultdict(list)
        self.batch_bytes = batch_bytes
        self.requests = 0
        self.refuses: set[int] = set()
        self.tells = True

    async def partitions_for(self, _topic: str) -> set[int]:
        return {0, 1, 2}

    def create_batch(self) -> BatchBuilder:
        return BatchBuilder(self.batch_bytes, 0)

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[RecordMetadata]:
        assert batch.closed()
        records = list(DefaultRecordBatch(bytes(batch._build())))
        return self._take(topic, partition, [(r.key, r.value, r.headers) for r in records])

    async def send(self, topic: str, value: bytes, *, key: bytes, partition: int, headers: Any, **_more: Any) -> Any:
        if len(value) > 1_000_000:
            raise MessageSizeTooLargeError
        return self._take(topic, partition, [(key, value, list(headers))])

    def _take(self, topic: str, partition: int, records: list[Held]) -> asyncio.Future[RecordMetadata]:
        self.requests += 1
        future = asyncio.get_running_loop().create_future()
        if partition in self.refuses:
            future.set_exception(KafkaError("refused"))
            return future
        log = self.logs[topic, partition]
        first = len(log) if self.tells else -1
        log += records
        future.set_result(RecordMetadata(topic, partition, TopicPartition(topic, partition), first, -1, 0, 0))
        return future


def sender_to(brokers: Brokers) -> Sender:
    return Sender(lambda: cast(Any, brokers))


async def test_records_of_a_partition_leave_together_and_in_order() -> None:
    brokers = Brokers()
    records = [Outgoing("t", b"k", b"%d" % n, [("h", b"1")], partition=n % 2) for n in range(10)]
    sent = await sender_to(brokers).send(records)
    assert brokers.requests == 2
    assert [value for _key, value, _headers in brokers.logs["t", 0]] == [b"0", b"2", b"4", b"6", b"8"]
    assert [(one.partition, one.offset) for one in sent] == [(n % 2, n // 2) for n in range(10)]
    assert brokers.logs["t", 1][0] == (b"k", b"1", [("h", b"1")])


async def test_what_is_too_much_for_one_batch_goes_in_more_and_keeps_its_order() -> None:
    brokers = Brokers(batch_bytes=500)
    sent = await sender_to(brokers).send([Outgoing("t", b"k", b"%03d" % n * 20, partition=1) for n in range(50)])
    assert brokers.requests > 5
    assert [value for _key, value, _headers in brokers.logs["t", 1]] == [b"%03d" % n * 20 for n in range(50)]
    assert [one.offset for one in sent] == list(range(50))


async def test_a_large_record_goes_by_itself_between_those_before_and_behind_it() -> None:
    brokers = Brokers()
    values = [b"before", b"x" * LARGE_BYTES, b"behind"]
    sent = await sender_to(brokers).send([Outgoing("t", b"k", value, partition=1) for value in values])
    assert [value for _key, value, _headers in brokers.logs["t", 1]] == values
    assert [one.offset for one in sent] == [0, 1, 2]


async def test_a_record_larger_than_a_batch_is_one() -> None:
    brokers = Brokers(batch_bytes=100)
    await sender_to(brokers).send([Outgoing("t", b"k", value, partition=1) for value in (b"a", b"x" * 1000, b"b")])
    assert [len(value or b"") for _key, value, _headers in brokers.logs["t", 1]] == [1, 1000, 1]


async def test_a_record_without_a_partition_goes_where_its_key_says() -> None:
    brokers = Brokers()
    [sent] = await sender_to(brokers).send([Outgoing("t", b"team:7", b"v")])
    assert sent.partition == partition_of(b"team:7", 3)
    [anywhere] = await sender_to(brokers).send([Outgoing("t", None, b"v")])
    assert anywhere.partition in {0, 1, 2}


async def test_a_tombstone_has_no_value() -> None:
    brokers = Brokers()
    await sender_to(brokers).send([Outgoing("t", b"k", None, partition=0)])
    assert brokers.logs["t", 0] == [(b"k", None, [])]


async def test_brokers_that_had_a_batch_already_do_not_tell_its_place() -> None:
    brokers = Brokers()
    assert (await sender_to(brokers).send([Outgoing("t", b"k", b"1", partition=0)])).placed
    brokers.tells = False
    sent = await sender_to(brokers).send([Outgoing("t", b"k", b"%d" % n, partition=0) for n in range(3)])
    assert not sent.placed
    assert [one.offset for one in sent] == [-1, -1, -1]


async def test_nothing_is_sent_for_nothing() -> None:
    brokers = Brokers()
    assert len(await sender_to(brokers).send([])) == 0
    assert brokers.requests == 0


async def test_one_partition_that_refuses_fails_the_whole() -> None:
    brokers = Brokers()
    brokers.refuses = {1}
    with pytest.raises(SendFailed, match="2 records for t"):
        await sender_to(brokers).send([Outgoing("t", b"k", b"v", partition=n) for n in range(2)])


async def test_a_record_that_no_request_holds_says_so() -> None:
    with pytest.raises(SendFailed) as failed:
        await sender_to(Brokers()).send([Outgoing("t", b"k", b"v"), Outgoing("t", b"k", b"x" * 2_000_000)])
    assert isinstance(failed.value.__cause__, MessageSizeTooLargeError)
