"""The topics that this project makes, and the check that those it finds will do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from app.domain.topics import ADDRESSES, MAIL_DEAD_LETTERS, REQUESTS, SOURCE_TOPICS, UNIFIED, dead_letter_topic
from app.errors import BrokersAway, StartRefused
from app.kafka.client import connection
from app.kafka.log_id import log_ids
from app.kafka.reach import refusal
from app.settings import Settings

GROUP = "realtime-service"
"""Consumer group, and the Faust application's id."""
TABLE = "state"
CHANGELOG = f"{GROUP}-{TABLE}-changelog"

MAIL_GROUP = "notification-service"
"""Consumer group and Faust application's id of the notification service."""
OUTBOX = "outbox"
OUTBOX_CHANGELOG = f"{MAIL_GROUP}-{OUTBOX}-changelog"

CLUSTER = "_cluster"
"""What workers tell each other."""
LETTER_TRAIL = "_deadletters"
"""What was done about dead letters."""

CLUSTER_SEGMENT = 2**24
"""Bytes. The newest segment is never compacted, and every worker that starts reads all of it: it stays small."""

SHOW_SECONDS = 30.0
MIB = 2**20
DAY_MS = 86_400_000
DELETE_RETENTION_MS = 7 * DAY_MS
MAX_COMPACTION_LAG_MS = 7 * DAY_MS
"""By then a row that was written anew is gone from the changelog as it was, however little is written; else a person's old data might
stay there for as long as nobody writes much."""
TRAIL_RETENTION_MS = 90 * DAY_MS
"""Longer than clusters keep dead letters by default (7 days): what was done about one is known as long as it is there."""
SOURCE_MAX = 2 * MIB
UNIFIED_MAX = 8 * MIB
"""A source value of at most 512 KiB, as JSON written anew, with headers: well below this."""
REQUEST_MAX = UNIFIED_MAX + 2 * MIB
"""A unified value, and a team's name and a task's title beside it: each is from a source value."""
DEAD_LETTER_MAX = 80 * MIB
"""Whatever a foreign source topic let in."""
CHANGELOG_MAX = 80 * MIB
"""A row keeps the newest 128 unknown members and the known ones, each from a value of at most 512 KiB."""


@dataclass(slots=True, frozen=True)
class Spec:
    """A topic as we make it."""

    name: str
    config: dict[str, str] = field(default_factory=dict)
    like_unified: bool = False
    """Its partitions must be those of ``team.events``."""
    single: bool = False
    """It has one partition."""
    like_requests: bool = False
    """Its partitions must be those of ``notification.requests``: a user's requests, address and outbox share a number."""

    def partitions(self, unified: int, default: int, requests: int | None = None) -> int:
        """How many it is made with."""
        if self.like_requests:
            return default if requests is None else requests
        return 1 if self.single else unified if self.like_unified else default


def mail_catalogue(settings: Settings) -> list[Spec]:
    """The topics of the notification service, which both services make when they are missing."""
    broker_time = {"message.timestamp.type": "LogAppendTime"}
    kept = {"cleanup.policy": "delete", "retention.ms": str(int(settings.retention * 1000))}
    compacted = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(DAY_MS),
        "delete.retention.ms": str(DELETE_RETENTION_MS),
    }
    return [
        Spec(REQUESTS, broker_time | kept | {"max.message.bytes": str(REQUEST_MAX)}),
        Spec(ADDRESSES, broker_time | {"cleanup.policy": "compact", "max.message.bytes": str(SOURCE_MAX)}, like_requests=True),
        Spec(
            MAIL_DEAD_LETTERS,
            broker_time | {"cleanup.policy": "delete", "max.message.bytes": str(DEAD_LETTER_MAX)},
        ),
        Spec(OUTBOX_CHANGELOG, compacted | {"max.message.bytes": str(REQUEST_MAX)}, like_requests=True),
    ]


def catalogue(settings: Settings) -> list[Spec]:
    """Every topic, as made when it is missing."""
    broker_time = {"message.timestamp.type": "LogAppendTime"}
    retention = {"cleanup.policy": "delete", "retention.ms": str(int(settings.retention * 1000))}
    specs = [Spec(UNIFIED, broker_time | retention | {"max.message.bytes": str(UNIFIED_MAX)}, like_unified=True)]
    specs += [Spec(name, broker_time | {"cleanup.policy": "delete", "max.message.bytes": str(SOURCE_MAX)}) for name in SOURCE_TOPICS]
    specs += [
        Spec(dead_letter_topic(name), broker_time | {"cleanup.policy": "delete", "max.message.bytes": str(DEAD_LETTER_MAX)})
        for name in (*SOURCE_TOPICS, UNIFIED)
    ]
    changelog = {
        "cleanup.policy": "compact",
        "min.compaction.lag.ms": str(DAY_MS),
        "max.compaction.lag.ms": str(MAX_COMPACTION_LAG_MS),
        "delete.retention.ms": str(DELETE_RETENTION_MS),
        "max.message.bytes": str(CHANGELOG_MAX),
    }
    cluster = broker_time | {
        "cleanup.policy": "compact",
        "min.cleanable.dirty.ratio": "0.1",
        "segment.bytes": str(CLUSTER_SEGMENT),
        "segment.ms": str(DAY_MS // 24),
    }
    trail = broker_time | {"cleanup.policy": "compact,delete", "retention.ms": str(TRAIL_RETENTION_MS)}
    return [
        *specs,
        Spec(CHANGELOG, changelog, like_unified=True),
        Spec(CLUSTER, cluster, single=True),
        Spec(LETTER_TRAIL, trail, single=True),
        *mail_catalogue(settings),
    ]


async def ensure(settings: Settings, wanted: Callable[[Settings], list[Spec]] = catalogue) -> dict[str, int]:
    """Make the topics that are missing and check the others.

    Args:
        settings: where the brokers are, and how topics are made.
        wanted: gives the topics.

    Returns:
        Every topic that is wanted and its number of partitions.

    Raises:
        BrokersAway: No broker answers, or not in time.
        StartRefused: A topic was refused, ``team.events`` is compacted, or partition counts contradict each other.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        raise BrokersAway(f"KAFKA_BROKERS: no broker answers at {', '.join(settings.kafka_brokers)} ({error.__class__.__name__})") from None
    try:
        found = await _partitions(admin)
        specs = wanted(settings)
        # Refused before anything is made: a start that cannot be leaves nothing behind.
        await _check(admin, specs, found)
        await _make(admin, settings, [spec for spec in specs if spec.name not in found], found)
        found = await _all(admin, specs)
        await _check(admin, specs, found)
    except (KafkaError, OSError) as error:
        raise refusal(error)(f"the topics could not be made: {error!r}") from None
    finally:
        await admin.close()
    return {spec.name: found[spec.name] for spec in specs}


async def identify(settings: Settings, names: Sequence[str]) -> dict[str, str]:
    """The ids of topics, see `app.kafka.log_id`.

    Raises:
        KafkaError: The brokers are out of reach.
    """
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        return await log_ids(admin, names)
    finally:
        await admin.close()


async def _all(admin: AIOKafkaAdminClient, specs: list[Spec]) -> dict[str, int]:
    """The partitions of every topic, once the brokers tell of all of them and each has a leader: new topics take a moment."""
    deadline = monotonic() + SHOW_SECONDS
    while True:
        found = await _partitions(admin)
        missing = [spec.name for spec in specs if spec.name not in found]
        if not missing:
            return found
        if monotonic() > deadline:
            raise BrokersAway(f"the brokers do not show topic {missing[0]}, {SHOW_SECONDS:.0f} s after it was made")
        await asyncio.sleep(0.1)


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    return {
        topic["topic"]: len(topic["partitions"])
        for topic in await admin.describe_topics()
        if not topic["error_code"] and all(partition["leader"] >= 0 for partition in topic["partitions"])
    }


async def _make(admin: AIOKafkaAdminClient, settings: Settings, specs: list[Spec], found: dict[str, int]) -> None:
    if not specs:
        return
    copies = settings.replication_factor
    if copies is None:
        copies = min(3, len((await admin.describe_cluster())["brokers"]))
    more = {"min.insync.replicas": "2"} if copies >= 3 else {}
    unified, requests = found.get(UNIFIED, settings.partitions), found.get(REQUESTS)
    new = [NewTopic(s.name, s.partitions(unified, settings.partitions, requests), copies, topic_configs=s.config | more) for s in specs]
    response = await admin.create_topics(new)
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # another worker was quicker
            raise StartRefused(f"topic {name} was refused: {rest[0] if rest and rest[0] else error.__name__}")


async def _check(admin: AIOKafkaAdminClient, specs: list[Spec], found: dict[str, int]) -> None:
    for spec in specs:
        if REQUESTS in found and spec.like_requests and found.get(spec.name, found[REQUESTS]) != found[REQUESTS]:
            raise StartRefused(
                f"topic {spec.name} has {found[spec.name]} partitions, {REQUESTS} has {found[REQUESTS]}: what is of one user must share"
                " a partition number. Restore the count"
            )
    if UNIFIED not in found:
        return
    for spec in specs:
        if spec.like_unified and found.get(spec.name, found[UNIFIED]) != found[UNIFIED]:
            raise StartRefused(
                f"topic {spec.name} has {found[spec.name]} partitions, {UNIFIED} has {found[UNIFIED]}: rows and events of a team must"
                f" share a partition number. Restore the count; or delete {spec.name} and fold the log again from its start:"
                " `python -m faust -A app offsets --from earliest`"
            )
    await _refuse_compacted(admin)


async def _refuse_compacted(admin: AIOKafkaAdminClient) -> None:
    [response] = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, UNIFIED, configs={"cleanup.policy": ""})])
    for _code, _message, _kind, _name, entries in response.resources:
        for name, value, *_ in entries:
            if name == "cleanup.policy" and "compact" in value:
                raise StartRefused(f"topic {UNIFIED} is compacted: it would forget events. Set cleanup.policy=delete on it")
