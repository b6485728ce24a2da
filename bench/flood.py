"""What a flood in one team is to another: the other's p99 while it lasts, beside its quiet p99.

python -m bench.flood [--peer teamcast --peer centrifugo] [--rate 20] [--flood 2000] [--seconds 30] [--repeat 3]

The cold team is on another partition of the unified stream, or on the same. The flooding team's source records are spread over all source
partitions, as its producers like. To a peer that does not key by team the partitions are all one: it has one line less.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from bench import report
from bench.child import Child
from bench.entry import start
from bench.scenarios import Roster
from bench.servers import SERVERS, Server, present
from bench.stage import Stage, connect, received, stage
from tests.kafka.ids import partition_of

WARMUP_SECONDS = 2.0
TEAMS = 200
"""To choose from, so that two are found on the partitions that are wanted."""


def pair(who: Roster, same: bool) -> tuple[int, int]:
    """Indexes of two teams on the same partition of the unified stream, or on different ones."""
    places = [partition_of(f"team:{who.team_id(index)}") for index in range(who.teams)]
    return 0, next(index for index in range(1, who.teams) if (places[index] == places[0]) is same)


async def run(on: Stage, server: Server, *, rate: float, flood: float, seconds: float, same: bool | None) -> dict[str, Any]:
    """Listen to a cold team, with a flood beside it, or without."""
    who = on.roster(TEAMS, TEAMS)
    await server.prepare(who)
    cold, hot = pair(who, bool(same))
    warmup, total = round(rate * WARMUP_SECONDS), round(rate * seconds)
    many = round(flood * (seconds + WARMUP_SECONDS))
    async with (
        Child("bench.load") as load,
        Child("bench.load") as crowd,
        Child("bench.produce") as producer,
        Child("bench.produce") as flooding,
    ):
        await connect(load, server, who, events=warmup + total, clients=[cold])
        await connect(crowd, server, who, events=many, clients=[hot])
        await on.order(producer, who, rate=rate, events=total, warmup=warmup, indexes=[cold], channels=server.channels_header)
        if same is not None:
            await on.order(flooding, who, rate=flood, events=many, indexes=[hot], channels=server.channels_header)
            await flooding.tell()
            await asyncio.sleep(WARMUP_SECONDS)
        await producer.tell()
        done = await producer.hear()
        if same is not None:
            await flooding.hear()
        await received(load, warmup + total)
        seen = await load.ask(do="report", counts=done["counts"], since=done["since"])
        found = await received(crowd, many if same is not None else 0)
    return {
        "server": server.name,
        "a flood": "none" if same is None else "on the same partition" if same else "on another partition",
        "p50 ms": seen["p50_ms"],
        "p99 ms": seen["p99_ms"],
        "p99.9 ms": seen["p999_ms"],
        "flood's deliveries": found["received"],
        "lost": seen["lost"] + (many - found["received"] if same is not None else 0),
    }


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", action="append", choices=sorted(SERVERS), help="teamcast alone, if none is named")
    parser.add_argument("--rate", type=float, default=20.0, help="of the cold team, events a second")
    parser.add_argument("--flood", type=float, default=2000.0, help="of the flooding team, events a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    async with stage() as on:
        for _ in range(given.repeat):
            for peer in present(given.peer or ["teamcast"]):
                async with SERVERS[peer](on.brokers, on.folder / peer) as server:
                    for same in (None, False, True) if server.unified else (None, False):
                        rows.append(await run(on, server, rate=given.rate, flood=given.flood, seconds=given.seconds, same=same))
                        report.note(rows[-1])
    words = f"{given.rate:g} events/s in the cold team, {given.flood:g}/s in the other; {given.repeat} runs of {given.seconds:g} s"
    report.publish("flood", rows, keys=2, file=given.json, words=words)


if __name__ == "__main__":
    start(main)
