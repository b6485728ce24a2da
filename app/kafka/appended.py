"""What this process appended itself, as records to be read: who reads the partition here need not fetch them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from aiokafka.structs import ConsumerRecord, TopicPartition

from app.kafka.outgoing import Outgoing

BROKER_TIME = 1
"""Type of a timestamp that the broker gave a batch; a topic may keep the writer's."""


class Appended(NamedTuple):
    """Records that stand in a partition, one behind the other, since every in-sync replica has them."""

    tp: TopicPartition
    offset: int
    """Of the first."""
    timestamp: int
    """That the broker gave all of them, milliseconds since the epoch."""
    records: Sequence[Outgoing]

    @property
    def end(self) -> int:
        """The offset behind the last."""
        return self.offset + len(self.records)


class AppendedRecords:
    """Appended records that wait to be taken: in aiokafka's fetch buffer they stand where those of an answer would."""

    def __init__(self, first: Appended) -> None:
        self._waiting = deque([first])
        self.next_fetch_offset = first.offset
        """Of the first that has not been taken."""
        self.end = first.end
        """The offset behind the last."""

    def add(self, more: Appended) -> None:
        """Put what was appended right behind the last."""
        self._waiting.append(more)
        self.end = more.end

    def take(self, most: int) -> list[ConsumerRecord[Any, Any]]:
        """The records of the next batches, until there are so many, or none is left."""
        found: list[ConsumerRecord[Any, Any]] = []
        while self._waiting and len(found) < most:
            (topic, partition), offset, timestamp, records = self._waiting.popleft()
            found += [
                ConsumerRecord(topic, partition, at, timestamp, BROKER_TIME, r.key, r.value, None, 0, 0, tuple(r.headers))
                for at, r in enumerate(records, offset)
            ]
        self.next_fetch_offset += len(found)
        return found

    def __len__(self) -> int:
        return self.end - self.next_fetch_offset

    @property
    def more(self) -> bool:
        """Whether any are left."""
        return bool(self._waiting)
