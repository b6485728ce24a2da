"""Snapshots of a large team: over HTTP one after the other, and for many rich clients that subscribe at once.

python -m bench.snapshot [--tasks 10000] [--clients 200] [--repeat 3]
"""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds, rss_mb
from bench.scenarios import Roster
from bench.servers.teamcast import Teamcast
from bench.stage import connect, stage

REQUESTS = 20
SETTLE_SECONDS = 2.0


async def over_http(server: Teamcast, who: Roster) -> dict[str, Any]:
    """GET /api/teams/{id}, one after the other."""
    cpu, times, size = cpu_seconds(server.pid), [], 0
    async with aiohttp.ClientSession(server.worker.url) as session:
        for _ in range(REQUESTS):
            began = time.monotonic()
            async with session.get(f"/api/teams/{who.team_id(0)}") as answer:
                size = len(await answer.read())
            times.append(time.monotonic() - began)
    cpu = (cpu_seconds(server.pid) - cpu) / REQUESTS
    return {
        "how": "GET /api/teams/{id}",
        "at once": 1,
        "KB": size / 1024,
        "ms": median(times) * 1000,
        "CPU ms each": cpu * 1000,
        "RSS MB": rss_mb(server.pid),
    }


async def subscribed(server: Teamcast, who: Roster) -> dict[str, Any]:
    """Rich clients that all ask for it."""
    async with Child("bench.load") as load:
        cpu = cpu_seconds(server.pid)
        found = await connect(load, server, who, events=1, dialect="teamcast.v1")
        before = -1
        while (now := (await load.ask(do="bytes"))["bytes"]) != before:
            before = now
            await asyncio.sleep(SETTLE_SECONDS)
        cpu = (cpu_seconds(server.pid) - cpu) / who.clients
    each = now / who.clients / 1024
    return {
        "how": "subscribe, rich",
        "at once": who.clients,
        "KB": each,
        "ms": found["seconds"] / who.clients * 1000,
        "CPU ms each": cpu * 1000,
        "RSS MB": rss_mb(server.pid),
    }


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage() as on, Teamcast(on.brokers, on.folder / "a") as server:
        who = on.roster(given.clients, 1)
        await server.prepare(who)
        await on.write(who, given.tasks, create=True)
        await on.done(server)
        for _ in range(given.repeat):
            for measured in (over_http, subscribed):
                rows.append(await measured(server, who))
                report.note(rows[-1])
    report.publish(
        "snapshot", rows, file=given.json, words=f"a team of {given.tasks:,} tasks and {given.clients:,} members; {given.repeat} runs"
    )


if __name__ == "__main__":
    start(main)
