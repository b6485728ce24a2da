"""What a fetch brought, until it is taken: aiokafka's, with records that are unpacked a batch at a time and not one by one."""

from __future__ import annotations

from typing import Any

from aiokafka import errors
from aiokafka.consumer import fetcher as theirs
from aiokafka.record.memory_records import MemoryRecords

from app.domain.named_tuple import new
from app.kafka.appended import AppendedRecords
from app.kafka.record import Record


class Records(theirs.PartitionRecords):  # type: ignore[misc]
    """The records of one partition's part of an answer, unpacked a batch at a time."""

    next_fetch_offset: int
    _records: Any

    def take(self, most: int) -> list[Record]:
        """The records of the next batches, until there are so many, or there is no batch left.

        Raises:
            CorruptRecordException: The checksum of a batch is wrong.
        """
        if self._isolation_level == theirs.READ_COMMITTED:
            return [self._record(one) for one in self]  # what was aborted is left out by aiokafka's own
        topic, partition = self._tp
        found: list[Record] = []
        batches, first = self._records, self.next_fetch_offset
        while len(found) < most and batches.has_next():
            batch = batches.next_batch()
            if self._check_crcs and not batch.validate_crc():
                if found:
                    self._records = MemoryRecords(b"")  # it is fetched again, and the first then
                    break
                raise errors.CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not batch.is_control_batch:
                kind = getattr(batch, "timestamp_type", None)  # of an older format each record has its own
                found += [
                    self._record(one)
                    if kind is None
                    else new(Record, (topic, partition, at, one.timestamp, kind, one.key, one.value, tuple(one.headers), None))
                    for one in batch
                    if (at := one.offset) >= first
                ]
            # Of the batch and not of its last record, which may have been compacted away: the same batch would come for ever.
            first = self.next_fetch_offset = batch.next_offset
        return found

    def _record(self, one: Any) -> Record:
        """A record as aiokafka unpacks it; one of the oldest format has no time."""
        timestamp = -1 if one.timestamp is None else one.timestamp
        return Record(
            self._tp.topic, self._tp.partition, one.offset, timestamp, one.timestamp_type or 0, one.key, one.value, tuple(one.headers)
        )

    @property
    def more(self) -> bool:
        """Whether any are left."""
        return bool(self._isolation_level != theirs.READ_COMMITTED and self._records.has_next())


class Result(theirs.FetchResult):  # type: ignore[misc]
    """What an answer, or this process itself, brought of one partition."""

    _partition_records: Records | AppendedRecords | None

    def getall(self, max_records: int | None = None) -> list[Record]:
        """Some ``max_records`` of the records, whole batches; none where they are not wanted any more.

        Raises:
            CorruptRecordException: The first batch cannot be read. It is to be fetched again: what stands behind it is not given.
        """
        records = self._partition_records
        if records is None or not self.check_assignment(self._topic_partition):
            return []
        try:
            found = records.take(max_records or 1)
        except errors.KafkaError:
            self._partition_records = None
            raise
        self._update_position()
        if not records.more:
            self._partition_records = None
        return found
