"""A key's rows as their owner has them."""

from __future__ import annotations

import time

from app.commands.worker_api import WorkerApi
from app.commands.workers import owner, workers
from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.directory import Worker
from app.kafka.partitioner import partition_of
from app.kafka.reading import Log
from tables.seed import Seed
from web.peers import parse_seed


class Owners:
    """Asks the workers that own the rows."""

    def __init__(self, api: WorkerApi, log: Log, found: list[Worker]) -> None:
        self._api = api
        self._log = log
        self._found = found

    @classmethod
    async def of(cls, api: WorkerApi, log: Log) -> Owners:
        """The owners of now."""
        return cls(api, log, await workers(log, int(time.time() * 1000)))

    async def rows(self, key: str) -> Seed:
        """The rows of ``team:<id>`` or ``user:<id>``, and the offset of which they are the fold.

        Raises:
            Unavailable: Nobody owns them now, or the owner does not answer.
        """
        partition = partition_of(key.encode(), self._log.topics[UNIFIED])
        worker = owner(self._found, partition)
        if worker is None:
            raise Unavailable(f"no worker owns partition {partition} now: start one, or wait until it has recovered")
        try:
            return parse_seed(await self._api.internal(worker.url, f"/internal/seeds/{key}"))
        except ValueError:
            raise Unavailable(f"the worker at {worker.url} answers what this version cannot read") from None
