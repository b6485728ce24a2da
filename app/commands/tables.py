"""``tables``: the rows that the workers keep."""

from __future__ import annotations

from typing import Any

import click
import orjson
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.output import JSON_OPTION, print_json, print_table, say
from app.commands.worker_api import URL_OPTION, worker_api

NAMES = ("teams", "members", "tasks", "users")

OPTIONS = (
    argument("name", type=click.Choice(NAMES), required=False, metavar="[teams|members|tasks|users]"),
    argument("prefix", default="", metavar="[PREFIX]"),
    option("--limit", type=click.IntRange(1, 1_000_000), default=100, help="Rows at most. Default 100."),
    URL_OPTION,
    JSON_OPTION,
)


async def run(self: Command, name: str | None, prefix: str, limit: int, url: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """Show the tables' sizes, or rows of one whose key begins with PREFIX.

    Keys: teams 42; members 42/7 (team, user); tasks 42/1001 (team, task) or user:7/1001 (their own); users 7.
    """
    as_json = as_json or self.json
    async with worker_api(self.settings, url) as api:
        if name is None:
            found = await api.get("/api/tables") or {"tables": []}
            if as_json:
                print_json(found)
            else:
                print_table(("Table", ">Rows"), [(one["name"], one["rows"]) for one in found["tables"]])
            return
        rows = [row async for row in api.pages(name, prefix, limit + 1)]
    more = len(rows) > limit
    rows = rows[:limit]
    if as_json:
        print_json({"rows": rows, "more": more})
        return
    print_table(
        ("Key", "Value", ">Partition", "Worker"), [(row["key"], _text(row["value"]), row["partition"], row["worker"]) for row in rows]
    )
    if more:
        say(f"There are more than {limit:,}; --limit shows more.")


def _text(value: Any) -> str:
    return orjson.dumps(value).decode()
