"""A reconnect storm: one of two workers is restarted under its half of the rich clients; what the other half notices.

python -m bench.reconnect [--clients 5000] [--teams 1000] [--tasks 1000] [--rate 200] [--spread 5] [--repeat 3]

The run without is the same, but nobody is restarted. Those whose worker goes reconnect where they left off, half to each worker,
spread over so many seconds; every event is looked for at every client, before, during and after.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.child import Child
from bench.entry import start
from bench.events import now_us
from bench.measure import cpu_seconds
from bench.scenarios import Roster
from bench.servers.teamcast import Teamcast
from bench.stage import Stage, connect, received, stage

WARMUP_SECONDS = 3.0
STORM_SECONDS = 20.0
"""What is looked at, from the restart on."""


async def run(on: Stage, stays: Teamcast, goes: Teamcast, who: Roster, *, rate: float, spread: float, storm: bool) -> dict[str, Any]:
    """Measure with, or without."""
    half = range(0, who.clients, 2), range(1, who.clients, 2)
    warmup, total = round(rate * WARMUP_SECONDS), round(rate * STORM_SECONDS)
    most = (warmup + total) // who.teams + 1
    async with Child("bench.load") as staying, Child("bench.load") as going, Child("bench.produce") as producer:
        await connect(staying, stays, who, events=most, dialect="teamcast.v1", clients=list(half[0]))
        await connect(going, goes, who, events=most, dialect="teamcast.v1", clients=list(half[1]))
        warm = await on.order(producer, who, rate=rate, events=total, warmup=warmup)
        for load, clients in ((staying, half[0]), (going, half[1])):
            await received(load, sum(warm[who.team_of(client)] for client in clients))
        cpu, since, moved = cpu_seconds(stays.pid), now_us(), 0.0
        await producer.tell()
        if storm:
            began = time.monotonic()
            await goes.stop()
            goes.worker.start()
            await goes.worker.wait_ready()
            ready = time.monotonic() - began
            back = await going.ask(do="reconnect", dialect="teamcast.v1", ports=[stays.port, goes.port], seconds=spread)
            moved = back["seconds"]
        done = await producer.hear()
        for load, clients in ((staying, half[0]), (going, half[1])):
            await received(load, sum(done["counts"][who.team_of(client)] for client in clients))
        seen = await staying.ask(do="report", counts=done["counts"], since=since)
        others = await going.ask(do="report", counts=done["counts"], since=since)
        return {
            "run": "one of two workers restarted" if storm else "without",
            "p50 ms": seen["p50_ms"],
            "p99 ms": seen["p99_ms"],
            "p99.9 ms": seen["p999_ms"],
            "worker's CPU s": cpu_seconds(stays.pid) - cpu,
            "restart s": ready if storm else 0.0,
            "reconnected in s": moved,
            "lost": seen["lost"] + others["lost"],
            "twice": seen["duplicated"] + others["duplicated"],
        }


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--tasks", type=int, default=1000, help="of each team")
    parser.add_argument("--rate", type=float, default=200.0, help="events a second, over all teams")
    parser.add_argument("--spread", type=float, default=5.0, help="seconds over which clients reconnect")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage() as on, Teamcast(on.brokers, on.folder / "a") as stays, Teamcast(on.brokers, on.folder / "b") as goes:
        who = on.roster(given.clients, given.teams)
        await stays.prepare(who)
        await on.write(who, given.teams * given.tasks, create=True)
        await on.done(stays)
        for _ in range(given.repeat):
            for storm in (False, True):
                # Another run of the same teams: its marks are told from those of the last.
                again = Roster(on.roster(0, 0).run, who.first_team, who.teams, who.first_user, who.clients)
                rows.append(await run(on, stays, goes, again, rate=given.rate, spread=given.spread, storm=storm))
                report.note(rows[-1])
    words = f"{given.clients:,} rich clients, {given.teams:,} teams of {given.tasks:,} tasks, {given.rate:g} events/s; {given.repeat} runs"
    report.publish("reconnect", rows, file=given.json, words=words)


if __name__ == "__main__":
    start(main)
