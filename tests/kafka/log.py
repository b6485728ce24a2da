"""Reading topics from their beginning, and writing into the unified stream by hand."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from tests.kafka.ids import partition_of
from tests.kafka.services import Headers, Sent
from tests.kafka.waiting import LIMIT_SECONDS

Match = Callable[[ConsumerRecord], object]


def of(sent: Sent) -> Match:
    """The records that name this source record in their headers."""

    def match(record: ConsumerRecord) -> bool:
        # The last ones: a dead letter's are appended behind whatever the record had.
        found = dict(record.headers)
        return (found.get("source-topic"), found.get("source-partition"), found.get("source-offset")) == (
            sent.topic.encode(),
            b"%d" % sent.partition,
            b"%d" % sent.offset,
        )

    return match


async def records(bootstrap: str, topic: str, match: Match, count: int = 1, limit: float = LIMIT_SECONDS) -> list[ConsumerRecord]:
    """Matching records of a topic, of each partition in order, as soon as there are `count` of them.

    With `count` 0: all that there are up to the present end.
    """
    found: list[ConsumerRecord] = []
    deadline = time.monotonic() + limit
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=8 << 20, fetch_max_wait_ms=50) as consumer:
        tps = [
            TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic) or await _partitions(consumer, topic))
        ]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        end = await consumer.end_offsets(tps)
        while True:
            for batch in (await consumer.getmany(timeout_ms=100)).values():
                found += [record for record in batch if match(record)]
            if count and len(found) >= count:
                return found
            if not count and all([await consumer.position(tp) >= end[tp] for tp in tps]):
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} records in {topic} within {limit:.0f} s")


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.add_topic(topic)
    found: set[int] = consumer.partitions_for_topic(topic)
    return found


async def unified(bootstrap: str, sent: Sent, limit: float = LIMIT_SECONDS) -> ConsumerRecord:
    """The unified record that came of a source record; the internal one beside it is left out."""

    def match(record: ConsumerRecord) -> bool:
        return bool(of(sent)(record)) and b'"type":"_' not in (record.value or b"")

    [found] = await records(bootstrap, "team.events", match, limit=limit)
    return found


async def unread(bootstrap: str, group: str) -> int:
    """Records of the unified stream that a group has not committed yet."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False) as consumer:
        tps = [TopicPartition("team.events", number) for number in await _partitions(consumer, "team.events")]
        ends = await consumer.end_offsets(tps)
        return sum([ends[tp] - (await consumer.committed(tp) or 0) for tp in tps])


def unified_value(event_id: str, kind: str, team: int | None, actor: int | None, timestamp: str, data: dict[str, Any]) -> bytes:
    """The value of a unified record."""
    body = {"eventId": event_id, "type": kind, "teamId": team, "actorId": actor, "timestamp": timestamp, "data": data}
    return json.dumps(body, separators=(",", ":")).encode()


def source_headers(topic: str, partition: int, offset: int, timestamp: int) -> Headers:
    """The headers of a unified record."""
    numbers = {"partition": partition, "offset": offset, "timestamp": timestamp}
    return [("source-topic", topic.encode()), *((f"source-{name}", b"%d" % number) for name, number in numbers.items()), ("v", b"1")]


async def write_unified(bootstrap: str, key: str, *written: tuple[bytes | None, Headers]) -> tuple[int, int]:
    """Write records into the unified stream, where their key belongs, in one batch; return partition and offset of the last."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all", linger_ms=20) as producer:
        waiting = [
            await producer.send("team.events", value, key=key.encode(), partition=partition_of(key), headers=headers)
            for value, headers in written
        ]
        found = [await one for one in waiting]
    return found[-1].partition, found[-1].offset
