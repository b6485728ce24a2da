"""Reading the log behind the ring, for resumes: one reader a partition at a time, whoever asks meanwhile shares it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError

from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.client import connection
from app.settings import Settings
from delivery.entry import Entry, entry_of
from delivery.window import DuplicateWindow, identities

GATHER_SECONDS = 0.02
"""How long a read waits for others that want the same partition: a restart brings them all at once."""
READ_SECONDS = 20.0
SLICE_SECONDS = 0.005
"""Resumes may take longer; live delivery may not wait for them."""


@dataclass(slots=True)
class _Read:
    """One read of a partition, and those who share it."""

    wanted: dict[str, int] = field(default_factory=dict)
    """Keys, and the lowest offset that anybody wants of each."""
    upto: int = -1
    done: asyncio.Future[dict[str, list[Entry]]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class LogReader:
    """Reads ranges of the log, repeats left out."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gathering: dict[int, _Read] = {}
        self._locks: dict[int, asyncio.Lock] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def read(self, log: str, partition: int, key: str, first: int, upto: int) -> list[Entry] | None:
        """The records of ``key`` from offset ``first`` to before ``upto``; ``None`` when some of them have expired.

        Raises:
            Unavailable: The log is out of reach.
        """
        shared = self._gathering.get(partition)
        if shared is None:
            shared = self._gathering[partition] = _Read()
            task = asyncio.create_task(self._serve(log, partition, shared))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        shared.wanted[key] = min(first, shared.wanted.get(key, first))
        shared.upto = max(upto, shared.upto)
        try:
            async with asyncio.timeout(READ_SECONDS):
                found = (await asyncio.shield(shared.done))[key]
        except TimeoutError:
            raise Unavailable(f"partition {partition} of the log cannot be read in time") from None
        except OffsetOutOfRangeError:
            return None
        return [entry for entry in found if first <= entry.offset < upto]

    async def _serve(self, log: str, partition: int, read: _Read) -> None:
        async with self._locks.setdefault(partition, asyncio.Lock()):
            await asyncio.sleep(GATHER_SECONDS)
            del self._gathering[partition]
            try:
                read.done.set_result(await self._read(log, partition, read))
            except OffsetOutOfRangeError as error:
                read.done.set_exception(error)
            except (KafkaError, OSError, TimeoutError) as error:
                read.done.set_exception(Unavailable(f"partition {partition} of the log cannot be read: {error!r}"))
            read.done.exception()  # whoever waited may have gone

    async def _read(self, log: str, partition: int, read: _Read) -> dict[str, list[Entry]]:
        tp = TopicPartition(UNIFIED, partition)
        first = min(read.wanted.values())
        found: dict[str, list[Entry]] = {key: [] for key in read.wanted}
        window = DuplicateWindow(self._settings.duplicate_window)
        consumer = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="none", **connection(self._settings))
        try:
            async with asyncio.timeout(READ_SECONDS):
                await consumer.start()
                consumer.assign([tp])
                begin = (await consumer.beginning_offsets([tp]))[tp]
                if first < begin:
                    raise OffsetOutOfRangeError({tp: first})
                # A whole window before the first record that may be delivered: only then every repeat is known as one.
                consumer.seek(tp, max(begin, first - self._settings.duplicate_window))
                slice_end = monotonic() + SLICE_SECONDS
                while await consumer.position(tp) < read.upto:
                    for records in (await consumer.getmany(tp, timeout_ms=500)).values():
                        for record in records:
                            distance = window.distance(record.offset, identities(record.key or b"", record.value or b"", record.headers))
                            key = (record.key or b"").decode("latin-1")
                            if distance is None and first <= record.offset < read.upto and key in found:
                                entry = entry_of(log, record)
                                if entry is not None:
                                    found[key].append(entry)
                            if monotonic() > slice_end:
                                await asyncio.sleep(0)
                                slice_end = monotonic() + SLICE_SECONDS
        finally:
            await consumer.stop()
        return found

    async def stop(self) -> None:
        """Give up what is being read."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
