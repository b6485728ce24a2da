"""The workers of the cluster, as they tell of themselves in ``_cluster``."""

from __future__ import annotations

from app.kafka.directory import LEASE_SECONDS, Worker, parse_key, worker_of
from app.kafka.reading import Log
from app.kafka.topics import CLUSTER


async def workers(log: Log, now_ms: int) -> list[Worker]:
    """The workers that are there now, by URL.

    By this machine's clock, unlike the workers among each other: when all of them are gone, the log's stands still.
    """
    found: dict[str, Worker] = {}
    async for record in log.records(await log.spans(log.partitions([CLUSTER]))):
        try:
            url, user_id = parse_key(record.key or b"")
            if user_id is not None:
                continue  # who is online there
            found.pop(url, None)
            if record.value is not None and now_ms - record.timestamp <= LEASE_SECONDS * 1000:
                found[url] = worker_of(url, record.value, record.timestamp / 1000)
        except ValueError:
            continue
    return [found[url] for url in sorted(found)]


def owner(found: list[Worker], partition: int) -> Worker | None:
    """Who last said that it owns a partition."""
    return max((one for one in found if partition in one.partitions), key=lambda one: one.heard, default=None)
