"""Records under way to the broker: a bounded number of them, each with a report of what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata

from app.domain.events import Source
from app.domain.unified import default_event_id
from app.errors import SendFailed, Unavailable
from app.kafka.partitioner import partition_of

if TYPE_CHECKING:
    from app.settings import Settings

START_SECONDS: Final = 30.0
METADATA_SECONDS: Final = 5.0
"""How long a topic may be unknown: a new one shows within a fraction of a second."""
STOP_SECONDS: Final = 3.0
REQUEST_TIMEOUT_MS: Final = 30_000
MAX_BATCH_BYTES: Final = 128 * 1024
MAX_REQUEST_BYTES: Final = 2 * 2**20
"""A value of at most 512 KiB, and what belongs to it."""

Acks = Literal["all", 1]
Codec = Literal["gzip", "snappy", "lz4", "zstd"]
Headers = Sequence[tuple[str, bytes]]


@dataclass(slots=True, frozen=True)
class Delivered:
    """The broker has the event."""

    topic: str
    partition: int
    offset: int
    event_id: str
    """The one that every client of the team will see: the producer's own, else the name of the record."""


OnDelivery = Callable[[Delivered | SendFailed], None]


@dataclass(slots=True, frozen=True)
class Record:
    """A record to be written."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    routing: bytes | None = None
    """What is hashed to choose the partition; None: the key, and without a key any partition."""
    event_id: str | None = None
    """The producer's own id of the event."""


class Writer:
    """Writes records in the order given, with one connection to the cluster."""

    def __init__(
        self,
        brokers: str | Sequence[str] | Settings,
        *,
        keep_failures: bool,
        acks: Acks = "all",
        idempotent: bool | None = None,
        linger_ms: int = 0,
        compression: Codec | None = None,
        max_in_flight: int = 10_000,
        timeout_seconds: float = 120.0,
        client_id: str = "teamcast-events",
        on_delivery: OnDelivery | None = None,
    ) -> None:
        """Say how to write; ``start`` connects. The arguments are those of ``Events``.

        Raises:
            ValueError: ``idempotent`` without ``acks="all"``, or another ``acks``.
        """
        if acks not in ("all", 1):
            raise ValueError(f"acks is 'all' or 1, not {acks!r}")
        if idempotent and acks != "all":
            raise ValueError("an idempotent producer needs acks='all'")
        self._brokers = brokers
        self._keep_failures = keep_failures
        self._options: dict[str, Any] = {
            "acks": acks,
            "enable_idempotence": acks == "all" if idempotent is None else idempotent,
            "linger_ms": linger_ms,
            "compression_type": compression,
            "client_id": client_id,
            "max_batch_size": MAX_BATCH_BYTES,
            "max_request_size": MAX_REQUEST_BYTES,
        }
        self.timeout_seconds = timeout_seconds
        self._on_delivery = on_delivery
        self._slots = asyncio.Semaphore(max_in_flight)
        self._under_way: set[asyncio.Future[Delivered]] = set()
        self._failures: list[SendFailed] = []
        self._failed = 0
        self._producer: AIOKafkaProducer | None = None

    @property
    def in_flight(self) -> int:
        """Records that are not acknowledged yet."""
        return len(self._under_way)

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: No broker answers.
        """
        producer = AIOKafkaProducer(**_connection(self._brokers), **self._options)
        try:
            async with asyncio.timeout(START_SECONDS):
                await producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await producer.stop()
            raise Unavailable(f"no Kafka broker answers at {_address(self._brokers)} ({type(error).__name__})") from None
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def write(self, record: Record) -> asyncio.Future[Delivered]:
        """Buffer a record, once fewer than ``max_in_flight`` are under way.

        Returns:
            Its report, to come; or the ``SendFailed`` that it ends with.

        Raises:
            SendFailed: It could not be buffered in time, the topic is not known, or the record is too large.
        """
        producer = self._producer
        if producer is None:
            raise RuntimeError("not started: use it in `async with`, or call start()")
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await self._slots.acquire()
                try:
                    return await self._buffer(producer, record)
                except BaseException:
                    self._slots.release()
                    raise
        except (KafkaError, TimeoutError) as error:
            raise SendFailed(f"{record.topic}: {self._reason(error)}") from error

    async def flush(self) -> None:
        """Wait until the broker has everything that was written so far.

        Raises:
            SendFailed: It did not acknowledge some of it in time, or (with ``keep_failures``) at all. Each failure is raised once.
        """
        if self._under_way:
            _, late = await asyncio.wait(set(self._under_way), timeout=self.timeout_seconds)
            if late:
                raise SendFailed(f"{len(late)} events were not acknowledged within {self.timeout_seconds:g} s")
        failed, first, self._failed = self._failed, self._failures[:], 0
        self._failures.clear()
        if first:
            raise SendFailed(f"{failed} events were not delivered; the first: {first[0]}") from first[0]

    async def stop(self) -> None:
        """Disconnect; what is under way has a few seconds to get there."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await producer.stop()
        except TimeoutError:
            # An idempotent producer retries for as long as it lives, so during an outage it must be ended.
            if (task := producer._sender.sender_task) is not None:
                task.cancel()
            await producer.client.close()

    async def _buffer(self, producer: AIOKafkaProducer, record: Record) -> asyncio.Future[Delivered]:
        routing = record.routing or record.key
        partitions = await self._partitions(producer, record.topic)
        partition = None if routing is None else partition_of(routing, partitions)
        # Our own time, for topics that keep the producer's: the client reports that of the batch's first record for all of them.
        sent_ms = time.time_ns() // 1_000_000
        written: asyncio.Future[RecordMetadata] = await producer.send(
            record.topic, record.value, key=record.key, partition=partition, timestamp_ms=sent_ms, headers=list(record.headers)
        )
        report: asyncio.Future[Delivered] = asyncio.get_running_loop().create_future()
        self._under_way.add(report)

        def settle(done: asyncio.Future[RecordMetadata]) -> None:
            self._slots.release()
            self._under_way.discard(report)
            self._settle(report, self._outcome(record, done, sent_ms))

        written.add_done_callback(settle)
        return report

    async def _partitions(self, producer: AIOKafkaProducer, topic: str) -> int:
        if (known := producer.client.cluster.partitions_for_topic(topic)) is not None:
            return len(known)  # nearly always: spares a timer for each record
        try:
            async with asyncio.timeout(METADATA_SECONDS):
                return len(await producer.partitions_for(topic))
        except TimeoutError:
            raise SendFailed(f"{topic}: the brokers at {_address(self._brokers)} do not know this topic") from None

    def _settle(self, report: asyncio.Future[Delivered], outcome: Delivered | SendFailed) -> None:
        if isinstance(outcome, SendFailed):
            if self._keep_failures:
                self._failed += 1
                self._failures = self._failures or [outcome]
            if not report.done():
                report.set_exception(outcome)
                report.exception()  # seen: flush tells it to those who do not look at the report
        elif not report.done():
            report.set_result(outcome)
        if self._on_delivery is not None:
            self._on_delivery(outcome)

    def _outcome(self, record: Record, done: asyncio.Future[RecordMetadata], sent_ms: int) -> Delivered | SendFailed:
        if done.cancelled():
            return SendFailed(f"{record.topic}: the producer was stopped before the broker acknowledged the event")
        if (error := done.exception()) is not None:
            failed = SendFailed(f"{record.topic}: {self._reason(error)}")
            failed.__cause__ = error
            return failed
        written = done.result()
        if written.log_start_offset is not None and written.log_start_offset < 0:
            # A retry of what the broker had written too long ago to remember where (DuplicateSequenceNumber).
            return SendFailed(f"{record.topic}: the event is in the log, but the broker does not say where")
        timestamp = written.timestamp if written.timestamp_type == 1 else sent_ms
        source = Source(record.topic, written.partition, written.offset, timestamp)
        return Delivered(record.topic, written.partition, written.offset, record.event_id or default_event_id(source))

    def _reason(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError):
            return f"not acknowledged within {self.timeout_seconds:g} s"
        return str(error) or type(error).__name__


def _connection(brokers: str | Sequence[str] | Settings) -> dict[str, Any]:
    if isinstance(brokers, str):
        brokers = [broker.strip() for broker in brokers.split(",")]
    if isinstance(brokers, Sequence):
        return {"bootstrap_servers": list(brokers), "request_timeout_ms": REQUEST_TIMEOUT_MS}
    # Only here: a service that names its brokers does not need what settings are made of.
    from app.kafka.client import connection  # noqa: PLC0415

    return connection(brokers)


def _address(brokers: str | Sequence[str] | Settings) -> str:
    if isinstance(brokers, str):
        return brokers
    return ", ".join(brokers if isinstance(brokers, Sequence) else brokers.kafka_brokers)
