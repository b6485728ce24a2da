"""The pipeline: source record, routed by team, folded into the tables; what an event costs one worker process.

python -m bench.pipeline [--peer teamcast] [--peer plain-faust] [--events 200000] [--rate 200] [--rate 1000] [--repeat 3] [--json FILE]

A backlog is written while the worker is held (SIGSTOP), then it runs: events a second and CPU an event until the group has committed
every record of the source topics and of its own. The floor is aiokafka's fetch and send_batch alone over the same records. Paced loads:
the share of a core, and the time from the producer's call to a plain tail of the unified topic. Idle: the share of a core when nothing
happens. Nobody listens: a team that somebody watches is folded a second time, into a view, by each worker that it is watched at.
One more backlog is measured with the views of all teams open.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiokafka import TopicPartition

from app.domain.topics import SOURCE_TOPICS
from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds
from bench.progress import make_own
from bench.scenarios import Roster
from bench.servers import SERVERS, Server, present
from bench.servers.teamcast import Teamcast
from bench.stage import Stage, stage
from delivery.feeds import IDLE_SECONDS
from delivery.hub import FEEDS_SECONDS

TEAMS = 1000
WARMUP = 5000
PACED_WARMUP_SECONDS = 3.0
SETTLE_SECONDS = 3.0
FLOOR_TOPIC = "bench.floor"
PLAIN_EVENTS = 10
"""The part of the backlog that is enough for a program as slow as the plain one: a tenth."""

Row = dict[str, Any]


def row(load: str, program: str, events: int, *, cpu: float, seconds: float, left: int = 0, times: dict[str, float] | None = None) -> Row:
    """A line of the table; ``left``: records not committed when the window of a paced load ends."""
    found = times or {}
    return {
        "load": load,
        "program": program,
        "events/s": events / seconds,
        "CPU us/event": cpu / events * 1e6 if events else 0.0,
        "cores": cpu / seconds,
        "left": left,
        "p50 ms": found.get("p50_ms", 0.0),
        "p99 ms": found.get("p99_ms", 0.0),
        "p99.9 ms": found.get("p999_ms", 0.0),
    }


async def backlog(on: Stage, server: Server, who: Roster, events: int, warmup: int = WARMUP) -> tuple[Row, dict[TopicPartition, int]]:
    """Write a backlog while the program is held, and let it go. Also returns where the backlog begins."""
    await on.write(who, warmup)
    await on.done(server)
    await asyncio.sleep(SETTLE_SECONDS)
    begin = await on.progress.ends(SOURCE_TOPICS)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        await on.write(who, events)
    finally:
        os.kill(server.pid, signal.SIGCONT)
    cpu, started = cpu_seconds(server.pid), time.monotonic()
    await on.done(server)
    return row("backlog", server.name, events, cpu=cpu_seconds(server.pid) - cpu, seconds=time.monotonic() - started), begin


async def paced(on: Stage, server: Server, who: Roster, rate: float, seconds: float) -> Row:
    """Write evenly, and listen at the unified topic."""
    async with Child("bench.produce") as producer, Child("bench.tailing") as tail:
        ends = await on.progress.ends([server.unified])
        start = [offset for _, offset in sorted(ends.items())]
        await tail.ask(brokers=on.brokers, topic=server.unified, start=start, run=who.run)
        await on.order(producer, who, rate=rate, events=round(rate * seconds), warmup=round(rate * PACED_WARMUP_SECONDS))
        cpu, started = cpu_seconds(server.pid), time.monotonic()
        await producer.tell()
        await asyncio.sleep(seconds)
        in_window, took = cpu_seconds(server.pid) - cpu, time.monotonic() - started
        left = await on.left(server)
        done = await producer.hear()
        await on.done(server)
        all_of_it = cpu_seconds(server.pid) - cpu
        seen = await tail.ask(since=done["since"])
    found = row(f"{rate:g}/s", server.name, round(rate * seconds), cpu=in_window, seconds=took, left=left, times=seen)
    # Until the last is folded: a program that falls behind has not paid for all of them when the window ends.
    found["CPU us/event"] = all_of_it / round(rate * seconds) * 1e6
    return found


async def idle(server: Server, seconds: float) -> Row:
    """Do nothing."""
    await asyncio.sleep(SETTLE_SECONDS)
    cpu, started = cpu_seconds(server.pid), time.monotonic()
    await asyncio.sleep(seconds)
    return row("idle", server.name, 0, cpu=cpu_seconds(server.pid) - cpu, seconds=time.monotonic() - started)


async def floor(on: Stage, begin: dict[TopicPartition, int], events: int) -> Row:
    """What aiokafka alone takes for the backlog that begins there."""
    await make_own(on.brokers, {FLOOR_TOPIC: "delete"})
    async with Child("bench.floor") as child:
        start = [(tp.topic, tp.partition, offset) for tp, offset in begin.items()]
        await child.ask(brokers=on.brokers, topic=FLOOR_TOPIC, start=start, events=events)
        found = await child.ask()
    return row("backlog", "aiokafka alone", found["events"], cpu=found["cpu"], seconds=found["seconds"])


@dataclass(slots=True, frozen=True)
class Wanted:
    """What is to be measured."""

    peers: list[str]
    events: int
    rates: list[float]
    seconds: float
    idle: float
    repeat: int


async def compare(wanted: Wanted) -> list[Row]:
    """Measure each program, so many times in turn."""
    found: list[Row] = []

    def note(one: Row) -> None:
        report.note(one)
        found.append(one)

    async with stage() as on:
        for _ in range(wanted.repeat):
            for peer in wanted.peers:
                who = on.roster(TEAMS, TEAMS)
                plain = peer == "plain-faust"
                async with SERVERS[peer](on.brokers, on.folder / peer) as server:
                    await server.prepare(who)
                    events = wanted.events // PLAIN_EVENTS if plain else wanted.events
                    if events:
                        one, begin = await backlog(on, server, who, events, WARMUP // PLAIN_EVENTS if plain else WARMUP)
                        note(one)
                        if not plain:
                            note(await floor(on, begin, events))
                    if events and isinstance(server, Teamcast):
                        await server.open_views(who)
                        note((await backlog(on, server, who, events, 0))[0] | {"load": "backlog, all watched"})
                        await asyncio.sleep(IDLE_SECONDS + FEEDS_SECONDS)  # until the views are closed again
                    for rate in wanted.rates:
                        note(await paced(on, server, who, rate, wanted.seconds))
                    if wanted.idle:
                        note(await idle(server, wanted.idle))
    return found


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", choices=["teamcast", "plain-faust"])
    parser.add_argument("--events", type=int, default=200_000, help="the backlog, a tenth of it for plain-faust; 0: none")
    parser.add_argument("--rate", action="append", type=float, help="a paced load, events a second; 0: none (default 200 and 1000)")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each paced load")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of doing nothing; 0: none")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rates = [rate for rate in given.rate or [200.0, 1000.0] if rate]
    peers = present(given.peer or ["teamcast", "plain-faust"])
    rows = await compare(Wanted(peers, given.events, rates, given.seconds, given.idle, given.repeat))
    words = f"a backlog of {given.events:,} events of {TEAMS:,} teams; {given.repeat} runs"
    report.publish("pipeline", sorted(rows, key=lambda one: str(one["load"])), keys=2, file=given.json, words=words)


if __name__ == "__main__":
    start(main)
