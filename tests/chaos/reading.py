"""Reading topics and groups as they are: no offset is committed, no group joined."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from app.domain.topics import SOURCE_TOPICS, UNIFIED, dead_letter_topic
from tests.chaos.history import LogRecord

GROUP = "realtime-service"
DEAD_LETTER_TOPICS = tuple(map(dead_letter_topic, (*SOURCE_TOPICS, UNIFIED)))
ALL_TOPICS = (UNIFIED, *SOURCE_TOPICS, *DEAD_LETTER_TOPICS)

Offsets = dict[tuple[str, int], int]


async def _partitions(bootstrap: str, topics: Iterable[str]) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = await admin.describe_topics(list(topics))
    finally:
        await admin.close()
    return [TopicPartition(topic["topic"], part["partition"]) for topic in found for part in topic["partitions"]]


async def ends(bootstrap: str, topics: Iterable[str] = ALL_TOPICS) -> Offsets:
    """The end of every partition."""
    tps = await _partitions(bootstrap, topics)
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap) as consumer:
        return {(tp.topic, tp.partition): offset for tp, offset in (await consumer.end_offsets(tps)).items()}


async def committed(bootstrap: str) -> Offsets:
    """What the service's group has committed."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(GROUP)
    finally:
        await admin.close()
    return {(tp.topic, tp.partition): meta.offset for tp, meta in found.items()}


async def lag(bootstrap: str) -> Offsets:
    """Records of each partition that the service has not finished with."""
    end, done = await ends(bootstrap, (UNIFIED, *SOURCE_TOPICS)), await committed(bootstrap)
    return {place: offset - done.get(place, 0) for place, offset in end.items() if offset > done.get(place, 0)}


async def read(bootstrap: str, start: Mapping[tuple[str, int], int], topics: Iterable[str]) -> list[LogRecord]:
    """Every record behind ``start`` that is there now, partition by partition."""
    end = await ends(bootstrap, topics)
    wanted = {place: offset for place, offset in end.items() if offset > start.get(place, 0)}
    found: dict[tuple[str, int], list[LogRecord]] = {place: [] for place in sorted(wanted)}
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, max_partition_fetch_bytes=8 << 20, auto_offset_reset="earliest") as consumer:
        tps = {place: TopicPartition(*place) for place in wanted}
        consumer.assign(list(tps.values()))
        for place, tp in tps.items():
            consumer.seek(tp, start.get(place, 0))
        while any([await consumer.position(tp) < wanted[place] for place, tp in tps.items()]):
            for batch in (await consumer.getmany(timeout_ms=200)).values():
                for record in batch:
                    headers = tuple((name, value or b"") for name, value in record.headers)
                    place = record.topic, record.partition
                    if record.offset < wanted[place]:
                        found[place].append(
                            LogRecord(record.topic, record.partition, record.offset, record.timestamp, record.key, record.value, headers)
                        )
    return [record for records in found.values() for record in records]
