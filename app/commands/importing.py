"""``import``: what existed before, as events."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
from faust.cli import argument, option

from app.commands.command import Command
from app.commands.import_lines import BadLine, event_of
from app.commands.progress import steps
from app.errors import TeamcastError
from app.producer import Events
from app.producing.values import describe

OPTIONS = (
    argument("source", metavar="FILE | -"),
    option("--skip-bad", is_flag=True, default=False, help="Import the good lines even if others are faulty."),
)


async def run(self: Command, source: str, skip_bad: bool) -> None:
    """Import teams, members, users and tasks that exist already.

    FILE has one JSON object a line, with "kind" and the fields of the created event: {"kind": "team", "teamId", "ownerId", "name",
    "createdAt"}, {"kind": "member", "teamId", "userId", "role"}, {"kind": "user", "userId", "username", "email"}, {"kind": "task",
    "taskId", "teamId", "creatorId", "assigneeId", "title", ...}. All lines are checked before the first is sent. Importing twice changes
    nothing, and never undoes what happened since.
    """
    with _opened(source) as lines:
        total, bad = check(lines)
        if bad and not skip_bad:
            raise TeamcastError(f"{bad:,} of {total:,} lines are faulty; nothing was sent")
        lines.seek(0)
        async with Events(self.settings, wait=False, linger_ms=5, client_id="teamcast-import") as events:
            with steps("Importing", total - bad) as progress:
                done = 0
                for _, line in _numbered(lines):
                    try:
                        topic, value = event_of(line)
                    except BadLine:
                        continue
                    await events.send(topic, value)
                    done += 1
                    if done % 500 == 0:
                        progress.at(done)
                        await asyncio.sleep(0)  # a signal is heard
                await events.flush()
                progress.at(done)
    click.echo(f"{done:,} entities imported" + (f", {bad:,} faulty lines left out." if bad else "."))


def check(lines: BinaryIO) -> tuple[int, int]:
    """Print every fault of every line.

    Returns:
        The numbers of lines that are not blank, and of faulty ones.
    """
    total = bad = 0
    for number, line in _numbered(lines):
        total += 1
        try:
            event_of(line)
        except BadLine as error:
            bad += 1
            for fault in error.faults:
                click.echo(f"line {number}: {describe(fault)}", err=True)
    return total, bad


def _numbered(lines: BinaryIO) -> Iterator[tuple[int, bytes]]:
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


@contextmanager
def _opened(source: str) -> Iterator[BinaryIO]:
    """The lines; standard input is kept in a file, for they are read twice."""
    if source != "-":
        with Path(source).open("rb") as file:
            yield file
        return
    with tempfile.TemporaryFile() as kept:
        shutil.copyfileobj(sys.stdin.buffer, kept)
        kept.seek(0)
        yield kept
