"""Connection set-up: how many a second one process takes, and what an idle one costs it.

python -m bench.connections [--peer teamcast] [--peer centrifugo] [--clients 10000] [--teams 100] [--idle 10] [--repeat 3]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds, rss_mb
from bench.scenarios import Roster
from bench.servers import SERVERS, Server, present
from bench.stage import connect, stage

KIB = 1024


async def run(server: Server, who: Roster, idle: float) -> dict[str, Any]:
    """Connect everybody, and look at what it costs that they are there."""
    await server.prepare(who)
    async with Child("bench.load") as load:
        before, cpu = rss_mb(server.pid), cpu_seconds(server.pid)
        connected = await connect(load, server, who, events=1)
        cpu = cpu_seconds(server.pid) - cpu
        still, began = cpu_seconds(server.pid), time.monotonic()
        await asyncio.sleep(idle)
        still, took = cpu_seconds(server.pid) - still, time.monotonic() - began
        seen = await load.ask(do="report", counts=[0] * who.teams, since=0)
        return {
            "server": server.name,
            "connections": connected["clients"],
            "connects/s": who.clients / connected["seconds"],
            "per CPU second": who.clients / cpu,
            "KB each, idle": (rss_mb(server.pid) - before) * KIB / who.clients,
            "cores, idle": still / took,
            "closed": seen["closed"],
        }


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", choices=sorted(SERVERS))
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--teams", type=int, default=100)
    parser.add_argument("--idle", type=float, default=10.0, help="seconds; beyond 25 heartbeats are in it")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage(given.clients) as on:
        for _ in range(given.repeat):
            for peer in present(given.peer or ["teamcast", "centrifugo"]):
                async with SERVERS[peer](on.brokers, on.folder / peer) as server:
                    rows.append(await run(server, on.roster(given.clients, given.teams), given.idle))
                report.note(rows[-1])
    report.publish(
        "connections", rows, keys=2, file=given.json, words=f"{given.clients:,} clients of {given.teams} teams; {given.repeat} runs"
    )


if __name__ == "__main__":
    start(main)
