"""The outbox table: rows in RocksDB, one database a partition of ``notification.requests``, and their changelog."""

from __future__ import annotations

from typing import Any, cast

from faust.tables.table import Table
from faust.types import AppT, StoreT
from faust.types.tables import CollectionT

from app.domain.topics import REQUESTS
from app.kafka.topics import OUTBOX
from app.kafka.transport.batches import BatchSchema
from notifications import rows
from tables.store import RowStore

RECOVERY_BATCHES = 4
"""Changelog batches that Faust collects before they are merged; each is up to 500 records already."""


class OutboxStore(RowStore):
    """Rows of the outbox; what has ended is forgotten in time, so here a row can go."""

    deletes = True

    def merge(self, key: bytes, ours: bytes | None, theirs: bytes) -> bytes | None:
        """The row that two writers may have written."""
        return rows.merge(key, ours, theirs)


class OutboxTable(Table[bytes, bytes]):
    """The one table of the notification service. Nothing is written through Faust: see `notifications.journal`."""

    def __init__(self, app: AppT, **kwargs: Any) -> None:
        super().__init__(
            app, name=OUTBOX, schema=BatchSchema(), key_type=bytes, value_type=bytes, recovery_buffer_size=RECOVERY_BATCHES, **kwargs
        )

    def _new_store(self) -> StoreT[Any, Any]:
        url = self.app.conf.store
        return cast(StoreT[Any, Any], OutboxStore(url, self.app, cast(CollectionT, self), table_name=self.name, loop=self.loop, options={}))

    @property
    def rows(self) -> OutboxStore:
        """The store beneath."""
        return cast(OutboxStore, self.data)

    def ready(self) -> set[int]:
        """Partitions that are this worker's, and recovered."""
        if not self.app.tables.actives_ready or self.app.rebalancing:
            return set()
        owned = {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == REQUESTS}
        return {partition for partition in owned if self.rows.has(partition)}
