"""``trace``: one event, followed through the system."""

from __future__ import annotations

import time

import click
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.output import JSON_OPTION, print_json, print_table, say
from app.commands.since import since_option
from app.commands.tracing import Bounds, Trace, follow
from app.commands.worker_api import URL_OPTION, worker_api
from app.domain.timestamps import time_text
from app.errors import TeamcastError
from app.kafka.reading import Log

SCAN = 200_000

OPTIONS = (
    argument("event_id", metavar="EVENT_ID"),
    since_option("24h"),
    option("--scan", type=click.IntRange(1, 10_000_000), default=SCAN, help=f"Records of each topic to read at most. Default {SCAN:,}."),
    URL_OPTION,
    JSON_OPTION,
)


async def run(self: Command, event_id: str, since: int | None, scan: int, url: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """Follow one event: source record, unified stream, rows, workers, mails; and say what was not looked at.

    An id that names its record (task.created-3-17-1795428000000) is found directly; a producer's own is searched for in what --since says.
    Exit code 1 when nothing is found.
    """
    async with worker_api(self.settings, url) as api, Log(self.settings) as log:
        trace = await follow(log, api, event_id, Bounds(since, scan, int(time.time() * 1000)))
    start_ms = next((step.time_ms for step in trace.steps if step.time_ms is not None), None)
    if as_json or self.json:
        print_json(
            {
                "eventId": event_id,
                "found": _found(trace),
                "steps": [step.as_json(start_ms) for step in trace.steps],
                "notLookedAt": trace.not_looked,
            }
        )
    else:
        _print(trace, start_ms)
    if not _found(trace):
        raise TeamcastError(f"{event_id} was not found")


def _found(trace: Trace) -> bool:
    return any(step.time_ms is not None for step in trace.steps)


def _print(trace: Trace, start_ms: int | None) -> None:
    rows = [
        (
            step.step,
            step.where,
            time_text(step.time_ms),
            None if step.time_ms is None or start_ms is None else f"{step.time_ms - start_ms:+,} ms",
            step.what,
        )
        for step in trace.steps
    ]
    print_table(("Step", "Where", "Time", ">After", "What"), rows)
    for line in trace.not_looked:
        say(f"Not looked at: {line}")
