"""``export``: a team's rows in a file."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.keys import key_of
from app.commands.owner_rows import Owners
from app.commands.snapshot_file import Snapshot, dump
from app.commands.worker_api import URL_OPTION, worker_api
from app.domain.rows import decode
from app.domain.timestamps import from_millis
from app.domain.topics import UNIFIED
from app.errors import TeamcastError
from app.kafka.log_id import log_ids
from app.kafka.reading import Log

OPTIONS = (
    argument("team", metavar="TEAM"),
    option("--to", "file", metavar="FILE", default="-", help="Where to. Default: standard output."),
    option("--force", is_flag=True, default=False, help="Write over a file that is there."),
    URL_OPTION,
)


async def run(self: Command, team: str, file: str, force: bool, url: str | None) -> None:
    """Write a team's rows, as its owner has them, for a later `verify --snapshot`; TEAM is an id, or user:7.

    The file has everything about the team, deleted tasks' ids included: keep it as you keep a backup.
    """
    key = key_of(team)
    async with worker_api(self.settings, url) as api, Log(self.settings) as log:
        if UNIFIED not in log.topics:
            raise TeamcastError(f"there is no topic {UNIFIED}")
        log_id = (await log_ids(log.admin, [UNIFIED]))[UNIFIED]
        seed = await (await Owners.of(api, log)).rows(key)
    if not seed.rows:
        raise TeamcastError(f"nothing is known of {key}")
    rows = {name: decode(value) for name, value in seed.rows}
    body = dump(Snapshot(key, log_id, seed.offset, seed.last_offset, seed.last_check, from_millis(int(time.time() * 1000)), rows))
    if file == "-":
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    _write(Path(file), body, force)
    click.echo(f"{len(rows):,} rows of {key} up to offset {seed.offset:,} are in {file}.")


def _write(file: Path, body: bytes, force: bool) -> None:
    try:
        with file.open("wb" if force else "xb") as target:
            target.write(body)
    except FileExistsError:
        raise TeamcastError(f"{file} is there; --force writes over it") from None
