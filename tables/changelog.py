"""The changelog: the truth about the rows once the unified log has forgotten their events.

It may have two writers for a moment: a stopped owner wakes up with a batch unsent, and the brokers take it, since
idempotent producers do not fence each other. So nothing is written over. Whoever finds that its batch was not acked
directly behind what its store holds reads what came between, merges, and writes the merged rows again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.domain.named_tuple import new
from app.domain.rows import decode, encode, merge
from app.errors import SendFailed
from app.kafka.client import connection
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.sender import Sender
from app.kafka.topics import CHANGELOG
from app.settings import Settings

META_KEY = b"\x00meta"
"""Row that begins every batch: the highest unified offset that the batch, or any before it, may contain."""
LAST_PREFIX = b"last/"
"""Rows that say which record of a key is its newest: its offset, and the check value of its position."""
READ_SECONDS = 30.0
REWRITES = 5
"""Two writers that find each other's batches so often do not settle: leave, and let the group decide who is the owner."""

Stored = Callable[[bytes], bytes | None]
Values = dict[bytes, bytes | None]
"""Rows by key as they are written; ``None``: the row goes."""
Merge = Callable[[bytes, bytes | None, bytes], bytes | None]
"""The value of a row (its key, ours, theirs) that two writers may have written."""


def merge_values(key: bytes, ours: bytes | None, theirs: bytes) -> bytes:
    """The value of a row that two writers may have written: the newer of each part of it."""
    if ours is None or ours == theirs:
        return theirs
    if key == META_KEY or key.startswith(LAST_PREFIX):
        return max(ours, theirs, key=_offset)
    newer = decode(theirs)
    # In this order, for nearly always theirs is newer in every part: then it is the row, encoded already.
    merged = merge(newer, decode(ours))
    return theirs if merged is newer else encode(merged)


def _offset(value: bytes) -> int:
    return int(value.partition(b" ")[0])


def last_row_key(key: str) -> bytes:
    """Key of the row that says which record of ``team:<id>`` or ``user:<id>`` is its newest."""
    return LAST_PREFIX + key.encode()


@dataclass(slots=True, frozen=True)
class Appended:
    """What the changelog holds now, and the store does not yet."""

    rows: Values
    offset: int
    """The changelog's offset that these rows reach."""
    alone: bool = True
    """Whether nobody else had written since the store's offset."""


class Changelog:
    """Appends batches of rows to one partition at a time."""

    def __init__(self, settings: Settings, sender: Sender, topic: str = CHANGELOG, merge: Merge = merge_values) -> None:
        """Know where the rows go.

        Args:
            settings: where the brokers are.
            sender: sends them.
            topic: the changelog.
            merge: merges a row of ours with another writer's.
        """
        self._settings = settings
        self._sender = sender
        self._topic = topic
        self._merge = merge

    async def append(  # noqa: PLR0917  (a batch is what these are together)
        self, partition: int, upto: int, changed: Mapping[str, bytes], lasts: Mapping[str, str], stored: Stored, applied: int
    ) -> Appended:
        """Write the rows that the unified records up to offset ``upto`` changed.

        Args:
            partition: Of the changelog, and of ``team.events``.
            upto: Highest offset in ``team.events`` that the rows contain.
            changed: The rows, encoded, by key.
            lasts: The newest record of each key that had any: its offset and check value, a space between.
            stored: The store's value of a key.
            applied: The changelog's offset that the store has reached; -1 before the first.

        Raises:
            SendFailed: The changelog did not take the rows, or what another writer put between could not be read.
        """
        rows: Values = {META_KEY: merge_values(META_KEY, stored(META_KEY), b"%d" % upto)}
        rows |= {key.encode(): value for key, value in changed.items()}
        rows |= {last_row_key(key): last.encode() for key, last in lasts.items()}
        return await self.write(partition, rows, stored, applied, first=META_KEY)

    async def write(self, partition: int, rows: Values, stored: Stored, applied: int, first: bytes | None = None) -> Appended:
        """Write rows, merged with what another writer put between.

        Args:
            partition: Of the changelog.
            rows: They are changed to what they are merged with.
            stored: The store's value of a key.
            applied: The changelog's offset that the store has reached; -1 before the first.
            first: Key of the row that begins every batch, however often it is written.

        Raises:
            SendFailed: The changelog did not take the rows, or what another writer put between could not be read.
        """
        unsent = rows
        alone = True
        for _ in range(REWRITES):
            sent = await self._sender.send(
                [new(Outgoing, (self._topic, key, value, (), partition, None, None)) for key, value in unsent.items()]
            )
            begin, last = sent[0].offset, sent[-1].offset
            if not sent.placed:
                last = -1
            if begin == applied + 1 and last - begin + 1 == len(sent):
                return Appended(rows, last, alone)
            alone = False
            unsent = {}
            between, last = await self._between(partition, applied + 1, last)
            for record in between:
                if record.key is None or record.value is None:
                    continue
                ours = rows[record.key] if record.key in rows else stored(record.key)
                merged = None if record.key in rows and ours is None else self._merge(record.key, ours, record.value)
                rows[record.key] = merged
                if merged != record.value:
                    unsent[record.key] = merged
                else:
                    unsent.pop(record.key, None)
            applied = last
            if not unsent:
                return Appended(rows, last, alone)
            if first is not None:
                unsent = {first: rows[first]} | unsent
        raise SendFailed(f"another writer keeps writing to {self._topic}-{partition}")

    async def _between(self, partition: int, first: int, last: int) -> tuple[list[Record], int]:
        """The changelog's records from ``first`` to ``last``, as far as they have not been compacted away.

        A negative ``last`` is one that the brokers did not tell (they had the batch already, from a try whose answer was
        lost): then to the end of the changelog, which is given back too.
        """
        tp = TopicPartition(self._topic, partition)
        consumer = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **connection(self._settings))
        found: list[Record] = []
        try:
            async with asyncio.timeout(READ_SECONDS):
                await consumer.start()
                consumer.assign([tp])
                if last < 0:
                    last = (await consumer.end_offsets([tp]))[tp] - 1
                consumer.seek(tp, first)
                while await consumer.position(tp) <= last:
                    for records in (await consumer.getmany(tp, timeout_ms=1000)).values():
                        found += [record for record in records if record.offset <= last]
        except (KafkaError, OSError, TimeoutError) as error:
            raise SendFailed(f"what another writer put into {self._topic}-{partition} cannot be read: {error!r}") from error
        finally:
            await consumer.stop()
        return found, last
