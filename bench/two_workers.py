"""Two workers against one: the same backlog, in the same invocation.

python -m bench.two_workers [--events 200000] [--repeat 3]

On two cores the broker takes its part too, so the wall clock cannot show all of it: CPU an event says whether the second worker
costs the first, and that of the busiest worker what two could do on cores of their own.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from bench import report
from bench.entry import start
from bench.measure import cpu_seconds
from bench.pipeline import SETTLE_SECONDS, TEAMS, WARMUP
from bench.servers.teamcast import Teamcast
from bench.stage import Stage, stage

REBALANCED_SECONDS = 10.0


async def run(on: Stage, workers: int, events: int) -> dict[str, Any]:
    """Measure with so many workers."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(Teamcast(on.brokers, on.folder / f"{number}")) for number in range(workers)]
        who = on.roster(TEAMS, TEAMS)
        await servers[0].prepare(who)
        await asyncio.sleep(REBALANCED_SECONDS)
        await on.write(who, WARMUP)
        await on.done(servers[0])
        await asyncio.sleep(SETTLE_SECONDS)
        for one in servers:
            os.kill(one.pid, signal.SIGSTOP)
        try:
            await on.write(who, events)
        finally:
            for one in servers:
                os.kill(one.pid, signal.SIGCONT)
        before, began = [cpu_seconds(one.pid) for one in servers], time.monotonic()
        await on.done(servers[0])
        took = time.monotonic() - began
        each = [cpu_seconds(one.pid) - cpu for one, cpu in zip(servers, before, strict=True)]
        return {
            "workers": workers,
            "events/s": events / took,
            "CPU us/event": sum(each) / events * 1e6,
            "of the busiest worker": max(each) / events * 1e6,
            "cores": sum(each) / took,
        }


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage() as on:
        for _ in range(given.repeat):
            for workers in (1, 2):
                rows.append(await run(on, workers, given.events))
                report.note(rows[-1])
    report.publish(
        "two_workers", rows, file=given.json, words=f"a backlog of {given.events:,} events of {TEAMS:,} teams; {given.repeat} runs"
    )


if __name__ == "__main__":
    start(main)
