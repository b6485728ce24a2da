"""``lag``: how far each consumer group is behind, asked of the brokers, so that it is told also when nobody runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import GroupCoordinatorNotAvailableError
from faust.cli import option

from app.commands.command import Command
from app.commands.output import JSON_OPTION, age_text, print_json, print_table, say
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.kafka.reading import Log
from app.kafka.topics import GROUP

NOTIFICATIONS = "notification-service"
REQUESTS = "notification.requests"
READS = {GROUP: (*SOURCE_TOPICS, UNIFIED), NOTIFICATIONS: (REQUESTS,)}
"""Groups, and the topics that each reads."""

AGES_AT_MOST = 200
"""Partitions whose oldest unread record is looked at; each takes some ten milliseconds."""

OPTIONS = (
    option("--all", "everything", is_flag=True, default=False, help="Also partitions without lag."),
    JSON_OPTION,
)


@dataclass(slots=True, frozen=True)
class Member:
    """One process of a group."""

    client: str
    host: str
    partitions: int


@dataclass(slots=True, frozen=True)
class PartitionLag:
    """How far a group is behind in one partition."""

    topic: str
    partition: int
    committed: int | None
    """``None``: the group has no offset there."""
    end: int
    lag: int
    seconds: float | None
    """How long ago the oldest record that is not done was written; ``None`` where that cannot be told."""


@dataclass(slots=True, frozen=True)
class GroupLag:
    """A group as the brokers know it."""

    group: str
    state: str
    members: list[Member]
    partitions: list[PartitionLag]

    def as_json(self) -> dict[str, Any]:
        """As GET /api/lag tells a group, and who its members are."""
        return {
            "group": self.group,
            "state": self.state,
            "members": len(self.members),
            "partitions": [asdict(one) for one in self.partitions],
            "processes": [asdict(one) for one in self.members],
        }


async def run(self: Command, everything: bool, as_json: bool) -> None:
    """Show how far the consumer groups are behind, and who is in them.

    The brokers are asked, so it tells also when no worker runs. SECONDS is the age of the oldest record that is not done yet.
    """
    async with Log(self.settings) as log:
        groups = await group_lags(log, int(time.time() * 1000))
    if as_json or self.json:
        print_json({"groups": [group.as_json() for group in groups]})
        return
    for group in groups:
        _print(group, everything)


async def group_lags(log: Log, now_ms: int) -> list[GroupLag]:
    """Every group of ours that exists, and the realtime service's also when it does not."""
    groups = [name for name, topics in READS.items() if name == GROUP or any(topic in log.topics for topic in topics)]
    return [await _group_lag(log, name, now_ms) for name in groups]


async def _group_lag(log: Log, group: str, now_ms: int) -> GroupLag:
    tps = log.partitions(READS[group])
    begin, end = await log.begins(tps), await log.ends(tps)
    try:
        state, members = await _members(log, group)
        committed = {tp: meta.offset for tp, meta in (await log.admin.list_consumer_group_offsets(group)).items() if meta.offset >= 0}
    except GroupCoordinatorNotAvailableError:  # a cluster in which no group has ever been
        state, members, committed = "Dead", [], {}
    partitions = []
    looks = AGES_AT_MOST
    for tp in tps:
        at = committed.get(tp)
        behind = end[tp] - (begin[tp] if at is None else at)
        seconds = 0.0 if behind <= 0 else None
        if behind > 0 and looks:
            looks -= 1
            seconds = await _age(log, tp, max(begin[tp], 0 if at is None else at), now_ms)
        partitions.append(PartitionLag(tp.topic, tp.partition, at, end[tp], max(0, behind), seconds))
    return GroupLag(group, state, members, partitions)


async def _members(log: Log, group: str) -> tuple[str, list[Member]]:
    [response] = await log.admin.describe_consumer_groups([group])
    [(_error, _group, state, _kind, _protocol, found, *_)] = response.groups
    return state or "Dead", [Member(client, host.lstrip("/"), _assigned(assignment)) for _id, client, host, _meta, assignment, *_ in found]


def _assigned(assignment: bytes) -> int:
    """How many partitions a member has, of all topics."""
    if not assignment:
        return 0
    return sum(len(numbers) for _topic, numbers in ConsumerProtocolMemberAssignment.decode(assignment).assignment)


async def _age(log: Log, tp: TopicPartition, offset: int, now_ms: int) -> float | None:
    record = await log.at(tp, offset)
    return None if record is None or record.timestamp < 0 else max(0.0, round((now_ms - record.timestamp) / 1000, 3))


def _print(group: GroupLag, everything: bool) -> None:
    behind = [one for one in group.partitions if one.lag]
    worst = max((one.seconds or 0.0 for one in behind), default=0.0)
    say(
        f"{group.group}: {group.state}, {len(group.members)} members,"
        f" {sum(one.lag for one in behind):,} records behind in {len(behind)} of {len(group.partitions)} partitions"
        + (f", the oldest for {age_text(worst)}" if behind else "")
    )
    if group.members:
        print_table(("Member", "Host", ">Partitions"), [(one.client, one.host, one.partitions) for one in group.members])
    else:
        say("  Nobody runs.")
    shown: Sequence[PartitionLag] = group.partitions if everything else behind
    if shown:
        rows: list[tuple[Any, ...]] = [
            (one.topic, one.partition, one.end, "-" if one.committed is None else one.committed, one.lag, age_text(one.seconds))
            for one in shown
        ]
        print_table(("Topic", ">Partition", ">End", ">Committed", ">Lag", ">Seconds"), rows)
