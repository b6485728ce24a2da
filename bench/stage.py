"""What the benchmarks share: a broker, rosters that no other run has, and orders for the clients and the producer."""

from __future__ import annotations

import asyncio
import random
import resource
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.domain.topics import SOURCE_TOPICS
from bench.brokers import broker
from bench.child import Child
from bench.dialects import Name
from bench.progress import Progress
from bench.scenarios import Roster
from bench.servers import Server

SAMPLES = 200
"""Clients at which times are taken."""
OTHER_FILES = 500
"""That a worker has open beside its sockets."""
LOOK_SECONDS = 0.05
DELIVERED_SECONDS = 60.0
"""Without anything new: what has not come by then is lost, as far as a benchmark goes."""
DONE_SECONDS = 1800.0


@dataclass(slots=True)
class Stage:
    """Where a benchmark takes place."""

    brokers: str
    folder: Path
    progress: Progress
    run: int

    def roster(self, clients: int, teams: int) -> Roster:
        """Teams and users that no other run has."""
        self.run = self.run % 9000 + 1
        return Roster(self.run, self.run * 100_000, teams, self.run * 1_000_000, clients)

    async def order(
        self,
        producer: Child,
        who: Roster,
        *,
        rate: float,
        events: int,
        warmup: int = 0,
        channels: bool = False,
        indexes: list[int] | None = None,
        create: bool = False,
        first: int = 0,
    ) -> list[int]:
        """Let a producer write its warm-up; it begins with the events at the next line. Returns how many each team got so far.

        Args:
            producer: A `bench.produce`.
            who: The teams.
            rate: Events a second; 0: as fast as it goes.
            events: How many.
            warmup: How many before.
            channels: Whether each record names its channel in a header.
            indexes: Of the teams that are written to; ``None``: all.
            create: Whether each event makes a task of its own.
            first: Number of each team's first event.
        """
        await producer.tell(
            brokers=self.brokers,
            run=who.run,
            teams=[who.team_id(index) for index in range(who.teams)],
            owners=[who.owner_id(index) for index in range(who.teams)],
            members=[who.user_id(index) for index in range(who.teams)],
            rate=rate,
            warmup=warmup,
            events=events,
            channels=channels,
            indexes=indexes,
            create=create,
            first=first,
        )
        await producer.hear()
        await producer.tell()
        counts: list[int] = (await producer.hear())["counts"]
        return counts

    async def write(self, who: Roster, events: int, *, create: bool = False) -> None:
        """Write so many events, as fast as it goes; return once the broker has them."""
        async with Child("bench.produce") as producer:
            await self.order(producer, who, rate=0, events=events, create=create)
            await producer.ask()

    async def left(self, server: Server) -> int:
        """Records that a server has not committed, of the source topics and of its own."""
        return await self.progress.left(server.group, (*SOURCE_TOPICS, server.unified) if server.unified else SOURCE_TOPICS)

    async def done(self, server: Server) -> None:
        """Wait until a server has committed every record.

        Raises:
            TimeoutError: It has not, after half an hour.
        """
        deadline = time.monotonic() + DONE_SECONDS
        while left := await self.left(server):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{server.name} has {left} records left after {DONE_SECONDS:.0f} s")
            await asyncio.sleep(0.1)


@asynccontextmanager
async def stage(clients: int = 0) -> AsyncIterator[Stage]:
    """A stage, for as long as the context lasts, on which one process has so many clients."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if clients + OTHER_FILES > hard:
        raise SystemExit(f"a process may have {hard} files open here: raise it (ulimit -n) for {clients:,} clients, or take fewer")
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        brokers = await stack.enter_async_context(broker(folder))
        progress = await stack.enter_async_context(Progress(brokers))
        yield Stage(brokers, folder, progress, random.randrange(1, 9000))  # noqa: S311  (tells runs apart)  # nosec B311


async def connect(
    load: Child,
    server: Server,
    who: Roster,
    *,
    events: int,
    dialect: Name | None = None,
    clients: list[int] | None = None,
    samples: int = SAMPLES,
    drain_ms: float = 0.0,
) -> dict[str, Any]:
    """Connect clients, all of the roster or these.

    Args:
        load: A `bench.load`.
        server: To what.
        who: The roster.
        events: That each team gets at most.
        dialect: How they ask; ``None``: as the server's simplest client.
        clients: Which.
        samples: At how many of them times are taken.
        drain_ms: How often the others are read; 0: at once.
    """
    return await load.ask(
        do="connect",
        port=server.port,
        dialect=dialect or server.dialect,
        run=who.run,
        users=[(who.user_id(client), who.team_of(client)) for client in (range(who.clients) if clients is None else clients)],
        teams=[who.team_id(index) for index in range(who.teams)],
        events=events,
        samples=samples,
        drain_ms=drain_ms,
    )


async def delivered(load: Child, who: Roster, counts: list[int], seconds: float = DELIVERED_SECONDS) -> dict[str, Any]:
    """Wait until every client of the roster has had every event, or nothing comes any more for so long."""
    return await received(load, sum(count * who.listeners(index) for index, count in enumerate(counts)), seconds)


async def received(load: Child, wanted: int, seconds: float = DELIVERED_SECONDS) -> dict[str, Any]:
    """Wait until the clients have had so many events, or nothing comes any more for so long."""
    before, deadline = 0, time.monotonic() + seconds
    while True:
        seen = await load.ask(do="count")
        if seen["received"] >= wanted or time.monotonic() > deadline:
            return seen
        if seen["received"] > before:
            before, deadline = seen["received"], time.monotonic() + seconds
        await asyncio.sleep(LOOK_SECONDS)
