"""What a fetch brought, until it is taken: aiokafka's, with records that are unpacked a batch at a time and not one by one."""

from __future__ import annotations

from typing import Any

from aiokafka import errors
from aiokafka.consumer import fetcher as theirs
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

from app.kafka.appended import AppendedRecords


class Records(theirs.PartitionRecords):  # type: ignore[misc]
    """The records of one partition's part of an answer, unpacked a batch at a time."""

    next_fetch_offset: int
    _records: Any

    def take(self, most: int) -> list[ConsumerRecord[Any, Any]]:
        """The records of the next batches, until there are so many, or there is no batch left.

        Raises:
            CorruptRecordException: The checksum of a batch is wrong.
        """
        if self._isolation_level == theirs.READ_COMMITTED:
            return list(self)  # what was aborted is left out by aiokafka's own
        topic, partition = self._tp
        found: list[ConsumerRecord[Any, Any]] = []
        batches, at = self._records, self.next_fetch_offset
        while len(found) < most and batches.has_next():
            batch = batches.next_batch()
            if self._check_crcs and not batch.validate_crc():
                if found:
                    self._records = MemoryRecords(b"")  # it is fetched again, and the first then
                    break
                raise errors.CorruptRecordException(f"Invalid CRC - {self._tp}")
            if not batch.is_control_batch:
                kind = batch.timestamp_type
                found += [
                    ConsumerRecord(topic, partition, one.offset, one.timestamp, kind, one.key, one.value, None, 0, 0, tuple(one.headers))
                    for one in batch
                    if one.offset >= at
                ]
            # Of the batch and not of its last record, which may have been compacted away: the same batch would come for ever.
            at = self.next_fetch_offset = batch.next_offset
        return found

    @property
    def more(self) -> bool:
        """Whether any are left."""
        return bool(self._isolation_level != theirs.READ_COMMITTED and self._records.has_next())


class Result(theirs.FetchResult):  # type: ignore[misc]
    """What an answer, or this process itself, brought of one partition."""

    _partition_records: Records | AppendedRecords | None

    def getall(self, max_records: int | None = None) -> list[ConsumerRecord[Any, Any]]:
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
