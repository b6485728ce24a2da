"""After an outage: how routing, folding and delivery share the worker while a large backlog is read.

python -m bench.catchup [--events 500000] [--listeners 100] [--teams 1000] [--repeat 1]

The worker is held (SIGSTOP) while the backlog is written. It is fair when what is folded and delivered keeps pace with what is
routed, instead of waiting until all is.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds, rss_mb
from bench.servers.teamcast import Teamcast
from bench.stage import Stage, connect, stage

MARKS = (0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
LOOK_SECONDS = 0.25
STUCK_SECONDS = 120.0


async def run(on: Stage, server: Teamcast, *, events: int, teams: int, listeners: int) -> list[dict[str, Any]]:
    """One outage: a row for each part of the backlog that has been routed."""
    who = on.roster(listeners, teams)
    await server.prepare(who)
    await on.done(server)
    async with Child("bench.load") as load:
        await connect(load, server, who, events=events // teams + 1)
        source, unified = await on.progress.ends(SOURCE_TOPICS), await on.progress.ends([UNIFIED])
        os.kill(server.pid, signal.SIGSTOP)
        try:
            await on.write(who, events)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        began, cpu, peak = time.monotonic(), cpu_seconds(server.pid), 0.0
        due = sum(len(range(who.team_of(client), events, teams)) for client in range(listeners))
        marks, rows, last, moved = list(MARKS), [], (0, 0, 0), time.monotonic()
        while marks:
            committed = await on.progress.committed(server.group)
            got = (await load.ask(do="count"))["received"]
            routed = sum(committed.get(tp, offset) - offset for tp, offset in source.items())
            folded = sum(committed.get(tp, offset) - offset for tp, offset in unified.items())
            peak = max(peak, rss_mb(server.pid))
            if (now := (routed, folded, got)) != last:
                last, moved = now, time.monotonic()
            elif time.monotonic() - moved > STUCK_SECONDS:
                raise TimeoutError(f"nothing moves at {now}")
            share = min(routed / events, folded / events if marks == [1.0] else 1.0, got / due if marks == [1.0] else 1.0)
            if share >= marks[0]:
                row = {
                    "routed": f"{marks.pop(0):.0%}",
                    "after s": time.monotonic() - began,
                    "folded %": folded / events * 100,
                    "delivered %": got / due * 100,
                    "CPU s": cpu_seconds(server.pid) - cpu,
                    "RSS peak MB": peak,
                }
                report.note(row)
                rows.append(row)
            await asyncio.sleep(LOOK_SECONDS)
        return rows


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=500_000)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--listeners", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage() as on, Teamcast(on.brokers, on.folder / "worker") as server:
        for _ in range(given.repeat):
            rows += await run(on, server, events=given.events, teams=given.teams, listeners=given.listeners)
    words = f"{given.events:,} events of {given.teams:,} teams, {given.listeners} listeners; {given.repeat} runs"
    report.publish("catchup", rows, file=given.json, words=words)


if __name__ == "__main__":
    start(main)
