"""Sending a batch of records and knowing that the broker has them all."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import randrange
from time import time
from typing import overload

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition
from faust.exceptions import NotReady

from app.errors import SendFailed
from app.kafka.appended import BROKER_TIME, Appended
from app.kafka.appender import Appender
from app.kafka.outgoing import Outgoing
from app.kafka.partitioner import partition_of
from app.kafka.topics import CHANGELOG_MAX

SEND_SECONDS = 1200.0
"""Bound on one batch: the longest outage of the brokers that a worker waits for with its clients connected."""
MAX_BATCH_BYTES = 512 * 1024
"""Of one batch, if it is not a single larger record; a flood then takes few round trips. Every topic takes so much at a time."""
MAX_RECORD_BYTES = CHANGELOG_MAX
"""Of what is sent at all: as much as the topic takes that takes most."""
_MAGIC = 2


@dataclass(slots=True, eq=False)
class _Part:
    """Records of one partition that leave together."""

    topic: str
    partition: int
    number: int
    """Which of the parts of a send it is."""
    builder: DefaultRecordBatchBuilder
    records: list[Outgoing] = field(default_factory=list)


class Sent(Sequence[RecordMetadata]):
    """Where each record of a send went, in the order given; worked out for those that are looked at."""

    def __init__(self, answers: Sequence[RecordMetadata] = (), parts: Sequence[int] = (), counts: Sequence[int] = ()) -> None:
        """Know where records are.

        Args:
            answers: Where the first record of each part went.
            parts: Number of each record's part.
            counts: How many records each part has.
        """
        self._answers = answers
        self._parts = parts
        self._counts = counts

    def __len__(self) -> int:
        return len(self._parts)

    @overload
    def __getitem__(self, index: int) -> RecordMetadata: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordMetadata]: ...
    def __getitem__(self, index: int | slice) -> RecordMetadata | Sequence[RecordMetadata]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        part = self._parts[index]
        first = self._answers[part]
        if first.offset < 0:
            return first
        before = self._parts[: index % len(self._parts)].count(part)
        return first._replace(offset=first.offset + before)

    @property
    def ends(self) -> dict[TopicPartition, int]:
        """Offset of the last record in each partition, as far as the brokers told."""
        found: dict[TopicPartition, int] = {}
        for first, count in zip(self._answers, self._counts, strict=True):
            if first.offset >= 0:
                found[first.topic_partition] = first.offset + count - 1
        return found

    @property
    def placed(self) -> bool:
        """Whether the brokers told where the records are; they do not of a batch that they had from a try whose answer was lost."""
        return all(answer.offset >= 0 for answer in self._answers)


class Sender:
    """Sends records as one idempotent producer, over a client that exists once the worker has started."""

    def __init__(self, client: Callable[[], AIOKafkaClient]) -> None:
        """Know where to; ``client`` raises NotReady while there is none."""
        self._client = client
        self._appender = Appender(client)
        self._readers: defaultdict[str, list[Callable[[Appended], object]]] = defaultdict(list)

    def tell(self, topic: str, reader: Callable[[Appended], object]) -> None:
        """Give one more reader what was sent to a topic as soon as it stands there, in the order of each partition.

        Not all of it: what the broker could not tell the place of, or a sender no longer waits for, is left out.
        """
        self._readers[topic].append(reader)

    async def send(self, records: Sequence[Outgoing], seconds: float = SEND_SECONDS) -> Sent:
        """Send records, those of a partition in order, and wait, ``seconds`` at most, until every in-sync replica has them.

        Raises:
            SendFailed: A record was refused, or not acknowledged in time. Any of them may be in the log all the same.
        """
        if not records:
            return Sent()
        futures: list[asyncio.Future[RecordMetadata]] = []
        try:
            async with asyncio.timeout(seconds):
                counts = {topic: await self._count(topic) for topic in {r.topic for r in records}}
                parts, numbers = _divide(records, counts)
                for part in parts:
                    future = self._appender.append(part.topic, part.partition, part.builder, len(part.records))
                    future.add_done_callback(partial(self._see, part))
                    futures.append(future)
                self._appender.flush()
                return Sent([await future for future in futures], numbers, [len(part.records) for part in parts])
        except (KafkaError, NotReady, TimeoutError) as error:
            raise SendFailed(f"{len(records)} records for {records[0].topic}: {error!r}") from error
        finally:
            for future in futures:
                future.cancel()  # what has not been sent is not sent any more

    def _see(self, part: _Part, done: asyncio.Future[RecordMetadata]) -> None:
        """Look at what came of a part, which nobody waits for any more once another one has failed."""
        if done.cancelled() or done.exception() is not None:
            return
        readers, where = self._readers.get(part.topic), done.result()
        if readers and where.offset >= 0 and where.timestamp_type == BROKER_TIME:
            appended = Appended.of(where.topic_partition, where.offset, where.timestamp, part.records)
            for reader in readers:
                reader(appended)

    async def _count(self, topic: str) -> int:
        """How many partitions a topic has."""
        client = self._client()
        return len(client.cluster.partitions_for_topic(topic) or await client._wait_on_metadata(topic))


def _divide(records: Sequence[Outgoing], counts: Mapping[str, int]) -> tuple[list[_Part], list[int]]:
    """Parts, in an order that keeps that of each partition; and for each record the number of its part.

    Raises:
        MessageSizeTooLargeError: A record is larger than any request.
    """
    now_ms = int(time() * 1000)
    parts: list[_Part] = []
    numbers: list[int] = []
    filling: dict[tuple[str, int], _Part] = {}
    for r in records:
        topic, key, value, headers, partition, at, _made = r
        if partition is None:
            partition = _partition(key, counts[topic])
        if at is None:
            at = now_ms
        if type(headers) is not list:
            headers = list(headers)  # the builder takes no other sequence
        part = filling.get((topic, partition))
        # There is room in every batch for its first record.
        if part is None or part.builder.append(len(part.records), at, key, value, headers) is None:
            if value is not None and len(value) > MAX_RECORD_BYTES:
                raise MessageSizeTooLargeError(f"a record of {len(value)} bytes is larger than any request")
            part = filling[topic, partition] = _Part(topic, partition, len(parts), _builder())
            part.builder.append(0, at, key, value, headers)
            parts.append(part)
        part.records.append(r)
        numbers.append(part.number)
    return parts, numbers


def _builder() -> DefaultRecordBatchBuilder:
    """Of a batch that is not compressed, and gets its producer and its number when it is sent."""
    return DefaultRecordBatchBuilder(
        _MAGIC,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=MAX_BATCH_BYTES,
    )


def _partition(key: bytes | None, count: int) -> int:
    return randrange(count) if key is None else partition_of(key, count)  # noqa: S311  (as Kafka's)  # nosec B311
