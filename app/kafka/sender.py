"""Sending a batch of records and knowing that the broker has them all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from faust.exceptions import NotReady

from app.errors import SendFailed

SEND_SECONDS = 1200.0
"""Bound on one batch: the longest outage of the brokers that a worker waits for with its clients connected."""

Headers = Sequence[tuple[str, bytes]]


@dataclass(slots=True, frozen=True)
class Outgoing:
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None
    """``None``: Kafka's default partitioner decides by the key."""
    timestamp: int | None = None
    """Milliseconds since the epoch; where the topic keeps the broker's time it is not used. ``None``: now."""


class Sender:
    """Sends records over the worker's one idempotent producer, which exists once the worker has started."""

    def __init__(self, producer: Callable[[], AIOKafkaProducer]) -> None:
        self._producer = producer

    async def send(self, records: Sequence[Outgoing], seconds: float = SEND_SECONDS) -> list[RecordMetadata]:
        """Send records in order and wait, ``seconds`` at most, until every in-sync replica has them.

        Returns:
            Where each record went, in the order given.

        Raises:
            SendFailed: A record was refused, or not acknowledged in time. Any of them may be in the log all the same.
        """
        if not records:
            return []
        try:
            async with asyncio.timeout(seconds):
                producer = self._producer()
                futures = [
                    await producer.send(
                        r.topic,
                        r.value,
                        key=r.key,
                        partition=r.partition,
                        timestamp_ms=r.timestamp,
                        headers=cast("list[tuple[str, bytes]]", r.headers),
                    )
                    for r in records
                ]
                return list(await asyncio.gather(*futures))
        except (KafkaError, NotReady, TimeoutError) as error:
            raise SendFailed(f"{len(records)} records for {records[0].topic}: {error!r}") from error
