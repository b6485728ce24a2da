"""What both commands share: how they read a topic to its end, and how they write to one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import click
import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from rich.console import Console
from rich.table import Table

from app.commands.command import Command
from app.kafka.client import connection
from app.kafka.record import Record
from app.kafka.topics import REQUEST_MAX, ensure, mail_catalogue
from app.settings import Settings

POLL_MS = 500


class MailCommand(Command):
    """A command of the notification service; it reads and writes topics, so the service need not run."""

    abstract: ClassVar[bool] = True


async def read(settings: Settings, topic: str) -> AsyncIterator[Record]:
    """Every record of a topic, as it is when this begins; those of one partition in order.

    Raises:
        StartRefused: The brokers are out of reach.
    """
    partitions = (await ensure(settings, mail_catalogue))[topic]
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(enable_auto_commit=False, auto_offset_reset="earliest", **connection(settings))
    try:
        await consumer.start()
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        await consumer.seek_to_beginning(*tps)
        left = {tp for tp in tps if ends[tp] > 0}
        while left:
            for tp, records in (await consumer.getmany(*left, timeout_ms=POLL_MS)).items():
                for record in records:
                    if record.offset < ends[tp]:
                        yield record
            left = {tp for tp in left if await consumer.position(tp) < ends[tp]}
    finally:
        await consumer.stop()


@asynccontextmanager
async def producer(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose records count once every in-sync replica has them."""
    made = AIOKafkaProducer(acks="all", enable_idempotence=True, max_request_size=REQUEST_MAX, **connection(settings))
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def show(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table."""
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(str, row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, 160))
    console.print(table)


def as_json(value: object) -> None:
    """Print JSON."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))
