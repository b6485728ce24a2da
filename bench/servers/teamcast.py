"""Our own worker: everything that it does, the mail requests included."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import aiohttp

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.kafka.topics import GROUP
from bench.members import introduce
from bench.progress import skip
from bench.scenarios import Roster
from bench.servers.server import Server
from tests.processes import Worker

UNLIMITED = {
    "MAX_CONNECTIONS": "0",
    "MAX_CONNECTIONS_PER_USER": "0",
    "HANDSHAKES_PER_SECOND": "0",
    "DRAIN_SECONDS": "0",
}
KNOWN_SECONDS = 300.0
STOP_SECONDS = 60.0
"""More than it promises: the machine is busy, and this is no test."""
AT_ONCE = 20


class Teamcast(Server):
    """One worker, with all roles."""

    name = "teamcast"
    dialect = "teamcast"
    group = GROUP
    unified = UNIFIED

    def __init__(self, brokers: str, folder: Path, **env: str) -> None:
        """Describe it; BENCH_ENV holds more of its environment (`NAME=value NAME=value`)."""
        more = dict(pair.split("=", 1) for pair in os.environ.get("BENCH_ENV", "").split())
        self.brokers = brokers
        self.worker = Worker(brokers, folder, env=UNLIMITED | more | env)
        self.port = self.worker.port

    @property
    def pid(self) -> int:
        return self.worker.pid

    async def start(self) -> None:
        # What it has not read are the events that others were measured with.
        await skip(self.brokers, GROUP, SOURCE_TOPICS)
        self.worker.start()
        await self.worker.wait_ready(KNOWN_SECONDS)

    async def stop(self) -> None:
        # By SIGTERM, so that it leaves the group: the next one need not wait until the session times out.
        self.worker.signal(signal.SIGTERM)
        with contextlib.suppress(AssertionError):  # not gone in time: it is killed then
            await self.worker.wait(STOP_SECONDS)

    async def prepare(self, roster: Roster) -> None:
        """Write teams and members, and wait until all are in the table. It is the table that is asked: that opens no views."""
        await introduce(self.brokers, roster)
        last = {roster.team_of(client): client for client in range(roster.clients)}
        rows = [f"teams/{roster.team_id(index)}" for index in range(roster.teams)]
        rows += [f"members/{roster.team_id(index)}/{roster.user_id(client)}" for index, client in last.items()]
        await self._found([f"/api/tables/{row}" for row in rows])

    async def open_views(self, roster: Roster) -> None:
        """Ask for every team once: for a minute each is folded a second time, for who may come, as if somebody watched it."""
        await self._found([f"/api/teams/{roster.team_id(index)}" for index in range(roster.teams)])

    async def _found(self, paths: list[str]) -> None:
        async with asyncio.timeout(KNOWN_SECONDS), aiohttp.ClientSession(self.worker.url) as session:
            gate = asyncio.Semaphore(AT_ONCE)

            async def found(path: str) -> None:
                while True:
                    async with gate, session.get(path) as answer:
                        if answer.status == 200:
                            return
                    await asyncio.sleep(0.1)

            await asyncio.gather(*map(found, paths))
