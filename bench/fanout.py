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
import json
import random
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from bench.brokers import broker
from bench.child import Child
from bench.measure import cpu_seconds, machine, rss_mb
from bench.scenarios import SCENARIOS, Roster, Scenario, roster
from bench.servers import SERVERS, Server, present

WARMUP_SECONDS = 3.0
FLOOD_WARMUP = 2000
DELIVERED_SECONDS = 60.0
"""After the last event was written: what has not come by then is lost, as far as this benchmark goes."""
LOOK_SECONDS = 0.05
SAMPLES = 200


@dataclass(slots=True, frozen=True)
class Run:
    """What one run came to."""

    peer: str
    scenario: str
    deliveries: int
    """In the window."""
    cpu_seconds: float
    """Of the server, in the window."""
    per_cpu_second: float
    cores: float
    """CPU seconds a second."""
    produced_per_second: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    lost: int
    duplicated: int
    foreign: int
    closed: int
    kb_per_connection: float
    rss_mb: float
    connects_per_second: float
    clients_cpu_seconds: float


async def run(server: Server, brokers: str, scenario: Scenario, who: Roster, *, seconds: float, drain_ms: float) -> Run:
    """Measure a server that runs."""
    warmup = FLOOD_WARMUP if scenario.flood else round(scenario.rate * WARMUP_SECONDS)
    total = scenario.total(seconds)
    await server.prepare(who)
    async with Child("bench.load") as load, Child("bench.produce") as producer:
        before = rss_mb(server.pid)
        connected = await load.ask(
            do="connect",
            port=server.port,
            dialect=server.dialect,
            run=who.run,
            users=[(who.user_id(client), who.team_of(client)) for client in range(who.clients)],
            teams=[who.team_id(index) for index in range(who.teams)],
            events=(warmup + total) // who.teams + 1,
            samples=SAMPLES,
            drain_ms=drain_ms,
        )
        kb_per_connection = (rss_mb(server.pid) - before) * 1024 / who.clients
        await producer.tell(
            brokers=brokers,
            run=who.run,
            teams=[who.team_id(index) for index in range(who.teams)],
            owners=[who.owner_id(index) for index in range(who.teams)],
            members=[who.user_id(index) for index in range(who.teams)],
            rate=scenario.rate,
            warmup=warmup,
            events=total,
            channels=server.channels_header,
        )
        await producer.hear()
        await producer.tell()
        warm = await producer.hear()
        if scenario.flood:
            await delivered(load, who, warm["counts"])
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
    return Run(
        peer=server.name,
        scenario=scenario.name,
        deliveries=deliveries,
        cpu_seconds=cpu,
        per_cpu_second=deliveries / cpu if cpu else 0.0,
        cores=cpu / took,
        produced_per_second=total / (done["until"] - done["since"]) * 1e6,
        p50_ms=seen["p50_ms"],
        p99_ms=seen["p99_ms"],
        p999_ms=seen["p999_ms"],
        max_ms=seen["max_ms"],
        lost=seen["lost"],
        duplicated=seen["duplicated"],
        foreign=seen["foreign"],
        closed=seen["closed"],
        kb_per_connection=kb_per_connection,
        rss_mb=rss_mb(server.pid),
        connects_per_second=who.clients / connected["seconds"],
        clients_cpu_seconds=clients_cpu,
    )


async def delivered(load: Child, who: Roster, counts: list[int]) -> dict[str, Any]:
    """Wait until every client has had every event; not for ever."""
    wanted = sum(count * who.listeners(index) for index, count in enumerate(counts))
    deadline = time.monotonic() + DELIVERED_SECONDS
    while True:
        seen = await load.ask(do="count")
        if seen["received"] >= wanted or time.monotonic() > deadline:
            return seen
        await asyncio.sleep(LOOK_SECONDS)


COLUMNS = (
    ("deliveries", "deliveries", "{:,.0f}"),
    ("per CPU second", "per_cpu_second", "{:,.0f}"),
    ("cores", "cores", "{:.2f}"),
    ("p50 ms", "p50_ms", "{:.1f}"),
    ("p99 ms", "p99_ms", "{:.1f}"),
    ("p99.9 ms", "p999_ms", "{:.1f}"),
    ("lost", "lost", "{:,.0f}"),
    ("twice", "duplicated", "{:,.0f}"),
    ("KB/connection", "kb_per_connection", "{:.1f}"),
    ("connects/s", "connects_per_second", "{:,.0f}"),
)


def table(runs: list[Run]) -> str:
    """Medians of the runs of each scenario and peer, as Markdown. Lost and twice are the worst."""
    lines = [
        "| scenario | peer | " + " | ".join(title for title, _, _ in COLUMNS) + " |",
        "| --- | --- |" + " ---: |" * len(COLUMNS),
    ]
    for scenario, peer in dict.fromkeys((one.scenario, one.peer) for one in runs):
        these = [one for one in runs if (one.scenario, one.peer) == (scenario, peer)]
        cells = []
        for _, field, form in COLUMNS:
            values = [getattr(one, field) for one in these]
            cells.append(form.format(max(values) if field in ("lost", "duplicated") else median(values)))
        lines.append(f"| {scenario} | {peer} | {' | '.join(cells)} |")
    return "\n".join(lines)


async def compare(names: list[str], peers: list[str], *, seconds: float, repeat: int, drain_ms: float) -> list[Run]:
    """Measure each scenario with each peer, so many times in turn."""
    found: list[Run] = []
    number = random.randrange(1, 9000)  # noqa: S311  (no secret: tells runs apart)  # nosec B311
    async with AsyncExitStack() as stack:
        name = stack.enter_context(tempfile.TemporaryDirectory())
        brokers = await stack.enter_async_context(broker(Path(name)))
        for name_of in names:
            for _ in range(repeat):
                for peer in peers:
                    number = number % 9000 + 1
                    scenario = SCENARIOS[name_of]
                    async with SERVERS[peer](brokers, Path(name) / peer) as server:
                        one = await run(server, brokers, scenario, roster(scenario, number), seconds=seconds, drain_ms=drain_ms)
                    print(table([one]).splitlines()[-1], file=sys.stderr, flush=True)
                    found.append(one)
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
    line = machine()
    names, peers = given.scenario or sorted(SCENARIOS), present(given.peer or list(SERVERS))
    runs = await compare(names, peers, seconds=given.seconds, repeat=given.repeat, drain_ms=given.drain_ms)
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps({"machine": line, "runs": [asdict(one) for one in runs]}, indent=1), encoding="utf-8")
    print(f"{line}\n{len(runs)} runs, {given.seconds:g} s each; medians\n")
    for name in names:
        print(f"{name}: {SCENARIOS[name].what}")
    print("\n" + table(runs))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
