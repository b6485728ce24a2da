"""Fan-out: source record in Kafka to frame at every socket of the team, with what each delivery costs the server.

python -m bench.fanout --scenario A [--scenario F] --peer teamcast [--peer centrifugo] [--seconds 10] [--repeat 3] [--json FILE]

Everything is of this machine: the broker, one server process, the producer, and the clients, each in a process of its own. CPU
seconds are the server's, user and system, out of /proc. Times are from the producer's call to the read at a client. Of a paced
scenario a window is measured, of a flood all of it, until the last client has the last event. Peers take turns within a
repetition. Lines are medians.
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
from bench.scenarios import SCENARIOS, Roster, Scenario
from bench.servers import SERVERS, Server, present
from bench.stage import Stage, connect, delivered, stage

WARMUP_SECONDS = 3.0
FLOOD_WARMUP = 2000

Row = dict[str, Any]


async def run(on: Stage, server: Server, scenario: Scenario, who: Roster, *, seconds: float, drain_ms: float) -> Row:
    """Measure a server that runs."""
    warmup = FLOOD_WARMUP if scenario.flood else round(scenario.rate * WARMUP_SECONDS)
    total = scenario.total(seconds)
    await server.prepare(who)
    async with Child("bench.load") as load, Child("bench.produce") as producer:
        before = rss_mb(server.pid)
        connected = await connect(load, server, who, events=(warmup + total) // who.teams + 1, drain_ms=drain_ms)
        kb_per_connection = (rss_mb(server.pid) - before) * 1024 / who.clients
        warm = await on.order(producer, who, rate=scenario.rate, events=total, warmup=warmup, channels=server.channels_header)
        if scenario.flood:
            await delivered(load, who, warm)
        begun = await load.ask(do="count")
        cpu, clients_cpu, started = cpu_seconds(server.pid), load.cpu_seconds, time.monotonic()
        await producer.tell()
        if scenario.flood:
            done = await producer.hear()
            ended = await delivered(load, who, done["counts"])
        else:
            await asyncio.sleep(seconds)
            ended = await load.ask(do="count")
        cpu, took = cpu_seconds(server.pid) - cpu, time.monotonic() - started
        clients_cpu = load.cpu_seconds - clients_cpu
        if not scenario.flood:
            done = await producer.hear()
            await delivered(load, who, done["counts"])
        seen = await load.ask(do="report", counts=done["counts"], since=done["since"])
    deliveries = ended["received"] - begun["received"]
    return {
        "scenario": scenario.name,
        "server": server.name,
        "deliveries": deliveries,
        "per CPU second": deliveries / cpu if cpu else 0.0,
        "cores": cpu / took,
        "p50 ms": seen["p50_ms"],
        "p99 ms": seen["p99_ms"],
        "p99.9 ms": seen["p999_ms"],
        "lost": seen["lost"],
        "twice": seen["duplicated"] + seen["foreign"],
        "closed": seen["closed"],
        "KB/connection": kb_per_connection,
        "connects/s": who.clients / connected["seconds"],
        "clients' cores": clients_cpu / took,
        "events/s": total / (done["until"] - done["since"]) * 1e6,
    }


async def compare(names: list[str], peers: list[str], *, seconds: float, repeat: int, drain_ms: float) -> list[Row]:
    """Measure each scenario with each peer, so many times in turn."""
    found: list[Row] = []
    async with stage() as on:
        for scenario in (SCENARIOS[name] for name in names):
            for _ in range(repeat):
                for peer in peers:
                    who = on.roster(scenario.clients, scenario.teams)
                    async with SERVERS[peer](on.brokers, on.folder / peer) as server:
                        found.append(await run(on, server, scenario, who, seconds=seconds, drain_ms=drain_ms))
                    report.note(found[-1])
    return found


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", action="append", choices=sorted(SCENARIOS))
    parser.add_argument("--peer", action="append", choices=sorted(SERVERS))
    parser.add_argument("--seconds", type=float, default=10.0, help="length of the window of a paced scenario")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--drain-ms", type=float, default=0.0, help="read most clients only so often: what the clients cost is little then")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    names = given.scenario or sorted(SCENARIOS)
    peers = present(given.peer or list(SERVERS))
    runs = await compare(names, peers, seconds=given.seconds, repeat=given.repeat, drain_ms=given.drain_ms)
    words = "; ".join(f"{name}: {SCENARIOS[name].what}" for name in names)
    report.publish("fanout", runs, keys=2, file=given.json, words=f"{given.repeat} runs, {given.seconds:g} s each. {words}")


if __name__ == "__main__":
    start(main)
