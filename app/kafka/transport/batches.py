"""Batches: what a stream carries here is a list of records of one partition, and it is acknowledged whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Protocol, TypeAlias, cast

import faust
from aiokafka.structs import ConsumerRecord
from faust.streams import Stream
from faust.types import TP, ChannelT, ConsumerMessage, EventT, Message, StreamT

BATCH_RECORDS = 500
"""Records of one batch at most. Faust's own cost a message (four tasks, some 30 us) is paid once a batch."""

Record: TypeAlias = ConsumerRecord[bytes | None, bytes | None]


class BatchMessage(ConsumerMessage):
    """A message whose value is a list of records and whose offset is the last record's.

    ``handled`` tells our acknowledgement from Faust's: a stream also acknowledges what it skips (a message of an
    earlier assignment, or one that is taken while the flow is suspended), and such a message was not processed.
    """

    handled: bool = False
    done: bool = False
    """Acknowledged, and of the position that was the present one then."""
    epoch: int = 0
    """How often positions had been set when it was fetched."""
    number: int = 0
    """Its place among the batches of its partition since positions were set, from 1."""

    @classmethod
    def of(cls, tp: TP, records: list[Record], generation_id: int, epoch: int) -> BatchMessage:
        """Wrap records of one partition, in offset order, not empty."""
        last = records[-1]
        seconds = last.timestamp / 1000.0 if last.timestamp is not None else 0.0
        message = cls(
            tp.topic,
            tp.partition,
            last.offset,
            seconds,
            last.timestamp_type or 0,
            None,
            None,
            cast(bytes, records),
            None,
            0,
            0,
            tp,
            generation_id=generation_id,
        )
        message.epoch = epoch
        return message


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
            found.setdefault(event.message.tp, []).extend(cast("list[Record]", event.value))
        return found

    def ack(self) -> None:
        """Say that everything that came of these records is in the broker: their offsets may be committed."""
        for event in self.events:
            cast(BatchMessage, event.message).handled = True
            event.ack()


GATHER_STEP_SECONDS = 0.005
GATHER_QUEUE = 16
"""A quarter of what a stream's queue takes: beyond, it is emptied, since a full one holds up every other stream."""


async def batches(
    stream: StreamT[Any], records: int = 4000, gather: float = 0.0, wanted: Callable[[], bool] = lambda: False
) -> AsyncIterator[Batch]:
    """Take all that waits in a stream, up to some ``records``; acknowledgement is the caller's.

    While one batch is being sent the next one gathers, so batches are as small as the load is light.

    Args:
        stream: An agent's.
        records: Where a batch ends.
        gather: Seconds from one batch to the next, unless more comes than may wait.
        wanted: Says whether somebody waits for the next one.

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
        count = sum(len(cast("list[Record]", one.value)) for one in taken)
        # Taken at once: while something is wanted a rebalance may empty the queue, and nobody would come back for these.
        while count < records and not queue.empty():
            more: EventT[Any] = queue.get_nowait()
            if consumer.take(cast(BatchMessage, more.message)):
                taken.append(more)
                count += len(cast("list[Record]", more.value))
        if taken:
            begun = monotonic()
            yield Batch(taken)
            while monotonic() - begun < gather and queue.qsize() < GATHER_QUEUE and not wanted():  # noqa: ASYNC110  (the queue has no such event)
                await asyncio.sleep(GATHER_STEP_SECONDS)
