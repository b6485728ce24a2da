"""``emit``: one event, from the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
import orjson
from faust.cli import argument, option

from app.commands.command import Command
from app.domain.decode import faults
from app.domain.strict_json import load
from app.domain.topics import SOURCE_TOPICS
from app.errors import TeamcastError
from app.producer import Events
from app.producing.values import describe

OPTIONS = (
    argument("topic", type=click.Choice(SOURCE_TOPICS), metavar="TOPIC"),
    argument("value", default="-", metavar="[JSON | - | @FILE]"),
    option("--no-check", is_flag=True, default=False, help="Send the value as it is; what is no event becomes a dead letter."),
)


async def run(self: Command, topic: str, value: str, no_check: bool) -> None:
    """Send one event and print where it went.

    The value is JSON as the topic has it, from the argument, from standard input (-) or from a file (@FILE). A value that is no valid
    event is not sent; every fault of it is printed.
    """
    encoded = read(value)
    found = [] if no_check else faults(topic, encoded)
    if found:
        raise TeamcastError("\n".join([f"no valid {topic}:", *(f"  {describe(fault)}" for fault in found)]))
    async with Events(self.settings) as events:
        sent = await (events.send_value(topic, encoded) if no_check else events.send(topic, load(encoded)))
    report: dict[str, Any] = {"topic": topic, "partition": sent.partition, "offset": sent.offset}
    if not no_check:
        report["eventId"] = sent.event_id
    click.echo(orjson.dumps(report))


def read(value: str) -> bytes:
    """The bytes that an argument stands for, without white space around them.

    Raises:
        OSError: The file cannot be read.
    """
    if value == "-":
        return sys.stdin.buffer.read().strip()
    if value.startswith("@"):
        return Path(value[1:]).read_bytes().strip()
    return value.encode(errors="surrogateescape").strip()
