"""Rows on disk: one RocksDB a partition, opened and closed with the assignment."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from time import time
from typing import Any, cast

import rocksdict
from faust.stores import rocksdb
from faust.types import TP, CollectionT, EventT

from app.kafka.log_id import UNKNOWN
from app.kafka.record import Record
from app.kafka.topics import DELETE_RETENTION_MS
from tables.changelog import Values, merge_values

LOG_KEY = b"\x00log"
"""Local only: which changelog the rows are of."""
WRITTEN_KEY = b"\x00written"
"""Local only: when the rows were last written, seconds since the epoch."""
STALE_SECONDS = DELETE_RETENTION_MS / 1000 / 2
"""Half of the time for which the changelog keeps tombstones."""
BLOCK_CACHE_BYTES = 64 * 2**20
WRITE_BUFFER_BYTES = 16 * 2**20
WRITE_BUFFERS = 3

_SIZES = {
    "files": "rocksdb.total-sst-files-size",
    "memtables": "rocksdb.cur-size-all-mem-tables",
    "readers": "rocksdb.estimate-table-readers-mem",
}
_cache = rocksdict.Cache(BLOCK_CACHE_BYTES)


def _options() -> rocksdict.Options:
    """Bounded memory: one block cache for all partitions, small memtables."""
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(WRITE_BUFFER_BYTES)
    options.set_max_write_buffer_number(WRITE_BUFFERS)
    options.set_max_open_files(256)
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(_cache)
    table.set_bloom_filter(10, block_based=False)
    options.set_block_based_table_factory(table)
    return options


class RowStore(rocksdb.Store):
    """Faust's RocksDB store with bounded memory, batch writes, and a changelog that is merged and not replayed over."""

    _dbs: dict[int, rocksdict.Rdict]

    deletes = False
    """Whether a changelog record without a value deletes its row; rows that only merge have none such, and skip it."""
    log_id = UNKNOWN
    """Which changelog the rows are of; set before any partition is opened."""

    def _open_for_partition(self, partition: int) -> rocksdict.Rdict:
        path = self.partition_path(partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        db = rocksdict.Rdict(str(path), options=_options())
        if self._stale(db):
            # Rows of another log are none of ours; rows that missed the deletion of a tombstone would bring it back.
            db.close()
            rocksdict.Rdict.destroy(str(path), _options())
            self.log.warning("the rows of partition %s in %s were of another log, or too old: they are recovered anew", partition, path)
            db = rocksdict.Rdict(str(path), options=_options())
        db[LOG_KEY] = self.log_id.encode()
        return db

    def _stale(self, db: rocksdict.Rdict) -> bool:
        if db.get(self.offset_key) is None:
            return False
        written = int(db.get(WRITTEN_KEY) or b"0")
        return db.get(LOG_KEY) != self.log_id.encode() or time() - written > STALE_SECONDS

    def has(self, partition: int) -> bool:
        """Whether the partition is open here."""
        return partition in self._dbs

    def read(self, partition: int, key: bytes) -> bytes | None:
        """Value of a row; ``None`` where there is none."""
        return cast("bytes | None", self._db_for_partition(partition).get(key))

    def scan(self, partition: int, prefix: bytes, start: bytes | None = None, limit: int | None = None) -> list[tuple[bytes, bytes]]:
        """Rows whose key begins with ``prefix``, in key order, from ``start`` on, at most ``limit``.

        A list, not an iterator: an open iterator holds the database while a rebalance waits to close it.
        """
        found: list[tuple[bytes, bytes]] = []
        for key, value in self._db_for_partition(partition).items(from_key=max(start or b"", prefix)):
            if not key.startswith(prefix) or len(found) == limit:
                break
            found.append((key, value))
        return found

    def merge(self, key: bytes, ours: bytes | None, theirs: bytes) -> bytes | None:
        """The value of a row that two writers may have written; ``None`` where there is to be none."""
        return merge_values(key, ours, theirs)

    def write(self, partition: int, rows: Iterable[tuple[bytes, bytes | None]], offset: int) -> None:
        """Put rows, or delete those without a value, and the changelog offset that they reach: all or nothing."""
        batch = rocksdict.WriteBatch(raw_mode=True)
        for key, value in rows:
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(self.offset_key, b"%d" % offset)
        batch.put(WRITTEN_KEY, b"%d" % int(time()))
        self._db_for_partition(partition).write(batch)

    def sizes(self) -> dict[str, int]:
        """Bytes that the open databases take: ``files`` on disk; in memory ``memtables``, ``readers``, and the ``cache`` that all share."""
        found = {name: sum(db.property_int_value(value) or 0 for db in self._dbs.values()) for name, value in _SIZES.items()}
        return found | {"cache": _cache.get_usage()}

    def estimated_rows(self, partition: int) -> int:
        """How many rows a partition has, as RocksDB estimates it: a row that was written again may count twice for a while."""
        db = self._dbs.get(partition)
        return 0 if db is None else db.property_int_value("rocksdb.estimate-num-keys") or 0

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]], to_key: Callable[[Any], Any], to_value: Callable[[Any], Any]) -> None:
        """Merge changelog records into the rows."""
        for tp, merged, offset in self._merged(batch):
            self.write(tp.partition, merged.items(), offset)

    def revoke_partitions(self, table: CollectionT, tps: set[TP]) -> None:
        """Close the databases of partitions that are another worker's now."""
        for tp in tps:
            if tp.topic in table.changelog_topic.topics:
                self._close(tp.partition)

    def _close(self, partition: int) -> None:
        db = self._dbs.pop(partition, None)
        if db is not None:
            db.close()

    async def on_stop(self) -> None:
        """Close every database."""
        for partition in list(self._dbs):
            self._close(partition)
        gc.collect()

    async def stop(self) -> None:
        """Close every database; Faust's own only forgets them."""
        await self.on_stop()

    def _merged(self, batch: Iterable[EventT[Any]]) -> Iterator[tuple[TP, Values, int]]:
        by_partition: dict[TP, list[Record]] = {}
        for event in batch:
            by_partition.setdefault(event.message.tp, []).extend(cast("list[Record]", event.value))
        for tp, records in by_partition.items():
            merged: Values = {}
            for record in records:
                if record.key is None:
                    continue
                if record.value is None:
                    if self.deletes:
                        merged[record.key] = None
                    continue
                ours = merged[record.key] if record.key in merged else self.read(tp.partition, record.key)
                merged[record.key] = self.merge(record.key, ours, record.value)
            yield tp, merged, max(record.offset for record in records)
