"""Lag: how far consumer groups are behind, from the broker's end and committed offsets.

Asked of the brokers and of nobody else: a worker's own counters stand still with the worker, and nobody counts a partition that
nobody reads.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError, OffsetOutOfRangeError, for_code
from aiokafka.protocol.commit import OffsetFetchRequest

from app.domain.topics import REQUESTS, SOURCE_TOPICS, UNIFIED
from app.errors import Unavailable
from app.kafka.client import connection
from app.kafka.topics import CHANGELOG, GROUP, MAIL_GROUP
from app.settings import Settings

READS: Final[Mapping[str, tuple[str, ...]]] = {GROUP: (*SOURCE_TOPICS, UNIFIED), MAIL_GROUP: (REQUESTS,)}
"""The consumer groups of this project, and the topics that each reads. Another than the first is left out where it never was."""

MEASURE_SECONDS = 10.0
"""Bound on one measurement: brokers that do not answer within it are out of reach."""
RETRY_SECONDS = 0.3
AGES_SECONDS = 2.0
"""Bound on the part of it that finds out how old unread records are."""
FETCH_BYTES = 64 * 2**10
"""Of one partition; the broker gives the first batch whole, however large."""
AGES_AT_ONCE = 500
"""Partitions whose oldest unread record is looked at in one measurement; the others' ages are unknown until the next."""
RETENTION_SECONDS = 60.0
"""How long a topic's retention is taken to be what it was."""

Wanted = Callable[[TopicPartition], bool]
Place = tuple[TopicPartition, int]
"""An offset in a partition."""


@dataclass(slots=True, frozen=True)
class PartitionLag:
    """How far a group is behind in one partition."""

    topic: str
    partition: int
    committed: int | None
    """The offset that is read next, by the group's last commit; ``None`` where it never committed any."""
    end: int
    """The offset that the next record gets."""
    lag: int
    """Records not read: up to the end from the committed offset, else from the first that there is."""
    oldest_unread: float | None
    """Time of the first record that is not read, seconds since 1970; ``None`` where there is none, or it is not known."""
    member: str | None
    """Member id of the group's member that is assigned the partition; ``None``: nobody is."""

    def seconds(self, now: float) -> float | None:
        """Age of the oldest record not read, seconds; 0 where all are read, ``None`` where it is not known."""
        if self.lag == 0:
            return 0.0
        return None if self.oldest_unread is None else max(0.0, now - self.oldest_unread)


@dataclass(slots=True, frozen=True)
class Member:
    """One process of a group."""

    client: str
    host: str
    partitions: int
    """Of all topics, those of tables too."""


@dataclass(slots=True, frozen=True)
class GroupLag:
    """How far a group is behind."""

    group: str
    state: str
    """As the broker tells it: Stable, PreparingRebalance, CompletingRebalance, Empty, Dead."""
    members: int
    partitions: tuple[PartitionLag, ...]
    """Of every topic of the group that exists, sorted."""
    processes: tuple[Member, ...] = ()


@dataclass(slots=True, frozen=True)
class Lag:
    """One measurement."""

    groups: tuple[GroupLag, ...]
    retention: Mapping[str, float | None]
    """How long each topic keeps its records, seconds; ``None``: for ever, or as long as there is room."""
    records: Mapping[TopicPartition, int]
    """Offsets between the beginning and the end of each partition, those of the changelog too; a compacted one holds fewer records."""
    at: float = field(default_factory=monotonic)
    """When it was made, on the monotonic clock."""

    def headroom(self, tps: Iterable[PartitionLag], now: float) -> dict[str, float]:
        """Seconds until the oldest unread record of each topic may be deleted for its age; the whole retention where all are read.

        Negative when it should be gone already: brokers delete whole segments, some time after. Topics that keep their records for
        ever are left out, and so are those of which the age of an unread record is not known.
        """
        found: dict[str, float] = {}
        unknown = set()
        for one in tps:
            keeps, age = self.retention.get(one.topic), one.seconds(now)
            if keeps is None or age is None:
                unknown.add(one.topic)
            else:
                found[one.topic] = min(found.get(one.topic, keeps), keeps - age)
        return {topic: left for topic, left in found.items() if topic not in unknown}


async def measure(settings: Settings, reads: Mapping[str, tuple[str, ...]] = READS) -> Lag:
    """Measure once, over connections of its own; for commands.

    Raises:
        Unavailable: The brokers did not answer within `MEASURE_SECONDS`.
    """
    meter = LagMeter(settings, reads)
    try:
        return await meter.measure()
    finally:
        await meter.close()


class LagMeter:
    """Measures again and again, over connections that it keeps."""

    def __init__(self, settings: Settings, reads: Mapping[str, tuple[str, ...]] = READS) -> None:
        self._settings = settings
        self._reads = reads
        self._lock = asyncio.Lock()
        self._admin: AIOKafkaAdminClient | None = None
        self._consumer: AIOKafkaConsumer | None = None
        self._oldest: dict[Place, float] = {}
        """Times of first unread records, by the offset that is read next: a group that stands still costs no reading."""
        self._retention: tuple[float, dict[str, float | None]] = (-RETENTION_SECONDS, {})

    async def measure(self, wanted: Wanted = lambda _tp: True) -> Lag:
        """Measure every partition of every group.

        Args:
            wanted: Whether the age of a partition's unread records is asked for; it is what costs most.

        Raises:
            Unavailable: The brokers did not answer within `MEASURE_SECONDS`.
        """
        try:
            async with asyncio.timeout(MEASURE_SECONDS), self._lock:
                return await self._until_measured(wanted)
        except (KafkaError, OSError, TimeoutError) as error:
            brokers = ", ".join(self._settings.kafka_brokers)
            raise Unavailable(f"KAFKA_BROKERS: no broker answers at {brokers} ({type(error).__name__})") from error

    async def _until_measured(self, wanted: Wanted) -> Lag:
        while True:
            try:
                return await self._measure(wanted)
            except BaseException as error:
                if not (isinstance(error, KafkaError) and error.retriable):
                    await self.close()  # whatever state the connections are in, the next measurement has new ones
                    raise
            await asyncio.sleep(RETRY_SECONDS)  # a coordinator or a leader that moves

    async def close(self) -> None:
        """Close the connections."""
        admin, consumer, self._admin, self._consumer = self._admin, self._consumer, None, None
        for closing in (admin.close() if admin else None, consumer.stop() if consumer else None):
            if closing is not None:
                with suppress(KafkaError, OSError, TimeoutError):
                    await asyncio.wait_for(closing, AGES_SECONDS)

    async def _connected(self) -> tuple[AIOKafkaAdminClient, AIOKafkaConsumer]:
        if self._admin is None or self._consumer is None:
            await self.close()
            self._admin = AIOKafkaAdminClient(**connection(self._settings))
            self._consumer = AIOKafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="none",
                max_partition_fetch_bytes=FETCH_BYTES,
                fetch_max_wait_ms=100,
                **connection(self._settings),
            )
            await self._admin.start()
            await self._consumer.start()
        return self._admin, self._consumer

    async def _measure(self, wanted: Wanted) -> Lag:
        admin, consumer = await self._connected()
        there = await _partitions(admin, [*{topic: None for topics in self._reads.values() for topic in topics}, CHANGELOG])
        tps = {group: [tp for topic in topics for tp in there.get(topic, ())] for group, topics in self._reads.items()}
        every = [tp for found in there.values() for tp in found]
        ends, begins = (await consumer.end_offsets(every), await consumer.beginning_offsets(every)) if every else ({}, {})
        groups = []
        unread: dict[Place, None] = {}
        rows: dict[str, list[tuple[TopicPartition, int | None, int, int]]] = {}
        for group, found in list(tps.items()):
            try:
                committed = await _committed(admin, group, found)
            except GroupAuthorizationFailedError:
                if group == GROUP:
                    raise
                del tps[group]  # another service's, which an administrator may have kept from us
                continue
            rows[group] = []
            for tp in found:
                at, first, end = committed.get(tp), begins[tp], ends[tp]
                lag = max(0, end - (first if at is None else at))
                # A record that is gone has no age: the first that is left is the oldest unread one.
                start = first if at is None else max(first, at)
                rows[group].append((tp, at, lag, start))
                if lag and start < end and wanted(tp):
                    unread[tp, start] = None
        oldest = await self._times(consumer, unread)
        for group, partitions in rows.items():
            state, processes, assigned = await _members(admin, group)
            lags = (
                PartitionLag(tp.topic, tp.partition, at, ends[tp], lag, oldest.get((tp, start)) if lag else None, assigned.get(tp))
                for tp, at, lag, start in partitions
            )
            if group != GROUP and not processes and all(at is None for _tp, at, _lag, _start in partitions):
                continue  # a service that was never started is behind with nothing
            ordered = tuple(sorted(lags, key=lambda one: (one.topic, one.partition)))
            groups.append(GroupLag(group, state, len(processes), ordered, processes))
        held = {tp: ends[tp] - begins[tp] for tp in every}
        return Lag(tuple(groups), await self._keeps(admin, list(there)), held)

    async def _times(self, consumer: AIOKafkaConsumer, unread: Iterable[Place]) -> dict[Place, float]:
        """Times of the records at these places, or of the next ones that there are; as many as `AGES_SECONDS` allow."""
        wanted = dict.fromkeys(unread)
        self._oldest = {place: at for place, at in self._oldest.items() if place in wanted}
        missing = dict(islice(((tp, offset) for tp, offset in wanted if (tp, offset) not in self._oldest), AGES_AT_ONCE))
        if missing:
            consumer.assign(list(missing))
            for tp, offset in missing.items():
                consumer.seek(tp, offset)
            with suppress(TimeoutError, OffsetOutOfRangeError):  # deleted between two questions: the next measurement knows
                async with asyncio.timeout(AGES_SECONDS):
                    left = dict(missing)
                    while left:
                        for tp, records in (await consumer.getmany(*left, timeout_ms=500)).items():
                            consumer.pause(tp)
                            self._oldest[tp, left.pop(tp)] = records[0].timestamp / 1000
            # What is assigned is fetched ahead; nobody wants more of it.
            consumer.pause(*missing)
        return dict(self._oldest)

    async def _keeps(self, admin: AIOKafkaAdminClient, topics: list[str]) -> Mapping[str, float | None]:
        asked, known = self._retention
        if monotonic() - asked >= RETENTION_SECONDS or not known.keys() >= set(topics):
            self._retention = (monotonic(), await _retention(admin, topics))
        return self._retention[1]


async def _partitions(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, list[TopicPartition]]:
    """Partitions of those of the topics that exist; those without a leader are left out, since nobody could tell of them."""
    found = {}
    for topic in await admin.describe_topics(topics):
        if not topic["error_code"]:
            leading = sorted(one["partition"] for one in topic["partitions"] if one["leader"] >= 0)
            found[topic["topic"]] = [TopicPartition(topic["topic"], number) for number in leading]
    return found


async def _committed(admin: AIOKafkaAdminClient, group: str, tps: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Offsets that a group committed.

    The client's own way to ask passes over an error of the whole group, and a coordinator that is loading looks like a group that
    never committed anything.
    """
    by_topic: defaultdict[str, list[int]] = defaultdict(list)
    for tp in tps:
        by_topic[tp.topic].append(tp.partition)
    response = await admin._send_request(OffsetFetchRequest(group, list(by_topic.items())), await admin.find_coordinator(group))
    if getattr(response, "error_code", 0):
        raise for_code(response.error_code)(group)
    found = {}
    for topic, partitions in response.topics:
        for partition, offset, _metadata, error in partitions:
            if error:
                raise for_code(error)(f"{group}: {topic}-{partition}")
            if offset >= 0:
                found[TopicPartition(topic, partition)] = offset
    return found


async def _members(admin: AIOKafkaAdminClient, group: str) -> tuple[str, tuple[Member, ...], dict[TopicPartition, str]]:
    """A group's state, its members, and which of them is assigned what; a group that never was is dead."""
    [response] = await admin.describe_consumer_groups([group])
    [(error, _group, state, _kind, _protocol, members, *_)] = response.groups
    if error:
        raise for_code(error)(group)
    assigned: dict[TopicPartition, str] = {}
    processes = []
    for member_id, client, host, _metadata, assignment, *_ in members:
        theirs = ConsumerProtocolMemberAssignment.decode(assignment).partitions() if assignment else []
        assigned |= dict.fromkeys(theirs, member_id)
        processes.append(Member(client, host.lstrip("/"), len(theirs)))
    return state or "Dead", tuple(processes), assigned


async def _retention(admin: AIOKafkaAdminClient, topics: list[str]) -> dict[str, float | None]:
    """How long topics keep their records, seconds; ``None`` for ever."""
    found: dict[str, float | None] = dict.fromkeys(topics)
    wanted = [ConfigResource(ConfigResourceType.TOPIC, name, configs={"retention.ms": "", "cleanup.policy": ""}) for name in topics]
    for response in await admin.describe_configs(wanted):
        for _code, _message, _kind, name, entries in response.resources:
            config = {entry[0]: entry[1] for entry in entries}
            keeps = int(config.get("retention.ms") or -1)
            if keeps >= 0 and "delete" in (config.get("cleanup.policy") or ""):
                found[name] = keeps / 1000
    return found
