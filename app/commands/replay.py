"""``replay``: one team's history, as the log has it."""

from __future__ import annotations

from collections import deque
from typing import Any

import click
import orjson
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.keys import key_of
from app.commands.output import JSON_OPTION, print_json, print_table, say
from app.commands.since import since_option
from app.kafka.reading import Log
from delivery.history import History, Told

OPTIONS = (
    argument("team", metavar="TEAM"),
    since_option("earliest"),
    option("--limit", type=click.IntRange(1, 1_000_000), default=100, help="Events to show at most, the newest. Default 100."),
    option("--refold", is_flag=True, default=False, help="Also fold them, and show the state that comes of it."),
    JSON_OPTION,
)


async def run(self: Command, team: str, since: int | None, limit: int, refold: bool, as_json: bool) -> None:  # noqa: PLR0917
    """Show one team's events as the log has them, with position and time; TEAM is an id, or user:7.

    Nothing is written, and no other team is touched. With --refold the events are folded, apart from the table, and their state is shown;
    `verify` compares such a state with the table's rows.
    """
    key = key_of(team)
    as_json = as_json or self.json
    async with Log(self.settings) as log:
        history = await History.of(log, key, self.settings.duplicate_window, since_ms=since)
        shown: deque[Told] = deque(maxlen=limit)
        async for one in history.events():
            shown.append(one)
    rebuilt, span = history.rebuilt, history.span
    told = {
        "key": key,
        "partition": span.tp.partition,
        "fromOffset": span.first,
        "toOffset": span.end,
        "whole": history.whole,
        "events": [one.as_json() for one in shown],
        "total": rebuilt.events,
        "skipped": rebuilt.skipped,
    }
    if as_json:
        print_json(told | ({"state": rebuilt.state()} if refold else {}))
        return
    _print(told)
    if refold:
        say(orjson.dumps(rebuilt.state(), option=orjson.OPT_INDENT_2).decode())
        if span.first > 0:
            say("The log does not begin with the first event (or --since left it out): this is the state of these events alone.")


def _print(told: dict[str, Any]) -> None:
    rows = [
        (
            one["position"],
            one["writtenAt"],
            one["type"] + (" (repeat)" if one["repeat"] else ""),
            "" if one["actorId"] is None else str(one["actorId"]),
            one["eventId"],
            orjson.dumps(one["data"]).decode()[:200],
        )
        for one in told["events"]
    ]
    print_table(("Position", "Written at", "Type", ">Actor", "Event id", "Data"), rows)
    where = f"offsets {told['fromOffset']:,} to {told['toOffset']:,} of partition {told['partition']}"
    say(f"{len(rows):,} of {told['total']:,} events of {told['key']}, {where}.")
    if told["skipped"]:
        say(f"{told['skipped']:,} records of this key are no events.")
