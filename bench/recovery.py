"""Recovery: how long a worker takes to restore its tables from nothing, from its own folder, and to take over as a standby.

python -m bench.recovery [--rows 1000000] [--teams 1000]

Empty: the folder is new, so every row comes from the changelog. Own folder: SIGTERM, and started again. Takes over: of two workers one
is killed (SIGKILL); until the other has folded and delivered an event of each team; with a standby that has the rows, and without (its
folder is new, and it has just been started).
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds, rss_mb
from bench.scenarios import Roster
from bench.servers.teamcast import Teamcast
from bench.stage import Stage, connect, delivered, stage

READY_SECONDS = 1800.0


async def begin(server: Teamcast, how: str, rows: int) -> dict[str, Any]:
    """Start a worker, and take the time until it is ready."""
    began = time.monotonic()
    server.worker.start()
    await server.worker.wait_ready(READY_SECONDS)
    took = time.monotonic() - began
    cpu = cpu_seconds(server.pid)
    return {"how": how, "seconds": took, "rows/s": rows / took, "CPU us/row": cpu / rows * 1e6, "RSS MB": rss_mb(server.pid)}


async def take_over(on: Stage, dies: Teamcast, lives: Teamcast, who: Roster, *, how: str, rows: int) -> dict[str, Any]:
    """Kill one; until all that was written after it has reached the clients of the other."""
    again = Roster(on.roster(0, 0).run, who.first_team, who.teams, who.first_user, who.clients)
    async with Child("bench.load") as load, Child("bench.produce") as producer:
        await connect(load, lives, again, events=1)
        await on.order(producer, again, rate=0, events=who.teams)
        began, cpu = time.monotonic(), cpu_seconds(lives.pid)
        dies.worker.kill()
        await producer.tell()
        done = await producer.hear()
        await delivered(load, again, done["counts"])
        await on.done(lives)
        took = time.monotonic() - began
    cpu = cpu_seconds(lives.pid) - cpu
    return {"how": how, "seconds": took, "rows/s": rows / took, "CPU us/row": cpu / rows * 1e6, "RSS MB": rss_mb(lives.pid)}


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []

    def note(row: dict[str, Any]) -> None:
        report.note(row)
        rows.append(row)

    async with stage() as on:
        first, second = Teamcast(on.brokers, on.folder / "a"), Teamcast(on.brokers, on.folder / "b")
        await first.start()
        try:
            who = on.roster(given.teams, given.teams)
            await first.prepare(who)
            await on.write(who, given.rows, create=True)
            await on.done(first)
            await first.stop()
            note(await begin(first, "own folder", given.rows))
            await first.stop()
            shutil.rmtree(first.worker.data_dir)
            note(await begin(first, "empty folder", given.rows))
            note(await begin(second, "second worker, empty folder", given.rows))
            await asyncio.sleep(10)
            note(await take_over(on, first, second, who, how="takes over, with a standby", rows=given.rows))
            shutil.rmtree(first.worker.data_dir)
            await first.start()
            note(await take_over(on, second, first, who, how="takes over, just started", rows=given.rows))
        finally:
            for one in (first, second):
                if one.worker.running:
                    one.worker.kill()
    report.publish("recovery", rows, file=given.json, words=f"{given.rows:,} tasks of {given.teams:,} teams")


if __name__ == "__main__":
    start(main)
