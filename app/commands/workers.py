"""The workers of the cluster, as they tell of themselves in ``_cluster``."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from app.kafka.directory import LEASE_SECONDS
from app.kafka.reading import Log
from app.kafka.topics import CLUSTER


@dataclass(slots=True, frozen=True)
class Heard:
    """A worker that told of itself."""

    url: str
    role: str
    version: str
    partitions: frozenset[int]
    """Partitions of the unified stream that it owns."""
    heard_ms: int


async def workers(log: Log, now_ms: int) -> list[Heard]:
    """The workers that are there now, by URL."""
    found: dict[str, Heard] = {}
    async for record in log.records(await log.spans(log.partitions([CLUSTER]))):
        url = (record.key or b"").decode(errors="replace")
        found.pop(url, None)
        if record.value is None or now_ms - record.timestamp > LEASE_SECONDS * 1000:
            continue
        try:
            said = orjson.loads(record.value)
            found[url] = Heard(url, said["role"], said["version"], frozenset(said["partitions"]), record.timestamp)
        except (ValueError, KeyError, TypeError):
            continue  # presence and administrators' orders are told over the same topic
    return [found[url] for url in sorted(found)]


def owner(found: list[Heard], partition: int) -> Heard | None:
    """Who last said that it owns a partition."""
    return max((one for one in found if partition in one.partitions), key=lambda one: one.heard_ms, default=None)
