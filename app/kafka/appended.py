"""What this process appended itself, as records to be read: who reads the partition here need not fetch them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.structs import ConsumerRecord, TopicPartition

from app.kafka.outgoing import Outgoing

BROKER_TIME = 1
"""Type of a timestamp that the broker gave a batch; a topic may keep the writer's."""


@dataclass
class AppendedRecord(ConsumerRecord[bytes | None, bytes | None]):  # type: ignore[misc]
    """A record that this process wrote, as it reads it."""

    made: Any = None
    """`Outgoing.made`."""


def made_of(record: ConsumerRecord[bytes | None, bytes | None]) -> Any:
    """What a record's value was made from; ``None`` where somebody else made it, or nobody kept that."""
    return record.made if type(record) is AppendedRecord else None


class Appended(NamedTuple):
    """Records that stand in a partition, one behind the other, since every in-sync replica has them; whoever reads them gets the same."""

    tp: TopicPartition
    offset: int
    """Of the first."""
    records: list[AppendedRecord]

    @classmethod
    def of(cls, tp: TopicPartition, offset: int, timestamp: int, sent: Sequence[Outgoing]) -> Appended:
        """What was sent, at the first one's offset, with the milliseconds since the epoch that the broker gave all of it."""
        topic, partition = tp
        records = [
            AppendedRecord(topic, partition, at, timestamp, BROKER_TIME, one.key, one.value, None, 0, 0, tuple(one.headers), one.made)
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

    def take(self, most: int) -> list[ConsumerRecord[Any, Any]]:
        """The records of the next batches, until there are so many, or none is left."""
        found: list[ConsumerRecord[Any, Any]] = []
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
