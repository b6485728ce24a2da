"""The journal of one partition: what the outbox writes, in one order, to the changelog and then to disk.

Many write at once, and one batch is on its way at a time: what comes meanwhile goes with the next one.
"""

from __future__ import annotations

import asyncio
import contextlib

from faust.types import TP
from mode import Service

from app.errors import SendFailed
from app.kafka.topics import OUTBOX_CHANGELOG
from notifications.outbox import Values
from tables.changelog import Changelog
from tables.store import RowStore


class Journal(Service):
    """Writes rows; those under way are read back at once."""

    def __init__(self, partition: int, store: RowStore, changelog: Changelog) -> None:
        super().__init__()
        self._partition = partition
        self._store = store
        self._changelog = changelog
        self._sending: Values = {}
        self._pending: Values = {}
        self._late: Values = {}
        self._written: asyncio.Future[bool] | None = None
        self._wanted = asyncio.Event()

    def get(self, key: bytes) -> bytes | None:
        """A row, those included that are being written."""
        for rows in (self._pending, self._sending):
            if key in rows:
                return rows[key]
        return None if self._gone else self._store.read(self._partition, key)

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Rows on disk whose key begins with ``prefix``, from ``start`` on, in order."""
        return [] if self._gone else self._store.scan(self._partition, prefix, start, limit)

    @property
    def _gone(self) -> bool:
        """Whether the partition is another worker's; to read would open its database again."""
        return self.should_stop or not self._store.has(self._partition)

    def write(self, rows: Values) -> asyncio.Future[bool]:
        """Write rows behind all that were written before.

        Returns:
            Done when they are in the changelog and on disk; whether nobody else had written in between. `SendFailed` when they
            are not, because the brokers did not take them, or the partition went first.
        """
        if self._written is None:
            self._written = asyncio.get_running_loop().create_future()
            self._written.add_done_callback(lambda done: done.cancelled() or done.exception())
        if self.should_stop:
            self._fail(self._written)
        self._pending |= rows
        self._wanted.set()
        return self._written

    def note(self, rows: Values) -> asyncio.Future[bool] | None:
        """Write an outcome, also when the partition has gone meanwhile: then `late` has it, and ``None`` is given back."""
        if not self.should_stop:
            return self.write(rows)
        self._late |= rows
        return None

    def late(self) -> Values:
        """What was noted since the partition went."""
        late, self._late = self._late, {}
        return late

    @Service.task
    async def _write(self) -> None:
        while not self.should_stop:
            await self._wanted.wait()
            self._wanted.clear()
            written, self._written = self._written, None
            self._sending, self._pending = self._pending, {}
            try:
                alone = await self._append() if self._sending else True
            except SendFailed as error:
                # Those who wait tell the worker, which leaves; nothing that was asked for here has been done.
                if written is not None and not written.done():
                    written.set_exception(error)
                raise
            self._sending = {}
            if written is not None and not written.done():
                written.set_result(alone)

    async def drain(self, seconds: float) -> None:
        """Return once everything is written, or after ``seconds``."""
        if self._pending or self._sending:
            with contextlib.suppress(TimeoutError, SendFailed):
                async with asyncio.timeout(seconds):
                    await asyncio.shield(self.write({}))

    async def _append(self) -> bool:
        applied = self._store.persisted_offset(TP(OUTBOX_CHANGELOG, self._partition))

        def stored(key: bytes) -> bytes | None:
            return self._store.read(self._partition, key)

        appended = await self._changelog.write(self._partition, self._sending, stored, -1 if applied is None else applied)
        if self._store.has(self._partition):
            self._store.write(self._partition, appended.rows.items(), appended.offset)
        return appended.alone

    async def on_stop(self) -> None:
        """Let go of those who wait: what they wrote is in the changelog or it is not."""
        if self._written is not None:
            self._fail(self._written)

    def _fail(self, future: asyncio.Future[bool]) -> None:
        if not future.done():
            future.set_exception(SendFailed(f"outbox {self._partition} went before its rows were written"))
