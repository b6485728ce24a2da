"""Looking into topics: bounded reads over a consumer of no group, so that looking moves nobody's offsets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.errors import Unavailable
from app.kafka.client import connection
from app.kafka.record import Record
from app.settings import Settings

CONNECT_SECONDS = 20.0
IDLE_SECONDS = 30.0
"""Longest wait for a record that the brokers say is there."""
RECORD_SECONDS = 10.0
FETCH_BYTES = 2**20
BREATH = 200
"""Records after which others have their turn: some ten milliseconds, where each is folded."""


@dataclass(slots=True, frozen=True)
class Span:
    """Offsets of one partition that are to be read."""

    tp: TopicPartition
    first: int
    end: int
    """The one behind the last."""
    begin: int = 0
    """Where the partition's log starts."""
    since: int = 0
    """Where the reader asked to start; what lies from here to ``first`` was left out to keep the read bounded."""

    @property
    def left_out(self) -> int:
        """Offsets that were asked for and will not be read."""
        return self.first - self.since


class Log:
    """Reads topics of any size, each read with an end and a bound.

    ``async with Log(settings) as log``. Whatever the brokers refuse while it reads is a ``KafkaError``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._consumer: AIOKafkaConsumer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._partitions: dict[str, int] = {}

    async def __aenter__(self) -> Self:
        """Connect.

        Raises:
            Unavailable: No broker answers.
        """
        self._consumer = AIOKafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=FETCH_BYTES,
            **connection(self._settings),
        )
        self._admin = AIOKafkaAdminClient(**connection(self._settings))
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await self._consumer.start()
                await self._admin.start()
                found = await self._admin.describe_topics()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._close()
            brokers = ", ".join(self._settings.kafka_brokers)
            raise Unavailable(f"KAFKA_BROKERS: no broker answers at {brokers} ({type(error).__name__})") from None
        except BaseException:
            await self._close()
            raise
        self._partitions = {topic["topic"]: len(topic["partitions"]) for topic in found if not topic["error_code"]}
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._close()

    async def _close(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        if self._admin is not None:
            await self._admin.close()

    @property
    def admin(self) -> AIOKafkaAdminClient:
        """For questions about the cluster."""
        if self._admin is None:
            raise RuntimeError("use it in `async with`")
        return self._admin

    @property
    def _reader(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            raise RuntimeError("use it in `async with`")
        return self._consumer

    @property
    def topics(self) -> dict[str, int]:
        """The topics that there are, and their partition counts."""
        return self._partitions

    def partitions(self, topics: Iterable[str]) -> list[TopicPartition]:
        """The partitions of those topics that there are."""
        return [TopicPartition(name, number) for name in topics for number in range(self._partitions.get(name, 0))]

    async def begins(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the partitions' logs start."""
        found: dict[TopicPartition, int] = await self._reader.beginning_offsets(tps) if tps else {}
        return found

    async def ends(self, tps: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """Where the partitions' logs end: the offset that the next record will get."""
        found: dict[TopicPartition, int] = await self._reader.end_offsets(tps) if tps else {}
        return found

    async def spans(self, tps: Sequence[TopicPartition], *, since_ms: int | None = None, newest: int | None = None) -> list[Span]:
        """What there is to read now.

        Args:
            tps: Partitions.
            since_ms: Records of this time or later, milliseconds since the epoch; None: all that there are.
            newest: Of each partition at most so many offsets, the newest; None: all.
        """
        begin, end = await self.begins(tps), await self.ends(tps)
        since = dict(begin)
        if since_ms is not None and tps:
            found = await self._reader.offsets_for_times(dict.fromkeys(tps, max(0, since_ms)))
            since = {tp: end[tp] if found.get(tp) is None else found[tp].offset for tp in tps}
        return [
            Span(tp, max(since[tp], end[tp] - newest) if newest is not None else since[tp], end[tp], begin[tp], since[tp]) for tp in tps
        ]

    async def records(self, spans: Sequence[Span]) -> AsyncIterator[Record]:
        """The records of some spans, those of each partition in order. One read at a time.

        Raises:
            Unavailable: For half a minute nothing came that should be there.
        """
        ends = {span.tp: span.end for span in spans if span.first < span.end}
        if not ends:
            return
        consumer = self._reader
        consumer.assign(list(ends))
        for span in spans:
            if span.tp in ends:
                consumer.seek(span.tp, span.first)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + IDLE_SECONDS
        while ends:
            batches = await consumer.getmany(*ends, timeout_ms=500)
            for tp, batch in batches.items():
                for number, record in enumerate(batch):
                    if number % BREATH == 0:
                        await asyncio.sleep(0)  # in a worker clients wait for the loop meanwhile
                    if record.offset < ends[tp]:
                        yield record
            # A compacted log may end with offsets that hold no record any more: the position tells, not the last record.
            for tp in [tp for tp, end in ends.items() if await consumer.position(tp) >= end]:
                del ends[tp]
            if batches:
                deadline = loop.time() + IDLE_SECONDS
            elif loop.time() > deadline:
                tp = next(iter(ends))
                raise Unavailable(f"{tp.topic}-{tp.partition} cannot be read: nothing came for {IDLE_SECONDS:.0f} s")

    async def at(self, tp: TopicPartition, offset: int) -> Record | None:
        """The record at an offset; ``None`` when there is none (any more)."""
        if tp.partition >= self._partitions.get(tp.topic, 0):
            return None
        begin, end = (await self.begins([tp]))[tp], (await self.ends([tp]))[tp]
        if not begin <= offset < end:
            return None
        consumer = self._reader
        consumer.assign([tp])
        consumer.seek(tp, offset)
        try:
            async with asyncio.timeout(RECORD_SECONDS):
                while await consumer.position(tp) <= offset:
                    for batch in (await consumer.getmany(tp, timeout_ms=500, max_records=1)).values():
                        return batch[0] if batch[0].offset == offset else None
        except TimeoutError:
            raise Unavailable(f"{tp.topic}-{tp.partition} cannot be read at offset {offset}") from None
        return None
