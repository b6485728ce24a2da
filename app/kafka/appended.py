"""What this process appended itself, as records to be read: who reads the partition here need not fetch them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka.structs import TopicPartition

from app.domain.named_tuple import new
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record

BROKER_TIME = 1
"""Type of a timestamp that the broker gave a batch; a topic may keep the writer's."""


class Appended(NamedTuple):
    """Records that stand in a partition, one behind the other, since every in-sync replica has them; whoever reads them gets the same."""

    tp: TopicPartition
    offset: int
    """Of the first."""
    records: list[Record]

    @classmethod
    def of(cls, tp: TopicPartition, offset: int, timestamp: int, sent: Sequence[Outgoing]) -> Appended:
        """What was sent, at the first one's offset, with the milliseconds since the epoch that the broker gave all of it."""
        topic, partition = tp
        records = [
            new(Record, (topic, partition, at, timestamp, BROKER_TIME, one.key, one.value, tuple(one.headers), one.made))
            for at, one in enumerate(sent, offset)
        ]
        return cls(tp, offset, records)

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

    def skip_to(self, offset: int) -> bool:
        """Leave out what stands before an offset; whether the first of what is left stands there."""
        while self._waiting and self._waiting[0].end <= offset:
            self.next_fetch_offset = self._waiting.popleft().end
        return bool(self._waiting) and self.next_fetch_offset == offset

    def take(self, most: int) -> list[Record]:
        """The records of the next batches, until there are so many, or none is left."""
        found: list[Record] = []
        while self._waiting and len(found) < most:
            found += self._waiting.popleft().records
        self.next_fetch_offset += len(found)
        return found

    def __len__(self) -> int:
        return self.end - self.next_fetch_offset

    @property
    def more(self) -> bool:
        """Whether any are left."""
        return bool(self._waiting)
