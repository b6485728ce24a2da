"""A guard against regressions: what we cost, as a multiple of what cannot be avoided, both measured in the same minute on the same machine.

python -m bench.guard

CPU seconds and no wall clock, ratios and no times: a slow or busy machine changes both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench import report
from bench.child import Child
from bench.entry import start
from bench.measure import cpu_seconds
from bench.pipeline import backlog, floor
from bench.scenarios import Roster
from bench.servers.teamcast import Teamcast
from bench.stage import Stage, connect, delivered, stage

BACKLOG = 10_000
WARMUP = 1000
TEAMS = 100
CLIENTS = 100
FLOOD = 1500
FLOOD_WARMUP = 200

MOST_OF_FLOOR = 32.0
"""CPU of an event in the pipeline, at most this many times that of aiokafka's fetch and send_batch."""
LEAST_OF_SEND_STR = 1.8
"""Deliveries a CPU second, all that the worker does for them included, at least this part of aiohttp's send_str alone."""


@dataclass(slots=True, frozen=True)
class Ratios:
    """What is guarded."""

    of_floor: float
    of_send_str: float

    @property
    def fine(self) -> bool:
        """Whether both are within their bounds."""
        return self.of_floor <= MOST_OF_FLOOR and self.of_send_str >= LEAST_OF_SEND_STR


async def pipeline(on: Stage, server: Teamcast) -> float:
    """CPU of an event, routed and folded, in units of the floor."""
    who = on.roster(TEAMS, TEAMS)
    await server.prepare(who)
    ours, begin = await backlog(on, server, who, BACKLOG, WARMUP)
    least = await floor(on, begin, BACKLOG)
    return float(ours["CPU us/event"] / least["CPU us/event"])


async def fanout(on: Stage, server: Teamcast) -> float:
    """Deliveries a CPU second in a flood, in units of what aiohttp's send_str does."""
    who = on.roster(CLIENTS, 1)
    await server.prepare(who)
    async with Child("bench.load") as load, Child("bench.produce") as producer:
        await connect(load, server, who, events=FLOOD_WARMUP + FLOOD)
        await delivered(load, who, await on.order(producer, who, rate=0, events=FLOOD, warmup=FLOOD_WARMUP))
        cpu = cpu_seconds(server.pid)
        done = await producer.ask()
        await delivered(load, who, done["counts"])
        cpu = cpu_seconds(server.pid) - cpu
        seen = await load.ask(do="report", counts=done["counts"], since=0)
        if seen["lost"] or seen["duplicated"] or seen["foreign"]:
            raise AssertionError(f"not every event came once: {seen}")
    return await _send_str(on, who) / cpu


async def _send_str(on: Stage, who: Roster) -> float:
    """CPU seconds that aiohttp takes for as many deliveries."""
    async with Child("bench.load") as load, Child("bench.send_str") as yardstick:
        run = on.roster(0, 0).run
        port = (await yardstick.ask(run=run, team=who.team_id(0), events=FLOOD))["port"]
        users = [(client + 1, 0) for client in range(CLIENTS)]
        await load.ask(
            do="connect",
            port=port,
            dialect="team",
            run=run,
            users=users,
            teams=[who.team_id(0)],
            events=FLOOD,
            samples=1,
            drain_ms=0.0,
        )
        found: float = (await yardstick.ask())["cpu"]
        await delivered(load, who, [FLOOD])
    return found


async def measure(on: Stage) -> Ratios:
    """Both ratios, once."""
    async with Teamcast(on.brokers, on.folder / "worker") as server:
        return Ratios(await pipeline(on, server), await fanout(on, server))


async def main() -> None:
    """Measure once, and print."""
    async with stage() as on:
        found = await measure(on)
    row = {"CPU of an event / aiokafka's": found.of_floor, "at most": MOST_OF_FLOOR}
    row |= {"deliveries a CPU second / send_str's": found.of_send_str, "at least": LEAST_OF_SEND_STR}
    report.publish("guard", [row], keys=0)


if __name__ == "__main__":
    start(main)
