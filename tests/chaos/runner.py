"""Fault rounds that anyone can repeat: ``python -m tests.chaos.runner --rounds 40 --seed 1``."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.cluster import Cluster
from tests.chaos.faults import BY_NAME, FAULTS, Fault
from tests.chaos.round import Result, run_round
from tests.chaos.verdict import KINDS


def schedule(rounds: int, seed: int, faults: Sequence[Fault] = FAULTS) -> list[Fault]:
    """So many faults: all kinds in turn, every turn in an order of its own."""
    chance = random.Random(seed)
    found: list[Fault] = []
    while len(found) < rounds:
        found += chance.sample(faults, len(faults))
    return found[:rounds]


async def play(faults: Sequence[Fault], seed: int, workers: int, folder: Path, app: str = "app") -> list[Result]:
    """Play rounds on one cluster, and print each."""
    results = []
    async with Cluster(folder, app=app).running(workers) as cluster:
        for number, fault in enumerate(faults):
            result = await run_round(cluster, number, fault, seed, folder)
            results.append(result)
            try:
                await cluster.ready()
            except AssertionError as error:
                # What an operator would do by now, so that the next round begins with a cluster that works.
                result.findings.append(f"killed, because it did not become ready: {error}"[:1500])
                for slot in cluster.live:
                    slot.kill()
                await cluster.ready()
            print(json.dumps(result.as_json()), flush=True)
            print(result.human(), flush=True)
            for finding in result.findings[:10]:
                print(f"     {finding[:600]}", flush=True)
    return results


def table(results: Sequence[Result]) -> str:
    """Counts and recovery times by fault."""
    lines = [f"{'fault':30s} rounds  red  {'  '.join(KINDS)}  recovery median/worst (s)  delivered"]
    for name in sorted({result.fault for result in results}):
        own = [result for result in results if result.fault == name]
        counts = "  ".join(f"{sum(one.counts.get(kind, 0) for one in own):{len(kind)}d}" for kind in KINDS)
        middle = sorted(one.recovery for one in own)[len(own) // 2]
        worst = max(one.recovery_max for one in own)
        red = sum(not one.clean for one in own)
        lines.append(f"{name:30s} {len(own):6d} {red:4d}  {counts}  {middle:14.1f} / {worst:5.1f}  {sum(one.delivered for one in own):14d}")
    return "\n".join(lines)


def main() -> int:
    """The command line; 1 when a round is red."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fault", action="append", choices=sorted(BY_NAME), help="only these")
    parser.add_argument("--folder", type=Path, help="where logs and the evidence of red rounds are kept; by default a new temporary one")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="teamcast-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"logs and evidence in {folder}", flush=True)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its complaints about a broker that is meant to be gone
    faults = schedule(arguments.rounds, arguments.seed, [BY_NAME[name] for name in arguments.fault] if arguments.fault else FAULTS)
    results = asyncio.run(play(faults, arguments.seed, arguments.workers, folder))
    print(table(results))
    return int(not all(result.clean for result in results))


if __name__ == "__main__":
    sys.exit(main())
