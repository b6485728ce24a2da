"""The Autobahn case suite (by kosoku) against the socket: a table, and exit code 1 where a case is worse than is explained.

python -m tests.conformance.runner [--json FILE]
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections import Counter
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import uvloop
from kosoku import FailureError, run_fuzzingclient

from tests.conformance.echo import Echo, FramingEcho, echo_server

GROUPS = {
    "1": "framing",
    "2": "pings and pongs",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "size and speed",
    "10": "fragmented by the server",
    "12": "compression",
    "13": "compression, with parameters",
}


@dataclass(slots=True, frozen=True)
class Verdict:
    """One case."""

    case: str
    behavior: str
    close: str
    code: int | None
    """The close code that the server sent."""
    result: str
    """What the suite says about it, in words."""

    @property
    def good(self) -> bool:
        """Whether nothing is to be explained."""
        return self.behavior in ("OK", "INFORMATIONAL") and self.close in ("OK", "INFORMATIONAL")


@dataclass(slots=True, frozen=True)
class Explained:
    """What is known of a case that is not OK; docs/conformance.md says why."""

    case: str
    behavior: str
    code: int | None = None
    """The close code that it got; ``None``: whatever."""

    def covers(self, verdict: Verdict) -> bool:
        """Whether this is that case, and it came as it is known to come."""
        return fnmatch(verdict.case, self.case) and verdict.behavior == self.behavior and self.code in (None, verdict.code)


EVERYWHERE = (
    Explained("6.4.[1-4]", "NON-STRICT"),
    Explained("7.9.5", "FAILED", 1000),
    Explained("12.*", "UNIMPLEMENTED"),
    Explained("13.*", "UNIMPLEMENTED"),
)
"""Whatever the limits are."""
REFUSED = (
    Explained("1.2.*", "FAILED", 1003),
    Explained("9.[2468].*", "FAILED", 1003),
    Explained("9.*", "FAILED", 1009),
)
"""What /ws refuses on purpose: binary messages, and those over 64 KiB."""


async def run(connection: type[Echo]) -> list[Verdict]:
    """Every case against one echo."""
    async with echo_server(connection) as url:
        try:
            results: Any = await run_fuzzingclient(url, concurrency=2)
        except FailureError as failure:
            results = failure.results
    return [Verdict(one.case_id, one.behavior.value, one.behavior_close.value, one.remote_close_code, one.result) for one in results]


def table(verdicts: list[Verdict]) -> str:
    """How many cases of each group ended how."""
    kinds = sorted({one.behavior for one in verdicts}, key=["OK", "INFORMATIONAL", "NON-STRICT", "UNIMPLEMENTED", "FAILED", "ERROR"].index)
    lines = [f"| Cases | | {' | '.join(kinds)} |", f"| --- | --- | {' | '.join('---:' for _ in kinds)} |"]
    for group, name in GROUPS.items():
        counts = Counter(one.behavior for one in verdicts if one.case.split(".")[0] == group)
        if counts:
            lines.append(f"| {group}.* | {name} | {' | '.join(str(counts[kind] or '') for kind in kinds)} |")
    total = Counter(one.behavior for one in verdicts)
    return "\n".join([*lines, f"| all | {len(verdicts)} | {' | '.join(str(total[kind]) for kind in kinds)} |"])


async def main() -> int:
    """Run both and say what came."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--json", type=Path, help="where to write every verdict")
    arguments = parser.parse_args()
    found = {"framing": await run(FramingEcho), "socket": await run(Echo)}
    bad = 0
    for name, known in (("framing", EVERYWHERE), ("socket", EVERYWHERE + REFUSED)):
        worse = [one for one in found[name] if not one.good]
        unexplained = [one for one in worse if not any(entry.covers(one) for entry in known)]
        print(f"\n{name}\n\n{table(found[name])}\n\nexplained: {len(worse) - len(unexplained)}, not explained: {len(unexplained)}")
        for one in unexplained:
            print(f"{one.case}: {one.behavior}, closing {one.close} with {one.code}: {one.result}")
        bad += len(unexplained)
    if arguments.json:
        arguments.json.write_text(
            json.dumps({name: [[one.case, one.behavior, one.close, one.code] for one in ones] for name, ones in found.items()})
        )
    return 1 if bad else 0


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        raise SystemExit(runner.run(main()))
