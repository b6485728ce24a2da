"""A real table on a real RocksDB; the changelog is a list."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata
from faust.types import TP

from app.domain.rows import Row
from app.domain.topics import UNIFIED
from app.errors import SendFailed
from app.kafka.outgoing import Outgoing
from app.kafka.sender import Sent
from app.kafka.topics import CHANGELOG
from app.settings import Settings
from tables.changelog import Changelog
from tables.table import StateTable
from tests.unit.domain.naive_model import Record
from tests.unit.domain.worlds import folded, stored


class Broker:
    """The changelog: what was sent to it, in order."""

    def __init__(self) -> None:
        self.held: list[Outgoing] = []
        self.fails = False
        self.seen: list[Any] = []
        """What `look` gave when a batch was sent."""
        self.look: Any = lambda: None

    async def send(self, records: Sequence[Outgoing], *_more: Any) -> Sent:
        self.seen.append(self.look())
        if self.fails:
            raise SendFailed("not now") from KafkaError()
        found = []
        for record in records:
            partition = record.partition or 0
            offset = sum(1 for held in self.held if held.partition == record.partition)
            found.append(RecordMetadata(CHANGELOG, partition, TP(CHANGELOG, partition), offset, -1, 0, 0))
            self.held.append(record)
        return Sent(found, range(len(found)))


class Tables:
    """A table, and what its worker is told of the group."""

    def __init__(self, folder: Path) -> None:
        self.app = faust.App("unit", broker="kafka://127.0.0.1:1", datadir=str(folder), store="rocksdb://")
        self.broker = Broker()
        self.begun_at: dict[int, int] = {}
        self.actives: set[int] = set()
        settings = Settings(_env_file=None)
        self.hurried = 0
        """How often the pause of what is to be folded was ended."""
        changelog = Changelog(settings, self.broker)  # type: ignore[arg-type]
        self.table = StateTable(self.app, changelog=changelog, partitions=2, hurry=self._hurry)
        self.app.consumer = SimpleNamespace(begun_at=lambda tp: self.begun_at.get(tp.partition))  # type: ignore[assignment]
        self.app.assignor.assigned_actives = lambda: {TP(UNIFIED, number) for number in self.actives}  # type: ignore[method-assign]
        self.app.assignor.is_active = lambda tp: tp.topic == UNIFIED and tp.partition in self.actives  # type: ignore[method-assign]

    def _hurry(self) -> None:
        assert self.table.wanted, "or the next pause begins at once"
        self.hurried += 1

    def own(self, *partitions: int, committed: int = 0) -> None:
        """As after a rebalance and a recovery."""
        for partition in partitions:
            self.actives.add(partition)
            self.begun_at[partition] = committed
            self.table.rows._db_for_partition(partition)
        self.app.tables.actives_ready = True

    async def fold(self, records: list[Record], partition: int = 0, upto: int | None = None) -> dict[str, Row]:
        """Write the rows of these records."""
        rows = folded(records)
        await self.table.write(partition, stored(rows), {}, len(records) - 1 if upto is None else upto)
        return rows


@pytest.fixture
async def tables(tmp_path: Path) -> AsyncIterator[Tables]:
    made = Tables(tmp_path)
    yield made
    await made.table.rows.stop()
