"""The floor of the pipeline: aiokafka's fetch and send_batch alone, over the same records, with an idempotent producer.

Nothing is parsed and nothing is kept: what this costs, no program on aiokafka can go below. Reads its orders as one JSON line, begins
at the next.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import defaultdict
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder

from app.kafka.partitioner import partition_of

POLL_RECORDS = 4000
BATCH_BYTES = 1 << 20
PARTITIONS = 8


class Floor:
    """Copies records to a topic."""

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer, self._topic = producer, topic
        self._waiting: list[asyncio.Future[Any]] = []

    async def copy(self, records: list[Any]) -> None:
        """Send records in batches, one a partition, and wait until the broker has them."""
        batches: defaultdict[int, BatchBuilder] = defaultdict(self._producer.create_batch)
        for record in records:
            partition = partition_of(record.key, PARTITIONS)
            if batches[partition].append(key=record.key, value=record.value, timestamp=None) is None:
                await self._send(batches.pop(partition), partition)
                batches[partition].append(key=record.key, value=record.value, timestamp=None)
        for partition, batch in batches.items():
            await self._send(batch, partition)
        waiting, self._waiting = self._waiting, []
        await asyncio.gather(*waiting)

    async def _send(self, batch: BatchBuilder, partition: int) -> None:
        batch.close()
        self._waiting.append(await self._producer.send_batch(batch, self._topic, partition=partition))


async def main() -> None:
    """Copy from the offsets that are ordered up to the end."""
    orders = json.loads(sys.stdin.readline())
    start = {TopicPartition(topic, partition): offset for topic, partition, offset in orders["start"]}
    consumer = AIOKafkaConsumer(
        bootstrap_servers=orders["brokers"], enable_auto_commit=False, max_partition_fetch_bytes=1 << 20, max_poll_records=POLL_RECORDS
    )
    producer = AIOKafkaProducer(
        bootstrap_servers=orders["brokers"], enable_idempotence=True, acks="all", max_batch_size=BATCH_BYTES, max_request_size=8 << 20
    )
    await consumer.start()
    await producer.start()
    try:
        consumer.assign(list(start))
        ends = await consumer.end_offsets(list(start))
        for tp, offset in start.items():
            consumer.seek(tp, offset)
        left = min(orders["events"], sum(ends[tp] - offset for tp, offset in start.items()))
        floor = Floor(producer, orders["topic"])
        total = left
        print(json.dumps({"at": "ready"}), flush=True)
        sys.stdin.readline()
        cpu, began = time.process_time(), time.monotonic()
        while left > 0:
            found = await consumer.getmany(timeout_ms=1000, max_records=POLL_RECORDS)
            records = [record for some in found.values() for record in some]
            left -= len(records)
            await floor.copy(records)
        print(json.dumps({"events": total, "cpu": time.process_time() - cpu, "seconds": time.monotonic() - began}), flush=True)
    finally:
        await consumer.stop()
        await producer.stop()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
