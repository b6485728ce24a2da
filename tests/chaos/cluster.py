"""The cluster under test: a broker, some workers, and a proxy before and behind each of them."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.chaos import reading
from tests.chaos.broker import SLOTS, ChaosKafka
from tests.chaos.proxy import KafkaProxy, Proxy
from tests.processes import Worker

READY_SECONDS = 90.0
SETTLE_SECONDS = 150.0
RESTART_SECONDS = 0.5
"""What a supervisor waits before it starts a worker again."""


class Slot:
    """One worker, what stands between it and its clients, and between it and the broker.

    Attributes:
        front: clients' way to the worker, when they take the proxy.
        door: the worker's way to the broker.
        wanted: whether it is to run; if so and it has ended, it is started again.
        stopped: whether it is held by SIGSTOP.
        exits: how it ended by itself.
    """

    def __init__(self, number: int, worker: Worker, front: Proxy, door: KafkaProxy) -> None:
        self.number = number
        self.worker = worker
        self.front = front
        self.door = door
        self.wanted = False
        self.stopped = False
        self.exits: list[int] = []
        self.copy: Path | None = None

    def kill(self, *, wanted: bool = True) -> None:
        """SIGKILL."""
        self.wanted = wanted
        self.worker.kill()
        self.stopped = False

    def pause(self) -> None:
        """SIGSTOP."""
        self.stopped = True
        self.worker.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.worker.signal(signal.SIGCONT)
        self.stopped = False

    async def start(self) -> None:
        """Start it, and return once it is ready."""
        self.wanted = True
        if not self.worker.running:
            self.worker.start()
        await self.worker.wait_ready(READY_SECONDS)

    async def stop(self) -> float:
        """SIGTERM; it leaves within the promised time with exit code 0. How many seconds it took."""
        self.wanted = False
        return await self.worker.stop()

    def forget(self) -> None:
        """Delete its data folder; it must not run."""
        shutil.rmtree(self.worker.data_dir, ignore_errors=True)

    def keep_copy(self) -> None:
        """Copy its data folder; it must not run."""
        self.copy = self.worker.data_dir.with_suffix(".copy")
        shutil.rmtree(self.copy, ignore_errors=True)
        shutil.copytree(self.worker.data_dir, self.copy)

    def restore_copy(self) -> None:
        """Put the copy in place of its data folder; it must not run."""
        assert self.copy is not None
        self.forget()
        shutil.copytree(self.copy, self.worker.data_dir)


class Cluster:
    """A broker and up to `SLOTS` workers, of which some run."""

    def __init__(self, folder: Path, *, app: str = "app", env: dict[str, str] | None = None) -> None:
        self.kafka = ChaosKafka(folder / "kafka")
        self.slots: list[Slot] = []
        self.restarts = 0
        for number in range(SLOTS):
            inner, outer = self.kafka.doors[number]
            settings = {"CLUSTER_SECRET": "known to all workers of the suite", "DRAIN_SECONDS": "1", "CRIPPLED": "", **(env or {})}
            settings = {name: value for name, value in settings.items() if value}
            worker = Worker(f"127.0.0.1:{outer}", folder, app=app, env=settings)
            self.slots.append(Slot(number, worker, Proxy(worker.port), KafkaProxy(inner, outer)))

    @asynccontextmanager
    async def running(self, workers: int) -> AsyncIterator[Cluster]:
        """The cluster, with the first ``workers`` workers ready."""
        async with AsyncExitStack() as stack:
            for slot in self.slots:
                await stack.enter_async_context(slot.front)
                await stack.enter_async_context(slot.door)
            await self.kafka.begin()
            stack.callback(self.kafka.stop)
            stack.callback(self._kill_all)
            for slot in self.slots[:workers]:
                await slot.start()
            supervisor = asyncio.create_task(self._supervise())
            try:
                yield self
            finally:
                supervisor.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await supervisor

    def _kill_all(self) -> None:
        for slot in self.slots:
            slot.kill(wanted=False)

    async def _supervise(self) -> None:
        while True:
            await asyncio.sleep(RESTART_SECONDS)
            for slot in self.slots:
                code = slot.worker.exit_code
                if slot.wanted and code is not None and not slot.worker.running:
                    slot.exits.append(code)
                    self.restarts += 1
                    slot.worker.start()

    @property
    def bootstrap(self) -> str:
        """The broker's address for everything that is no worker."""
        return self.kafka.bootstrap

    @property
    def live(self) -> list[Slot]:
        """Workers that run and are not held."""
        return [slot for slot in self.slots if slot.wanted and slot.worker.running and not slot.stopped]

    def url(self, chance: random.Random) -> str:
        """Where a client goes: any worker, directly or through its proxy."""
        slot = chance.choice(self.live or self.slots)
        return slot.worker.url if chance.random() < 0.5 else f"http://127.0.0.1:{slot.front.port}"

    async def ready(self) -> None:
        """Return once every worker that is wanted is ready; those that ended meanwhile are started again."""
        deadline = time.monotonic() + READY_SECONDS
        for slot in self.slots:
            while slot.wanted:
                try:
                    await slot.worker.wait_ready(max(1.0, deadline - time.monotonic()))
                    break
                except AssertionError:
                    if slot.worker.running or time.monotonic() > deadline:
                        raise
                    await asyncio.sleep(RESTART_SECONDS)

    async def finished(self) -> None:
        """Return once the group has committed everything that is in the source topics and in the log."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while left := await reading.lag(self.bootstrap):
            if time.monotonic() > deadline:
                raise AssertionError(f"not worked through within {SETTLE_SECONDS:.0f} s: {left}")
            await asyncio.sleep(0.3)
