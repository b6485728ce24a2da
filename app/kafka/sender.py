"""Sending a batch of records and knowing that the broker has them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import randrange
from typing import TYPE_CHECKING, NamedTuple, cast, overload

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from faust.exceptions import NotReady

from app.errors import SendFailed
from app.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from aiokafka.producer.message_accumulator import BatchBuilder

SEND_SECONDS = 1200.0
"""Bound on one batch: the longest outage of the brokers that a worker waits for with its clients connected."""
LARGE_BYTES = 128 * 1024
"""A record from this size on goes by itself: aiokafka then measures it against the largest request."""

Headers = Sequence[tuple[str, bytes]]


class Outgoing(NamedTuple):
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """``None``: Kafka's default partitioner decides by the key."""
    timestamp: int | None = None
    """Milliseconds since the epoch; where the topic keeps the broker's time it is not used. ``None``: now."""


@dataclass(slots=True, eq=False)
class _Part:
    """Records of one partition that leave together: a batch, or one that is large."""

    topic: str
    partition: int
    batch: BatchBuilder | None = None
    large: Outgoing | None = None

    async def queue(self, producer: AIOKafkaProducer) -> asyncio.Future[RecordMetadata]:
        """Put it behind what waits for its partition; the result tells where its first record went."""
        future: asyncio.Future[RecordMetadata]
        if self.batch is not None:
            self.batch.close()  # or what is sent by itself later would still be put into it
            future = await producer.send_batch(self.batch, self.topic, partition=self.partition)
            return future
        r = cast(Outgoing, self.large)
        future = await producer.send(
            r.topic, r.value, key=r.key, partition=self.partition, timestamp_ms=r.timestamp, headers=list(r.headers)
        )
        return future


class Sent(Sequence[RecordMetadata]):
    """Where each record of a send went, in the order given; worked out for those that are looked at."""

    def __init__(self, answers: Sequence[RecordMetadata] = (), places: Sequence[tuple[int, int]] = ()) -> None:
        """Know where records are.

        Args:
            answers: Where the first record of each part went.
            places: Each record's part, and how many of the part's stand before it.
        """
        self._answers = answers
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> RecordMetadata: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RecordMetadata]: ...
    def __getitem__(self, index: int | slice) -> RecordMetadata | Sequence[RecordMetadata]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        part, before = self._places[index]
        first = self._answers[part]
        return first._replace(offset=first.offset + before) if first.offset >= 0 else first

    @property
    def placed(self) -> bool:
        """Whether the brokers told where the records are; they do not of a batch that they had from a try whose answer was lost."""
        return all(answer.offset >= 0 for answer in self._answers)


class Sender:
    """Sends records over the worker's one idempotent producer, which exists once the worker has started."""

    def __init__(self, producer: Callable[[], AIOKafkaProducer]) -> None:
        self._producer = producer

    async def send(self, records: Sequence[Outgoing], seconds: float = SEND_SECONDS) -> Sent:
        """Send records, those of a partition in order, and wait, ``seconds`` at most, until every in-sync replica has them.

        Batches are filled here: aiokafka's own ``send`` makes a future for each record, which is most of its 10 us.

        Raises:
            SendFailed: A record was refused, or not acknowledged in time. Any of them may be in the log all the same.
        """
        if not records:
            return Sent()
        try:
            async with asyncio.timeout(seconds):
                producer = self._producer()
                counts = {topic: len(await producer.partitions_for(topic)) for topic in {r.topic for r in records}}
                parts, places = _divide(producer, records, counts)
                futures = []
                for part in parts:
                    futures.append(await part.queue(producer))
                    futures[-1].add_done_callback(_see)
                return Sent(await asyncio.gather(*futures), places)
        except (KafkaError, NotReady, TimeoutError) as error:
            raise SendFailed(f"{len(records)} records for {records[0].topic}: {error!r}") from error


def _see(done: asyncio.Future[RecordMetadata]) -> None:
    """Look at what came of a part that nobody waits for any more, since another one failed."""
    if not done.cancelled():
        done.exception()


def _divide(
    producer: AIOKafkaProducer, records: Sequence[Outgoing], counts: Mapping[str, int]
) -> tuple[list[_Part], list[tuple[int, int]]]:
    """Parts, in an order that keeps that of each partition; and for each record its part, and how many stand before it there."""
    parts: list[_Part] = []
    places: list[tuple[int, int]] = []
    filling: dict[tuple[str, int], tuple[int, BatchBuilder]] = {}
    for r in records:
        partition = _partition(r, counts[r.topic])
        tp = (r.topic, partition)
        if len(r.value or b"") >= LARGE_BYTES:
            filling.pop(tp, None)
            places.append((len(parts), 0))
            parts.append(_Part(r.topic, partition, large=r))
            continue
        headers = list(r.headers)
        place = filling.get(tp)
        if place is None or place[1].append(timestamp=r.timestamp, key=r.key, value=r.value, headers=headers) is None:
            place = filling[tp] = (len(parts), producer.create_batch())
            parts.append(_Part(r.topic, partition, batch=place[1]))
            place[1].append(timestamp=r.timestamp, key=r.key, value=r.value, headers=headers)
        places.append((place[0], place[1].record_count() - 1))
    return parts, places


def _partition(r: Outgoing, count: int) -> int:
    if r.partition is not None:
        return r.partition
    return randrange(count) if r.key is None else partition_of(r.key, count)  # noqa: S311  (as Kafka's)  # nosec B311
