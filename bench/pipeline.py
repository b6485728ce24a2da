"""The pipeline: source record, routed by team, folded into the tables; what an event costs one worker process.

python -m bench.pipeline [--peer teamcast] [--peer plain-faust] [--events 200000] [--rate 200] [--rate 1000] [--repeat 3] [--json FILE]

A backlog is written while the worker is held (SIGSTOP), then it runs: events a second and CPU an event until the group has committed
every record of the source topics and of its own. The floor is aiokafka's fetch and send_batch alone over the same records. Paced loads:
the share of a core, and the time from the producer's call to a plain tail of the unified topic. Idle: the share of a core when nothing
happens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import uvloop

from app.domain.topics import SOURCE_TOPICS
from bench.brokers import broker
from bench.child import Child
from bench.measure import cpu_seconds, machine
from bench.progress import Progress, make_own
from bench.scenarios import Roster, Scenario, roster
from bench.servers import SERVERS, Server, present

TEAMS = 1000
WARMUP = 5000
PACED_WARMUP_SECONDS = 3.0
FOLDED_SECONDS = 900.0
SETTLE_SECONDS = 3.0
FLOOR_TOPIC = "bench.floor"


@dataclass(slots=True, frozen=True)
class Load:
    """What a program made of one load."""

    peer: str
    load: str
    """`backlog`, `floor`, `idle`, or the events a second."""
    events: int
    seconds: float
    events_per_second: float
    us_per_event: float
    """CPU of the process."""
    cores: float
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    p999_ms: float = 0.0


class Pipeline:
    """One program under load."""

    def __init__(self, server: Server, brokers: str, who: Roster, progress: Progress) -> None:
        self._server, self._brokers, self._who, self._progress = server, brokers, who, progress
        self._topics = (*SOURCE_TOPICS, server.unified)

    def _load(self, name: str, events: int, cpu: float, seconds: float, **times: float) -> Load:
        each = cpu / events * 1e6 if events else 0.0
        return Load(self._server.name, name, events, seconds, events / seconds, each, cpu / seconds, **times)

    async def _produce(self, producer: Child, events: int, rate: float, warmup: int = 0, run: int = 0) -> None:
        who = self._who
        await producer.tell(
            brokers=self._brokers,
            run=run or who.run,
            teams=[who.team_id(index) for index in range(who.teams)],
            owners=[who.owner_id(index) for index in range(who.teams)],
            members=[who.user_id(index) for index in range(who.teams)],
            rate=rate,
            warmup=warmup,
            events=events,
            channels=False,
        )
        await producer.hear()
        await producer.tell()
        await producer.hear()

    async def _folded(self) -> None:
        deadline = time.monotonic() + FOLDED_SECONDS
        while left := await self._progress.left(self._server.group, self._topics):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{self._server.name} has {left} records left after {FOLDED_SECONDS:.0f} s")
            await asyncio.sleep(0.1)

    async def backlog(self, events: int) -> Load:
        """Write a backlog while the program is held, and let it go."""
        async with Child("bench.produce") as producer:
            await self._produce(producer, WARMUP, 0)
            await producer.tell()
            await producer.hear()
        await self._folded()
        await asyncio.sleep(SETTLE_SECONDS)
        os.kill(self._server.pid, signal.SIGSTOP)
        try:
            async with Child("bench.produce") as producer:
                await self._produce(producer, events, 0)
                await producer.tell()
                await producer.hear()
        finally:
            os.kill(self._server.pid, signal.SIGCONT)
        cpu, started = cpu_seconds(self._server.pid), time.monotonic()
        await self._folded()
        return self._load("backlog", events, cpu_seconds(self._server.pid) - cpu, time.monotonic() - started)

    async def paced(self, rate: float, seconds: float) -> Load:
        """Write evenly, and listen at the unified topic."""
        async with Child("bench.produce") as producer, Child("bench.tailing") as tail:
            ends = await self._progress.ends([self._server.unified])
            start = [offset for _, offset in sorted(ends.items())]
            await tail.ask(brokers=self._brokers, topic=self._server.unified, start=start, run=self._who.run)
            await self._produce(producer, round(rate * seconds), rate, round(rate * PACED_WARMUP_SECONDS))
            cpu, started = cpu_seconds(self._server.pid), time.monotonic()
            await producer.tell()
            await asyncio.sleep(seconds)
            cpu, took = cpu_seconds(self._server.pid) - cpu, time.monotonic() - started
            done = await producer.hear()
            await self._folded()
            seen = await tail.ask(since=done["since"])
        times = {name: seen[name] for name in ("p50_ms", "p99_ms", "p999_ms")}
        return self._load(f"{rate:g}/s", round(rate * seconds), cpu, took, **times)

    async def idle(self, seconds: float) -> Load:
        """Do nothing."""
        await asyncio.sleep(SETTLE_SECONDS)
        cpu, started = cpu_seconds(self._server.pid), time.monotonic()
        await asyncio.sleep(seconds)
        return self._load("idle", 0, cpu_seconds(self._server.pid) - cpu, time.monotonic() - started)


async def floor(brokers: str, start: dict[tuple[str, int], int]) -> Load:
    """What aiokafka alone takes for the records from these offsets on."""
    await make_own(brokers, {FLOOR_TOPIC: "delete"})
    async with Child("bench.floor") as child:
        await child.ask(
            brokers=brokers, topic=FLOOR_TOPIC, start=[(topic, partition, offset) for (topic, partition), offset in start.items()]
        )
        found = await child.ask()
    events, cpu, seconds = found["events"], found["cpu"], found["seconds"]
    return Load("aiokafka alone", "floor", events, seconds, events / seconds, cpu / events * 1e6, cpu / seconds)


COLUMNS = (
    ("events/s", "events_per_second", "{:,.0f}"),
    ("CPU us/event", "us_per_event", "{:,.0f}"),
    ("cores", "cores", "{:.3f}"),
    ("p50 ms", "p50_ms", "{:.1f}"),
    ("p99 ms", "p99_ms", "{:.1f}"),
)


def table(loads: list[Load]) -> str:
    """Medians for each load and program, as Markdown."""
    lines = ["| load | program | " + " | ".join(title for title, _, _ in COLUMNS) + " |", "| --- | --- |" + " ---: |" * len(COLUMNS)]
    for load, peer in dict.fromkeys((one.load, one.peer) for one in loads):
        these = [one for one in loads if (one.load, one.peer) == (load, peer)]
        cells = [form.format(median(getattr(one, field) for one in these)) for _, field, form in COLUMNS]
        lines.append(f"| {load} | {peer} | {' | '.join(cells)} |")
    return "\n".join(lines)


@dataclass(slots=True, frozen=True)
class Wanted:
    """What is to be measured."""

    peers: list[str]
    events: int
    rates: list[float]
    seconds: float
    idle: float
    repeat: int


async def compare(wanted: Wanted) -> list[Load]:
    """Measure each program, so many times in turn."""
    found: list[Load] = []

    def note(one: Load) -> None:
        print(table([one]).splitlines()[-1], file=sys.stderr, flush=True)
        found.append(one)

    number = random.randrange(1, 9000)  # noqa: S311  (no secret: tells runs apart)  # nosec B311
    scenario = Scenario("pipeline", TEAMS, TEAMS, 0)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        brokers = await stack.enter_async_context(broker(folder))
        progress = await stack.enter_async_context(Progress(brokers))
        for _ in range(wanted.repeat):
            for peer in wanted.peers:
                number = number % 9000 + 1
                who = roster(scenario, number)
                async with SERVERS[peer](brokers, folder / peer) as server:
                    await server.prepare(who)
                    pipeline = Pipeline(server, brokers, who, progress)
                    begin = await progress.ends(SOURCE_TOPICS)
                    if wanted.events:
                        note(await pipeline.backlog(wanted.events))
                    for rate in wanted.rates:
                        note(await pipeline.paced(rate, wanted.seconds))
                    if wanted.idle:
                        note(await pipeline.idle(wanted.idle))
                if wanted.events and peer == wanted.peers[0]:
                    note(await floor(brokers, {(tp.topic, tp.partition): offset for tp, offset in begin.items()}))
    return found


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", choices=sorted(SERVERS))
    parser.add_argument("--events", type=int, default=200_000, help="the backlog; 0: none")
    parser.add_argument("--rate", action="append", type=float, help="a paced load, events a second; 0: none (default 200 and 1000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each paced load")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of doing nothing; 0: none")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    line = machine()
    rates = [rate for rate in given.rate or [200.0, 1000.0] if rate]
    loads = await compare(
        Wanted(present(given.peer or ["teamcast", "plain-faust"]), given.events, rates, given.seconds, given.idle, given.repeat)
    )
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"machine": line, "loads": [asdict(one) for one in loads]}, indent=1), encoding="utf-8")
    print(f"{line}\n{given.events:,} events of {TEAMS:,} teams, {given.repeat} times; medians\n\n{table(loads)}")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
