"""Where a group begins: never by accident."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import OffsetAndMetadata

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.errors import StartRefused
from app.kafka.client import connection
from app.kafka.reach import refusal
from app.kafka.topics import GROUP
from app.settings import Settings

Offsets = dict[TopicPartition, int]


def parse_start(text: str) -> str | int:
    """``earliest``, ``end``, or an RFC 3339 time as milliseconds.

    Raises:
        ValueError: It is none of them.
    """
    if text in ("earliest", "end"):
        return text
    moment = dt.datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no UTC offset: write 2026-11-23T10:00:00Z")
    return int(moment.timestamp() * 1000)


async def ensure_started(settings: Settings, partitions: dict[str, int], start: str | int | None = None) -> None:
    """Commit the group's first offsets where it has none at all, so that a crash before its first own commit loses nothing.

    A group without any offset beside a ``team.events`` that holds records has lost them (Kafka forgets the offsets of
    a group that is idle for a week): to begin anywhere would repeat or skip history, so the operator says where.

    Args:
        settings: Where the brokers are.
        partitions: Topics and their partition counts.
        start: What the operator said, see `parse_start`; ``None`` for nothing.

    Raises:
        StartRefused: It must be asked where to start; or a committed offset is below its log's start, so records were lost.
    """
    topics = [name for name in (*SOURCE_TOPICS, UNIFIED) if name in partitions]
    tps = [TopicPartition(name, p) for name in topics for p in range(partitions[name])]
    consumer = AIOKafkaConsumer(group_id=GROUP, enable_auto_commit=False, **connection(settings))
    try:
        await consumer.start()
        consumer.assign(tps)
        committed = {tp: await consumer.committed(tp) for tp in tps}
        begin: Offsets = await consumer.beginning_offsets(tps)
        if any(offset is not None for offset in committed.values()) and start is None:
            _refuse_loss(committed, begin)
            return
        end: Offsets = await consumer.end_offsets(tps)
        if start is None and any(end[tp] > begin[tp] for tp in tps if tp.topic == UNIFIED):
            raise StartRefused(
                f"group {GROUP} has no offsets, but {UNIFIED} holds records. Say where to start:"
                " `python -m faust -A app offsets --from earliest|end|2026-11-23T10:00:00Z`"
            )
        await consumer.commit(
            {tp: OffsetAndMetadata(offset, "") for tp, offset in (await _chosen(consumer, tps, begin, end, start)).items()}
        )
    except KafkaError as error:
        raise refusal(error)(f"the offsets of group {GROUP} could not be read or set: {error!r}") from None
    finally:
        await consumer.stop()


async def accept_loss(settings: Settings, partitions: dict[str, int]) -> Offsets:
    """Move the group's offsets to the start of the log, wherever the records that they point to have expired.

    Args:
        settings: Where the brokers are.
        partitions: Topics and their partition counts.

    Returns:
        How many records are given up, by partition; empty where none expired.

    Raises:
        StartRefused: The offsets could not be read or set; as long as workers of the group run, they cannot.
    """
    tps = [TopicPartition(name, p) for name in (*SOURCE_TOPICS, UNIFIED) if name in partitions for p in range(partitions[name])]
    consumer = AIOKafkaConsumer(group_id=GROUP, enable_auto_commit=False, **connection(settings))
    try:
        await consumer.start()
        consumer.assign(tps)
        begin: Offsets = await consumer.beginning_offsets(tps)
        lost = _lost({tp: await consumer.committed(tp) for tp in tps}, begin)
        if lost:
            await consumer.commit({tp: OffsetAndMetadata(begin[tp], "") for tp in lost})
    except KafkaError as error:
        raise refusal(error)(f"the offsets of group {GROUP} could not be read or set: {error!r}") from None
    finally:
        await consumer.stop()
    return lost


async def _chosen(
    consumer: AIOKafkaConsumer, tps: Iterable[TopicPartition], begin: Offsets, end: Offsets, start: str | int | None
) -> Offsets:
    if isinstance(start, int):
        found = await consumer.offsets_for_times(dict.fromkeys(tps, start))
        return {tp: found[tp].offset if found[tp] is not None else end[tp] for tp in tps}
    return dict(end if start == "end" else begin)


def _refuse_loss(committed: dict[TopicPartition, int | None], begin: Offsets) -> None:
    lost = _lost(committed, begin)
    if lost:
        worst = ", ".join(f"{tp.topic}-{tp.partition}: {count}" for tp, count in sorted(lost.items())[:5])
        raise StartRefused(
            f"{sum(lost.values())} records expired before group {GROUP} read them ({worst}). To go on without them:"
            " `python -m faust -A app offsets --accept-loss`"
        )


def _lost(committed: dict[TopicPartition, int | None], begin: Offsets) -> Offsets:
    return {tp: begin[tp] - offset for tp, offset in committed.items() if offset is not None and offset < begin[tp]}
