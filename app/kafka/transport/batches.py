"""Batches: what a stream carries here is a list of records of one partition, and it is acknowledged whole."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

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

    @classmethod
    def of(cls, tp: TP, records: list[Record], generation_id: int) -> BatchMessage:
        """Wrap records of one partition, in offset order, not empty."""
        last = records[-1]
        seconds = last.timestamp / 1000.0 if last.timestamp is not None else 0.0
        return cls(
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


class BatchSchema(faust.Schema[Any, Any]):
    """Lets the list of records through as the event's value; nothing is decoded, so nothing can fail to decode."""

    def compile(self, app: Any, **kwargs: Any) -> Callable[..., Awaitable[EventT[Any]]]:
        """Function that makes the event of a message."""
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> EventT[Any]:
            return cast(EventT[Any], create_event(None, message.value, None, message))

        return decode


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


async def batches(stream: StreamT[Any], records: int = 4000) -> AsyncIterator[Batch]:
    """Take all that waits in a stream, up to some ``records``; acknowledgement is the caller's.

    While one batch is being sent the next one gathers, so batches are as small as the load is light, without a timer.
    """
    stream = cast(Stream[Any], stream).noack()
    queue = cast(ChannelT[Any], stream.channel).queue
    taken: list[EventT[Any]] = []
    count = 0
    async for event in stream.events():
        taken.append(event)
        count += len(cast("list[Record]", event.value))
        if count >= records or queue.empty():
            yield Batch(taken)
            taken, count = [], 0
