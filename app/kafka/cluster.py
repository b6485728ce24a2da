"""The cluster: which workers there are, and who owns what, told over a small compacted topic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, time
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord
from mode import Service

from app.errors import SendFailed
from app.kafka.client import connection
from app.kafka.sender import Outgoing, Sender
from app.kafka.topics import CLUSTER
from app.settings import Settings

BEAT_SECONDS = 3.0
LEASE_SECONDS = 12.0
"""A worker that has not been heard of for so long is gone."""
SILENT_SECONDS = 900.0
"""For so long it is told that it is gone: time for somebody to look."""
SEND_SECONDS = 10.0
LEAVE_SECONDS = 1.0


@dataclass(slots=True, frozen=True)
class Worker:
    """A worker as it tells of itself."""

    url: str
    version: str
    role: str
    partitions: frozenset[int]
    """Partitions of the unified stream that it owns."""
    standbys: frozenset[int]
    heard: float
    """When, on this process's monotonic clock."""


class Cluster(Service):
    """Tells of this worker, and listens to what the others tell."""

    def __init__(
        self, settings: Settings, sender: Sender, version: str, owned: Callable[[], tuple[set[int], set[int]]], **kwargs: Any
    ) -> None:
        """Know what to tell.

        Args:
            settings: Where the brokers are, and how this worker is reached.
            sender: Sends it.
            version: Of this program.
            owned: Partitions that this worker owns, and those that it is a standby for.
            **kwargs: For `mode.Service`.
        """
        super().__init__(**kwargs)
        self._settings = settings
        self._sender = sender
        self._version = version
        self._owned = owned
        self._workers: dict[str, Worker] = {}

    def workers(self) -> dict[str, Worker]:
        """The workers that are there, by URL; this one is among them once it has been heard."""
        now = monotonic()
        return {url: worker for url, worker in self._workers.items() if now - worker.heard < LEASE_SECONDS}

    def silent(self) -> list[str]:
        """URLs of workers that stopped telling of themselves within the last `SILENT_SECONDS`, and did not say that they leave."""
        now = monotonic()
        return sorted(url for url, worker in self._workers.items() if LEASE_SECONDS <= now - worker.heard < SILENT_SECONDS)

    def owner(self, partition: int) -> str | None:
        """URL of the worker that last said that it owns a partition."""
        found = [worker for worker in self.workers().values() if partition in worker.partitions]
        return max(found, key=lambda worker: worker.heard).url if found else None

    @Service.task
    async def _tell(self) -> None:
        told: object = None
        told_at = 0.0
        while not self.should_stop:
            owned = self._owned()
            if owned != told or monotonic() - told_at >= BEAT_SECONDS:
                partitions, standbys = owned
                value = {
                    "version": self._version,
                    "role": self._settings.role,
                    "partitions": sorted(partitions),
                    "standbys": sorted(standbys),
                }
                try:
                    await self._sender.send([Outgoing(CLUSTER, self._settings.url.encode(), orjson.dumps(value))], SEND_SECONDS)
                    told, told_at = owned, monotonic()
                except SendFailed as error:
                    self.log.warning("the other workers cannot be told of this one: %s", error)
            await self.sleep(0.2)

    async def leave(self) -> None:
        """Tell that this worker goes, so that nobody waits for its lease to end."""
        try:
            await self._sender.send([Outgoing(CLUSTER, self._settings.url.encode(), None)], LEAVE_SECONDS)
        except SendFailed as error:
            self.log.info("the other workers will notice by themselves that this one is gone: %s", error)

    @Service.task
    async def _listen(self) -> None:
        tp = TopicPartition(CLUSTER, 0)
        while not self.should_stop:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=500, **connection(self._settings)
            )
            try:
                await consumer.start()
                consumer.assign([tp])
                await consumer.seek_to_beginning(tp)
                while not self.should_stop:
                    for record in (await consumer.getmany(tp, timeout_ms=1000)).get(tp, ()):
                        self._hear(record)
            except (KafkaError, OSError) as error:
                self.log.warning("the other workers cannot be heard: %r", error)
            finally:
                await consumer.stop()
            await self.sleep(1.0)

    def _hear(self, record: ConsumerRecord[bytes | None, bytes | None]) -> None:
        url = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._workers.pop(url, None)
            return
        try:
            said = orjson.loads(record.value)
            # What was said before this process listened counts by the broker's clock; never as newer than now.
            age = max(0.0, time() - record.timestamp / 1000)
            self._workers[url] = Worker(
                url, said["version"], said["role"], frozenset(said["partitions"]), frozenset(said["standbys"]), monotonic() - age
            )
        except (ValueError, KeyError, TypeError):
            self.log.warning("what %s says of itself cannot be read", url)
