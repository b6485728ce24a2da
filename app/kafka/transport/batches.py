"""Batches: what a stream carries here is the records of some partitions, and it is acknowledged whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import faust
from faust.streams import Stream
from faust.types import TP, ChannelT, ConsumerMessage, EventT, Message, StreamT

from app.kafka.record import Record

BATCH_RECORDS = 500
"""Of one partition in a message, at most. What Faust itself costs a message is paid once for all that a fetch brought an agent."""


@dataclass(slots=True, eq=False)
class Part:
    """Records of one partition, in offset order, not empty."""

    tp: TP
    records: list[Record]
    number: int = 0
    """Its place among the parts of its partition since positions were set, from 1."""
    done: bool = False
    """Acknowledged, while the position was the present one."""

    @property
    def offset(self) -> int:
        """Of the last record."""
        return int(self.records[-1].offset)


class BatchMessage(ConsumerMessage):
    """A message of many records: what a fetch brought of the partitions that one agent reads. Faust sees the first of them.

    ``handled`` tells our acknowledgement from Faust's: a stream also acknowledges what it skips (a message of an
    earlier assignment, or one that is taken while the flow is suspended), and such a message was not processed.
    """

    parts: list[Part]
    handled: bool = False
    epoch: int = 0
    """How often positions had been set when it was fetched."""

    @classmethod
    def of(cls, parts: list[Part], generation_id: int, epoch: int) -> BatchMessage:
        """Wrap parts of different partitions, at least one."""
        tp, last = parts[0].tp, parts[0].records[-1]
        message = cls(
            tp.topic,
            tp.partition,
            last.offset,
            max(last.timestamp, 0) / 1000.0,
            last.timestamp_type,
            None,
            None,
            cast(bytes, parts[0].records),
            None,
            0,
            0,
            tp,
            generation_id=generation_id,
        )
        message.parts = parts
        message.epoch = epoch
        return message

    @property
    def count(self) -> int:
        """How many records there are."""
        return sum([len(part.records) for part in self.parts])


class BatchSchema(faust.Schema[Any, Any]):
    """Lets the list of records through as the event's value; nothing is decoded, so nothing can fail to decode."""

    def compile(self, app: Any, **kwargs: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """Function that makes the event of a message."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return cast(EventT[Any], create_event(None, message.value, None, message))

        return decode


class Positioned(Protocol):
    """What `batches` asks of the consumer."""

    def take(self, message: BatchMessage) -> bool:
        """Note that an agent begins with a batch; ``False``: it is of an earlier assignment or position, and not to be begun."""


@dataclass(slots=True, frozen=True)
class Batch:
    """What waited in a stream when its agent came to take it."""

    events: list[EventT[Any]]

    @property
    def parts(self) -> dict[TP, list[Record]]:
        """The records of each partition, in offset order."""
        found: dict[TP, list[Record]] = {}
        for event in self.events:
            for part in cast(BatchMessage, event.message).parts:
                held = found.get(part.tp)
                found[part.tp] = part.records if held is None else held + part.records
        return found

    def ack(self) -> None:
        """Say that everything that came of these records is in the broker: their offsets may be committed."""
        for event in self.events:
            cast(BatchMessage, event.message).handled = True
            event.ack()


async def batches(stream: StreamT[Any], records: int = 1000) -> AsyncIterator[Batch]:
    """Take all that waits in a stream, up to some ``records``; acknowledgement is the caller's.

    While one batch is being sent the next one gathers, so batches are as small as the load is light.

    Args:
        stream: An agent's.
        records: Where a batch ends.

    Raises:
        BatchLost: A batch did not come that was fetched before the one that came.
    """
    stream = cast(Stream[Any], stream).noack()
    queue = cast(ChannelT[Any], stream.channel).queue
    consumer = cast(Positioned, stream.app.consumer)
    async for event in stream.events():
        taken = [event] if consumer.take(cast(BatchMessage, event.message)) else []
        if not taken:
            event.ack()  # counts for nothing; nobody has to wait for it any more
        count = sum([cast(BatchMessage, one.message).count for one in taken])
        # Taken at once: while something is wanted a rebalance may empty the queue, and nobody would come back for these.
        while count < records and not queue.empty():
            more: EventT[Any] = queue.get_nowait()
            if consumer.take(cast(BatchMessage, more.message)):
                taken.append(more)
                count += cast(BatchMessage, more.message).count
        if taken:
            yield Batch(taken)
