"""``forget``: nothing of a person stays but what expires by itself."""

from __future__ import annotations

import asyncio
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.forgetting import Known, Plan, plan
from app.commands.keys import user_id_of
from app.commands.output import JSON_OPTION, age_text, print_json, print_table, say
from app.commands.owner_rows import Owners
from app.commands.worker_api import URL_OPTION, WorkerApi, worker_api
from app.domain.events import user_key
from app.domain.rows import decode
from app.domain.topics import UNIFIED
from app.errors import TeamcastError
from app.kafka.reading import Log
from app.kafka.topics import CHANGELOG, DAY_MS, LETTER_TRAIL, MAX_COMPACTION_LAG_MS
from app.producer import Events

WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.3

OPTIONS = (
    argument("user", metavar="USER"),
    option("--dry-run", is_flag=True, default=False, help="Say what would be written, and write nothing."),
    option("--yes", is_flag=True, default=False, help="Do not ask."),
    URL_OPTION,
    JSON_OPTION,
)


async def run(self: Command, user: str, dry_run: bool, yes: bool, url: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """Forget a person: end their memberships, delete their own tasks, clear name, e-mail and all else that is kept of them.

    It is done by events, which every reader sees; a running worker says what is known. What is in the log already stays there until it
    expires; how long that takes is said. Exit code 1 when the rows still tell something after half a minute.
    """
    user_id = user_id_of(user)
    as_json = as_json or self.json
    async with worker_api(self.settings, url) as api:
        async with Log(self.settings) as log:
            if UNIFIED not in log.topics:
                raise TeamcastError(f"there is no topic {UNIFIED}")
            owners = await Owners.of(api, log)
            known = await look(api, owners, user_id)
            made = plan(known, datetime.now(UTC), f"forget-{user_id}-{int(time.time() * 1000)}")
            stays = staying(self, known)
        if not made.events:
            _print(made, stays, as_json, done=False)
            if not as_json:
                say(f"There is nothing to forget of user {user_id}.")
            return
        if not dry_run and not yes:
            _confirm(made, user_id, as_json)
        if not dry_run:
            await _write(self, made)
            left = await _wait(api, owners, user_id)
            if left:
                raise TeamcastError(f"the events are written, but after {WAIT_SECONDS:.0f} s the rows still tell: {', '.join(left)}")
        _print(made, stays, as_json, done=not dry_run)


async def look(api: WorkerApi, owners: Owners, user_id: int) -> Known:
    """What the workers know of a person.

    Raises:
        Unavailable: Some of it cannot be told now.
    """
    found = await api.get(f"/api/users/{user_id}") or {"teams": []}
    seed = await owners.rows(user_key(user_id))
    return Known(user_id, [team["teamId"] for team in found["teams"]], {key: decode(value) for key, value in seed.rows})


def staying(self: Command, known: Known) -> list[str]:
    """What no event removes, and how long it stays."""
    retention = age_text(self.settings.retention)
    compaction = age_text(MAX_COMPACTION_LAG_MS / 1000)
    return [
        f"{UNIFIED}: their earlier events, until RETENTION ({retention} as set here; the topic's own retention.ms decides)",
        "source topics and dead letters: their records, until those topics' retention",
        (
            f"{CHANGELOG}: rows as they were, for {age_text(DAY_MS / 1000)} at least, and some {compaction} at most where"
            " max.compaction.lag.ms is set (a topic made by an older version lacks it)"
        ),
        "the number of the user: in tombstones of memberships and tasks, in teams' tasks that they made or were given, as owner of teams",
        "texts that they wrote into teams' tasks: those belong to the team; delete the tasks to remove them",
        f"snapshots that `export` wrote, backups of topics, mails that were sent; {LETTER_TRAIL} holds no values",
    ]


def _confirm(made: Plan, user_id: int, as_json: bool) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody is there to ask: give --yes, or --dry-run to see what would be written")
    if not as_json:
        _print_events(made)
    if click.prompt(f"Type {user_id} to forget this person", err=True) != str(user_id):
        raise click.UsageError("not confirmed; nothing was written")


async def _write(self: Command, made: Plan) -> None:
    async with Events(self.settings, client_id="teamcast-forget") as events:
        for topic, value in made.events:
            await events.send(topic, value)


async def _wait(api: WorkerApi, owners: Owners, user_id: int) -> list[str]:
    """What the rows still tell of a person once everything is folded, or time is up."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        known = await look(api, owners, user_id)
        left = [*(f"member of team {team}" for team in known.teams), *(f"task {task}" for task in known.own_tasks), *known.told]
        if not left or time.monotonic() > deadline:
            return left
        await asyncio.sleep(LOOK_SECONDS)


def _print(made: Plan, stays: list[str], as_json: bool, *, done: bool) -> None:
    if as_json:
        events: list[dict[str, Any]] = [{"topic": topic, "value": value} for topic, value in made.events]
        print_json({"written": done, "events": events, "stays": stays})
        return
    if made.events:
        _print_events(made)
        say(f"{len(made.events)} events " + ("were written, and the rows tell nothing more." if done else "would be written."))
    say("What stays, and for how long:")
    for line in stays:
        say(f"- {line}")


def _print_events(made: Plan) -> None:
    rows = [
        (topic, value.get("teamId") or "", value.get("taskId") or "", ", ".join(value["payload"]), value["timestamp"])
        for topic, value in made.events
    ]
    print_table(("Event", "Team", "Task", "Cleared", "Timestamp"), [tuple(str(one) for one in row) for row in rows])
