"""``teams``: which there are, how large, and which are busy."""

from __future__ import annotations

import time
from typing import Any

import click
from faust.cli import option

from app.commands.command import Command
from app.commands.output import JSON_OPTION, age_text, print_json, print_table, say
from app.commands.since import since_option
from app.commands.team_activity import Activity, activity
from app.commands.worker_api import URL_OPTION, WorkerApi, worker_api
from app.domain.timestamps import time_text
from app.kafka.reading import Log

SCAN = 100_000
COUNT_MOST = 10_000

OPTIONS = (
    since_option("1h"),
    option("--limit", type=click.IntRange(1, 1000), default=20, help="Teams at most, the busiest first. Default 20."),
    option("--scan", type=click.IntRange(1, 10_000_000), default=SCAN, help=f"Records of the log to read at most. Default {SCAN:,}."),
    URL_OPTION,
    JSON_OPTION,
)


async def run(self: Command, since: int | None, limit: int, scan: int, url: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """List teams with their members and tasks, the busiest of the last hour (--since) first.

    Members and tasks come from a running worker, events from the log. Behind the busy teams the others follow, by their ids as texts.
    """
    as_json = as_json or self.json
    async with worker_api(self.settings, url) as api, Log(self.settings) as log:
        total = next((one["rows"] for one in (await api.get("/api/tables") or {"tables": []})["tables"] if one["name"] == "teams"), 0)
        busy = await activity(log, since, scan)
        names = {int(row["key"]): row["value"]["name"] async for row in api.pages("teams", "", limit)}
        chosen = list(dict.fromkeys([*busy.hottest(), *names]))[:limit]
        teams = [await _team(api, team, busy) for team in chosen]
    if as_json:
        print_json({"teams": teams, "total": total, "recordsNotRead": busy.left_out})
        return
    now_ms = int(time.time() * 1000)
    rows = [
        (
            one["teamId"],
            one["name"] if one["exists"] else "(no such team now)",
            one["members"],
            one["tasks"],
            one["events"],
            one["partition"],
            one["lastEvent"],
            age_text((now_ms - one["lastEventMs"]) / 1000) if one["lastEventMs"] is not None else "",
        )
        for one in teams
    ]
    print_table((">Team", "Name", ">Members", ">Tasks", ">Events", ">Partition", "Last event", ">Ago"), rows)
    say(f"There are {total:,} teams. Events are those since --since; a team without one has had its last event before that.")
    if busy.left_out:
        say(f"{busy.left_out:,} older records were not read; --scan reads more.")


async def _team(api: WorkerApi, team: int, busy: Activity) -> dict[str, Any]:
    row = await api.get(f"/api/tables/teams/{team}")
    seen = busy.teams.get(team)
    return {
        "teamId": team,
        "exists": row is not None,
        "name": None if row is None else row["value"]["name"],
        "members": await _count(api, "members", team),
        "tasks": await _count(api, "tasks", team),
        "events": 0 if seen is None else seen.events,
        "partition": row["partition"] if row is not None else seen.partition if seen is not None else None,
        "lastEvent": None if seen is None else time_text(seen.last_ms),
        "lastEventMs": None if seen is None else seen.last_ms,
    }


async def _count(api: WorkerApi, name: str, team: int) -> int:
    """Rows of a team; of a larger one ``COUNT_MOST``."""
    return sum([1 async for _ in api.pages(name, f"{team}/", COUNT_MOST)])
