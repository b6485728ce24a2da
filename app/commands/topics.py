"""``topics``: makes those that are missing, and shows them all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import click
import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from faust.cli import option
from rich.console import Console
from rich.table import Table

from app.commands.command import Command
from app.kafka.client import connection
from app.kafka.topics import ensure
from app.settings import Settings

OPTIONS = (option("--json", "as_json", is_flag=True, default=False, help="Print JSON in place of a table."),)


@dataclass(slots=True, frozen=True)
class Described:
    """A topic as the cluster has it."""

    name: str
    partitions: int
    replicas: int
    retention_ms: int
    """How long records are kept; -1 for ever."""
    cleanup: str
    records: int
    """Offsets between the beginning and the end of its partitions; a compacted topic holds fewer records."""


async def run(self: Command, as_json: bool) -> None:
    """Create the topics that are missing, check the others, and list them all."""
    described = await describe(self.settings, await ensure(self.settings))
    if as_json or self.json:
        click.echo(orjson.dumps([asdict(topic) for topic in described], option=orjson.OPT_INDENT_2))
        return
    table = Table()
    for heading in ("Topic", "Cleanup"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Partitions", "Replicas", "Retention", "Records"):
        table.add_column(heading, justify="right", no_wrap=True)
    for topic in described:
        retention = "" if "compact" in topic.cleanup else _duration(topic.retention_ms)
        table.add_row(topic.name, topic.cleanup, str(topic.partitions), str(topic.replicas), retention, f"{topic.records:,}")
    console = Console()
    if not console.is_terminal:  # into a pipe: whole names rather than as many columns as a window has
        console = Console(width=max(console.width, 120))
    console.print(table)


async def describe(settings: Settings, partitions: dict[str, int]) -> list[Described]:
    """What the cluster says of the topics in ``partitions`` (with their partition counts), in that order."""
    names = list(partitions)
    tps = [TopicPartition(name, p) for name in names for p in range(partitions[name])]
    consumer = AIOKafkaConsumer(**connection(settings))
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await consumer.start()
        await admin.start()
        begin, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
        replicas = {t["topic"]: len(t["partitions"][0]["replicas"]) for t in await admin.describe_topics(names)}
        configs = await _configs(admin, names)
    finally:
        await admin.close()
        await consumer.stop()
    records = dict.fromkeys(names, 0)
    for tp in tps:
        records[tp.topic] += end[tp] - begin[tp]
    return [
        Described(
            name,
            partitions[name],
            replicas[name],
            int(configs[name].get("retention.ms", -1)),
            configs[name].get("cleanup.policy", ""),
            records[name],
        )
        for name in names
    ]


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, Any]]:
    wanted = {"retention.ms": "", "cleanup.policy": ""}
    responses = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name, configs=wanted) for name in names])
    found = [resource for response in responses for resource in response.resources]
    return {name: {entry[0]: entry[1] for entry in entries} for _code, _message, _kind, name, entries in found}


def _duration(ms: int) -> str:
    if ms < 0:
        return "for ever"
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if ms % size == 0 and ms >= size:
            return f"{ms // size} {unit}"
    return f"{ms} ms"
