"""A peer that is a command: started, found to answer, ended by its id."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess  # nosec B404
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from app.domain.topics import SOURCE_TOPICS
from bench.progress import Progress, make_own, skip
from bench.servers.server import Server
from tests.ports import free_port
from tests.processes import ROOT

START_SECONDS = 90.0
STOP_SECONDS = 10.0


class Process(Server):
    """A peer; its group begins at the end of the source topics."""

    health: str
    """A path that answers 200 when it serves."""

    def __init__(self, brokers: str, folder: Path) -> None:
        self.brokers, self.folder = brokers, folder
        self.port = free_port()
        # Anew at each start: an old member that was killed would hold the group until its session times out.
        self.group = f"{self.name}-{secrets.token_hex(3)}"
        self._process: subprocess.Popen[bytes]

    @abstractmethod
    def command(self) -> list[str]:
        """What is run; its files are written before."""

    def topics(self) -> Mapping[str, str]:
        """Its own topics, and how each is cleaned up."""
        return {}

    def environment(self) -> dict[str, str]:
        """Its own part of the environment."""
        return {}

    @property
    def pid(self) -> int:
        return self._process.pid

    async def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        await make_own(self.brokers, self.topics())
        await skip(self.brokers, self.group, SOURCE_TOPICS)
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: ASYNC220, S603  (no shell, our own words)  # nosec B603
                self.command(),
                cwd=ROOT,
                env=os.environ | {"KAFKA_BROKERS": self.brokers, "PORT": str(self.port)} | self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session, Progress(self.brokers) as progress:
                while not await self._serves(session):
                    if self._process.poll() is not None:
                        raise RuntimeError(f"{self.name} ended with {self._process.returncode}: see {self.folder / 'log'}")
                    await asyncio.sleep(0.1)
                await progress.stable(self.group, START_SECONDS)
        except BaseException:
            await self.stop()
            raise

    async def _serves(self, session: aiohttp.ClientSession) -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{self.port}{self.health}") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    async def stop(self) -> None:
        self._process.terminate()
        try:
            await asyncio.to_thread(self._process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
