"""The comparison, side by side: the fan-out against every peer that is there, and the pipeline against the plain program and the floor.

python -m bench [--seconds 10] [--repeat 3]
"""

from __future__ import annotations

import argparse

from bench import fanout, pipeline, report
from bench.entry import start
from bench.scenarios import SCENARIOS
from bench.servers import SERVERS, present


async def main() -> None:
    """Run both, and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each paced load")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--events", type=int, default=200_000, help="the backlog")
    parser.add_argument("--idle", type=float, default=30.0, help="seconds of doing nothing")
    given = parser.parse_args()
    names, peers = sorted(SCENARIOS), present(list(SERVERS))
    runs = await fanout.compare(names, peers, seconds=given.seconds, repeat=given.repeat, drain_ms=0.0)
    words = "; ".join(f"{name}: {SCENARIOS[name].what}" for name in names)
    report.publish("fanout", runs, keys=2, words=f"{given.repeat} runs, {given.seconds:g} s each. {words}")
    wanted = pipeline.Wanted(["teamcast", "plain-faust"], given.events, [200.0, 1000.0], given.seconds, given.idle, given.repeat)
    rows = sorted(await pipeline.compare(wanted), key=lambda one: str(one["load"]))
    report.publish("pipeline", rows, keys=2, words=f"a backlog of {given.events:,} events; {given.repeat} runs")


if __name__ == "__main__":
    start(main)
