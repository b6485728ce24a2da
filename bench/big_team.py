"""A team with very many listeners beside ordinary ones: what its deliveries are to the others.

python -m bench.big_team [--listeners 19000] [--big-rate 5] [--teams 20] [--clients 200] [--rate 100] [--seconds 10] [--repeat 3]

The run without is the same, but the large team is silent; its listeners are there in both.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds
from bench.scenarios import Roster
from bench.servers.teamcast import Teamcast
from bench.stage import connect, delivered, received, stage

WARMUP_SECONDS = 2.0


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--listeners", type=int, default=19_000, help="one process may hold 20,000 open files on many machines")
    parser.add_argument("--big-rate", type=float, default=5.0, help="events a second in the large team")
    parser.add_argument("--teams", type=int, default=20)
    parser.add_argument("--clients", type=int, default=200, help="of all other teams")
    parser.add_argument("--rate", type=float, default=100.0, help="events a second in all other teams")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    warmup, total = round(given.rate * WARMUP_SECONDS), round(given.rate * given.seconds)
    many = round(given.big_rate * given.seconds)
    async with (
        stage(given.listeners + given.clients) as on,
        Teamcast(on.brokers, on.folder / "worker") as server,
        Child("bench.load") as crowd,
    ):
        large = on.roster(given.listeners, 1)
        await server.prepare(large)
        await connect(crowd, server, large, events=many * given.repeat)
        so_far = 0
        for _ in range(given.repeat):
            for loud in (False, True):
                others = on.roster(given.clients, given.teams)
                await server.prepare(others)
                async with Child("bench.load") as load, Child("bench.produce") as producer, Child("bench.produce") as shouting:
                    await connect(load, server, others, events=(warmup + total) // given.teams + 1)
                    await on.order(producer, others, rate=given.rate, events=total, warmup=warmup)
                    if loud:
                        # Numbers go on where the last run ended: an event is told from all others of its team.
                        again = Roster(large.run, large.first_team, 1, large.first_user, large.clients)
                        await on.order(shouting, again, rate=given.big_rate, events=many, first=so_far)
                        so_far += many
                    cpu = cpu_seconds(server.pid)
                    if loud:
                        await shouting.tell()
                    await producer.tell()
                    done = await producer.hear()
                    if loud:
                        await shouting.hear()
                    await delivered(load, others, done["counts"])
                    found = await received(crowd, so_far * given.listeners)
                    seen = await load.ask(do="report", counts=done["counts"], since=done["since"])
                    big = await crowd.ask(do="report", counts=[so_far], since=done["since"])
                rows.append(
                    {
                        "large team": f"{given.big_rate:g} events/s" if loud else "silent",
                        "others' p50 ms": seen["p50_ms"],
                        "others' p99 ms": seen["p99_ms"],
                        "large team's p50 ms": big["p50_ms"] if loud else 0.0,
                        "large team's p99 ms": big["p99_ms"] if loud else 0.0,
                        "CPU s": cpu_seconds(server.pid) - cpu,
                        "lost": seen["lost"] + so_far * given.listeners - found["received"],
                    }
                )
                report.note(rows[-1])
    words = f"{given.listeners:,} listeners; {given.clients} others in {given.teams} teams at {given.rate:g} events/s; {given.repeat} runs"
    report.publish("big_team", rows, file=given.json, words=words)


if __name__ == "__main__":
    start(main)
