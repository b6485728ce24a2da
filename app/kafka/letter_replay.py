"""What is done about a dead letter: replayed or discarded, and remembered."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from app.domain.errors import Fault
from app.domain.events import Source
from app.domain.timestamps import from_millis
from app.errors import SendFailed, TeamcastError, Unavailable
from app.kafka import letter_trail
from app.kafka.client import connection
from app.kafka.letter_list import Found
from app.kafka.letter_trail import DISCARDED, REPLAYED, Step
from app.kafka.letters import Original, event_id_of, faults_of, named, original_of, trailed, without_envelope
from app.kafka.outgoing import Headers, Outgoing
from app.kafka.reading import Log
from app.kafka.record import Record
from app.kafka.sender import Sender
from app.kafka.topics import DEAD_LETTER_MAX
from app.producing.values import describe
from app.settings import Settings

SEND_SECONDS = 30.0


class DeadAgain(TeamcastError):  # noqa: N818  (a state of affairs, like its siblings)
    """Nothing was sent: it would be a dead letter again.

    Attributes:
        faults: everything that is wrong with it.
    """

    def __init__(self, name: str, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("\n".join([f"{name} would be a dead letter again:", *(f"  {describe(fault)}" for fault in faults)]))


class ValueGone(TeamcastError):  # noqa: N818
    """Nothing was sent: the value is nowhere any more, and no other was given."""


@dataclass(slots=True, frozen=True)
class Replay:
    """How to replay."""

    value: bytes | None = None
    """In place of the original's; ``None``: the original's."""
    plain: bool = False
    """Whether to leave out the headers that make it a CloudEvent."""
    check: bool = True
    """Whether to refuse what would be a dead letter again."""


@asynccontextmanager
async def sending(settings: Settings) -> AsyncIterator[Sender]:
    """A sender for as long as the block lasts.

    Raises:
        Unavailable: No broker answers.
    """
    producer = AIOKafkaProducer(acks="all", enable_idempotence=True, max_request_size=DEAD_LETTER_MAX, **connection(settings))
    try:
        await producer.start()
        yield Sender(lambda: producer.client)
    except KafkaError as error:
        raise Unavailable(f"KAFKA_BROKERS: no broker takes records ({type(error).__name__})") from None
    finally:
        await producer.stop()


async def replay(log: Log, sender: Sender, found: Found, record: Record, how: Replay) -> Step:
    """Write a dead letter's record to its source topic once more, and remember it.

    The trail is written behind the record: a crash between the two leaves a dead letter that seems open, and whose next replay is a repeat.

    Raises:
        DeadAgain: It would be a dead letter again.
        ValueGone: Its value is nowhere any more.
        SendFailed: The brokers did not acknowledge it; it may be in the log all the same.
    """
    letter = found.letter
    original = original_of(record)
    stood = await _source_record(log, found, original)
    if how.value is not None:
        original = original._replace(value=how.value)
    elif letter.withheld:
        if stood is None:
            raise ValueGone(f"{letter.name}: neither the dead letter nor {letter.source_topic} has its value any more; give another")
        original = original._replace(value=stood.value)
    if how.plain:
        original = without_envelope(original)
    source = Source(letter.source_topic, letter.source_partition, letter.source_offset, _source_time(found, stood))
    ready = named(original, source)
    if how.check and (faults := faults_of(ready, source)):
        raise DeadAgain(letter.name, faults)
    at = from_millis(int(time.time() * 1000))
    ready = trailed(ready, letter, at)
    # Beside the record that it stands for: what a producer wrote to one partition stays in one.
    partition = letter.source_partition if letter.source_partition < log.topics.get(letter.source_topic, 0) else None
    headers = cast(Headers, ready.headers)  # aiokafka writes a header without a value as it is
    [sent] = await sender.send([Outgoing(letter.source_topic, ready.key, ready.value, headers, partition)], SEND_SECONDS)
    event_id = event_id_of(ready, source)
    step = Step(
        REPLAYED, at, None, letter.source_topic, sent.partition, sent.offset, event_id, how.value is not None or how.plain, source.timestamp
    )
    await _remember(sender, found, step)
    return step


async def discard(sender: Sender, found: Found, reason: str | None) -> Step:
    """Remember that a dead letter needs nothing more; it stays in its topic.

    Raises:
        SendFailed: The brokers did not acknowledge it.
    """
    step = Step(DISCARDED, from_millis(int(time.time() * 1000)), reason)
    await _remember(sender, found, step)
    return step


async def _remember(sender: Sender, found: Found, step: Step) -> None:
    try:
        await sender.send([letter_trail.entry(found.letter, found.steps, step)], SEND_SECONDS)
    except SendFailed as error:
        raise SendFailed(f"{found.letter.name} was {step.action}, but that could not be written down: {error}") from error
    found.steps = [*found.steps, step]


async def _source_record(log: Log, found: Found, original: Original) -> Record | None:
    """The record that became the dead letter, where it is still there; a topic that was made anew has another in its place."""
    letter = found.letter
    record = await log.at(TopicPartition(letter.source_topic, letter.source_partition), letter.source_offset)
    if record is None or record.key != original.key or (record.value != original.value and not letter.withheld):
        return None
    return record


def _source_time(found: Found, stood: Record | None) -> int:
    """The source record's time, milliseconds; where the record has expired, the one that an earlier replay used, else when it failed."""
    if stood is not None:
        return int(stood.timestamp)
    used = [step.source_timestamp for step in found.steps if step.source_timestamp is not None]
    return used[0] if used else found.first.written_ms
