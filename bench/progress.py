"""How far a consumer group is, asked of the broker, so that every program is watched alike and from outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from types import TracebackType

import confluent_kafka
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._listoffsets import OffsetSpec

from app.kafka import topics
from app.settings import Settings

LOOK_SECONDS = 0.1
ASK_SECONDS = 60.0
PARTITIONS = 8
Offsets = dict[TopicPartition, int]


async def make_topics(brokers: str) -> None:
    """Make the topics of the service, so that every program finds the same ones, whichever comes first."""
    await topics.ensure(Settings.model_validate({"kafka_brokers": brokers, "replication_factor": 1}))


async def make_own(brokers: str, names: Mapping[str, str]) -> None:
    """Make a peer's own topics, with as many partitions as ours have; ``names`` says how each is cleaned up."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        there = await admin.list_topics()
        new = [NewTopic(name, PARTITIONS, 1, topic_configs={"cleanup.policy": kept}) for name, kept in names.items() if name not in there]
        if new:
            await admin.create_topics(new)
    finally:
        await admin.close()


async def skip(brokers: str, group: str, names: Iterable[str]) -> None:
    """Let a group begin at the end of the topics: what another program was measured with is none of its business.

    A group that somebody is in is left as it is.
    """
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        async with Progress(brokers) as progress:
            if (await progress.state(group))[1]:
                return
            ends = await progress.ends(names)
        consumer.assign(list(ends))
        await consumer.commit(ends)
    finally:
        await consumer.stop()


class Progress:
    """A look at the broker's offsets."""

    def __init__(self, brokers: str) -> None:
        self._admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
        # aiokafka's consumer waits for ever for the leader of a topic that was made a moment before.
        self._offsets = AdminClient({"bootstrap.servers": brokers, "log_level": 0})

    async def __aenter__(self) -> Progress:
        await self._admin.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._admin.close()

    async def ends(self, names: Iterable[str]) -> Offsets:
        """The end of every partition of these topics."""
        described = await self._admin.describe_topics(list(names))
        wanted = {
            confluent_kafka.TopicPartition(one["topic"], part["partition"]): OffsetSpec.latest()  # type: ignore[no-untyped-call]
            for one in described
            for part in one["partitions"]
        }
        deadline = time.monotonic() + ASK_SECONDS
        while True:
            asked = self._offsets.list_offsets(wanted, request_timeout=ASK_SECONDS)
            try:
                found = await asyncio.gather(*map(asyncio.wrap_future, asked.values()))
            except confluent_kafka.KafkaException:
                # Leaders of new topics are still being made known.
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return {TopicPartition(tp.topic, tp.partition): one.offset for tp, one in zip(asked, found, strict=True)}

    async def committed(self, group: str) -> Offsets:
        """What a group has committed."""
        found = await self._admin.list_consumer_group_offsets(group)
        return {tp: one.offset for tp, one in found.items()}

    async def left(self, group: str, names: Iterable[str]) -> int:
        """Records of these topics that a group has not committed."""
        ends, committed = await self.ends(names), await self.committed(group)
        return sum(max(0, end - max(0, committed.get(tp, 0))) for tp, end in ends.items())

    async def state(self, group: str) -> tuple[str, int]:
        """The state of a group, and how many are in it."""
        try:
            [answer] = await self._admin.describe_consumer_groups([group])
        except KafkaError:
            return "unknown", 0
        [(_, _, state, _, _, members, *_)] = answer.groups
        return state, len(members)

    async def stable(self, group: str, seconds: float) -> None:
        """Wait until a group has members, and no rebalance goes on."""
        deadline = time.monotonic() + seconds
        while True:
            state, members = await self.state(group)
            if state == "Stable" and members:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"group {group} is {state} after {seconds:.0f} s")
            await asyncio.sleep(LOOK_SECONDS)
