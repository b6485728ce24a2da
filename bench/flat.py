"""What an event costs as teams, members and listeners of other teams grow: it must stay flat.

python -m bench.flat [--events 50000] [--repeat 3]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench import report
from bench.entry import start
from bench.pipeline import backlog
from bench.servers.teamcast import Teamcast
from bench.stage import stage

SIZES = ((10, 10), (100, 10), (1000, 10), (10_000, 1), (10, 1000), (10, 4000))
"""Teams, and members of each."""


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage() as on:
        for _ in range(given.repeat):
            for teams, members in SIZES:
                async with Teamcast(on.brokers, on.folder / "worker") as server:
                    who = on.roster(teams * members, teams)
                    await server.prepare(who)
                    one, _begin = await backlog(on, server, who, given.events)
                rows.append({"teams": teams, "members of each": members, "events/s": one["events/s"], "CPU us/event": one["CPU us/event"]})
                report.note(rows[-1])
    report.publish("flat", rows, keys=2, file=given.json, words=f"a backlog of {given.events:,} events; {given.repeat} runs")


if __name__ == "__main__":
    start(main)
