"""The one Faust table: rows of every family, written in batches, read where they are owned."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, cast

from faust.tables.table import Table
from faust.types import TP, AppT, StoreT
from faust.types.tables import CollectionT

from app.domain.rows import Row, decode
from app.domain.topics import UNIFIED
from app.errors import Moved
from app.kafka.topics import CHANGELOG, TABLE
from app.kafka.transport.batches import BatchSchema
from app.kafka.transport.driver import Consumer
from tables.changelog import META_KEY, Changelog
from tables.store import RowStore

RECOVERY_BATCHES = 4
"""Changelog batches that Faust collects before they are merged; each is up to 500 records already."""


class StateTable(Table[bytes, bytes]):
    """Rows, one RocksDB a partition of ``team.events``.

    A batch is written to the changelog first, then, once the broker has it, to RocksDB together with the changelog's
    offset: what is on disk is never ahead of the changelog.
    """

    def __init__(
        self, app: AppT, *, changelog: Changelog, partitions: int, hurry: Callable[[], None] = lambda: None, **kwargs: Any
    ) -> None:
        super().__init__(
            app,
            name=TABLE,
            partitions=partitions,
            schema=BatchSchema(),
            key_type=bytes,
            value_type=bytes,
            recovery_buffer_size=RECOVERY_BATCHES,
            **kwargs,
        )
        self._changelog = changelog
        self._folded: dict[int, int] = {}
        self._advanced = asyncio.Event()
        self._hurry = hurry
        self._waiting = 0

    def _new_store(self) -> StoreT[Any, Any]:
        url = self.app.conf.store
        return cast(StoreT[Any, Any], RowStore(url, self.app, cast(CollectionT, self), table_name=self.name, loop=self.loop, options={}))

    @property
    def rows(self) -> RowStore:
        """The store beneath."""
        return cast(RowStore, self.data)

    def value(self, partition: int, key: str) -> bytes | None:
        """A row as stored, whether or not the partition answers yet."""
        return self.rows.read(partition, key.encode())

    def row(self, partition: int, key: str) -> Row | None:
        """The same, decoded."""
        value = self.value(partition, key)
        return None if value is None else decode(value)

    async def write(self, partition: int, changed: dict[str, bytes], lasts: dict[str, str], upto: int) -> None:
        """Write what the records of ``team.events`` up to offset ``upto`` changed.

        Args:
            partition: Of ``team.events``, and of the table.
            changed: The rows, encoded, by key.
            lasts: The newest record of each key that had any: its offset and check value, a space between.
            upto: Offset of the last of these records.

        Raises:
            SendFailed: The changelog did not take them; nothing was written here.
        """
        if changed or lasts:
            applied = self.rows.persisted_offset(TP(CHANGELOG, partition))

            def stored(key: bytes) -> bytes | None:
                return self.rows.read(partition, key)

            appended = await self._changelog.append(partition, upto, changed, lasts, stored, -1 if applied is None else applied)
            self.rows.write(partition, appended.rows.items(), appended.offset)
        self._folded[partition] = upto
        self._advanced.set()
        self._advanced = asyncio.Event()

    def contains(self, partition: int) -> int:
        """Highest offset in ``team.events`` that the rows of a partition may contain; -1 where they are of none."""
        value = self.rows.read(partition, META_KEY)
        return -1 if value is None else int(value)

    def owns(self, partition: int) -> bool:
        """Whether this worker is the owner of a partition, recovered or not."""
        return self.app.assignor.is_active(TP(UNIFIED, partition))

    def owned(self) -> set[int]:
        """Partitions that this worker is the owner of, recovered or not."""
        return {tp.partition for tp in self.app.assignor.assigned_actives() if tp.topic == UNIFIED}

    def held(self) -> tuple[set[int], set[int]]:
        """Partitions that this worker owns, and those that it is a standby for."""
        standbys = {tp.partition for tp in self.app.assignor.assigned_standbys() if tp.topic == CHANGELOG}
        return self.owned(), standbys

    def folded(self, partition: int) -> int:
        """Offset in ``team.events`` up to which the rows of a partition are the fold; they are of no later record.

        Raises:
            Moved: The partition is another worker's, or not recovered that far yet.
        """
        if not self.app.tables.actives_ready or self.app.rebalancing or not self.owns(partition) or not self.rows.has(partition):
            raise Moved(f"partition {partition} is not here")
        at = self._folded.get(partition)
        if at is None:
            committed = cast(Consumer, self.app.consumer).begun_at(TP(UNIFIED, partition))
            if committed is None:
                raise Moved(f"partition {partition} is not positioned yet")
            at = committed - 1
        # An owner before us, or we before a restart, wrote rows of records up to the meta row's: until they are folded
        # again the rows are ahead of what we would call their position.
        if at < self.contains(partition):
            raise Moved(f"partition {partition} is being folded again")
        return at

    def behind(self, ends: Mapping[int, int]) -> int:
        """How many records the fold is behind these offsets, over the partitions that are being folded here."""
        return sum([max(0, ends.get(partition, at) - at) for partition, at in self._folded.items()])

    def answerable(self) -> set[int]:
        """Partitions whose rows here are the fold, and may be shown."""
        return {partition for partition in self.owned() if self._is_folded(partition)}

    def _is_folded(self, partition: int) -> bool:
        try:
            self.folded(partition)
        except Moved:
            return False
        return True

    async def on_rebalance(self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0) -> None:
        """Forget how far partitions were folded: every one of them is read again from its committed offset."""
        self._folded.clear()
        await super().on_rebalance(assigned, revoked, newly_assigned, generation_id)

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for rows: then what has gathered is folded at once."""
        return self._waiting > 0

    async def wait_folded_to(self, partition: int, offset: int, seconds: float) -> None:
        """Wait until the rows are the fold of every record up to an offset.

        Raises:
            Moved: They are not within ``seconds``, or the partition is not here.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        self._waiting += 1
        self._hurry()
        try:
            while self.folded(partition) < offset:
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    raise Moved(f"partition {partition} is not folded up to {offset} yet")
                with suppress(TimeoutError):
                    async with asyncio.timeout(left):
                        await self._advanced.wait()
        finally:
            self._waiting -= 1

    async def wait_folded(self, partition: int, seconds: float) -> int:
        """`folded`, as soon as this worker can tell.

        Raises:
            Moved: It cannot tell within ``seconds``.
        """
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            try:
                return self.folded(partition)
            except Moved:
                if asyncio.get_running_loop().time() >= deadline:
                    raise
            await asyncio.sleep(0.05)
