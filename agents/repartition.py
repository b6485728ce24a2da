"""Repartition: source records in, their events out, keyed by team and in the order that their timestamps ask for."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from agents.deadletter import dead_letter
from app import logs, metrics
from app.domain.decode import decode
from app.domain.errors import BadRecord
from app.domain.events import Source, UnifiedEvent, encode, user_key
from app.domain.fold import MEMBERSHIP, owner_of
from app.domain.named_tuple import new
from app.domain.recent_records import LARGEST_BYTES, RecentRecords
from app.domain.topics import UNIFIED
from app.domain.unified import UnifiedRecord, headers_for, traceparent_of, values_of
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing
from app.kafka.partitioner import partition_of
from app.kafka.record import Record
from app.kafka.sender import Sender
from app.kafka.transport.batches import Batch

log = logs.get(__name__)

MEMBERSHIP_KINDS = {"team.member_added": "added", "team.member_removed": "removed", "team.created": "created"}


class Decoded(NamedTuple):
    """A source record, and what it says."""

    event: UnifiedEvent
    source: Source
    record: Record


@dataclass(slots=True)
class Routed:
    """What comes of a batch of source records."""

    candidates: list[Outgoing] = field(default_factory=list)
    events: list[Outgoing] = field(default_factory=list)
    dead: list[Outgoing] = field(default_factory=list)


class Repartition:
    """Writes the unified stream."""

    def __init__(self, sender: Sender, dead_letters: DeadLetters, topics: Mapping[str, int], recent: RecentRecords) -> None:
        self._sender = sender
        self._dead_letters = dead_letters
        self.sent: dict[int, int] = {}
        """Offset of the newest record that this worker wrote into each partition of the unified stream."""
        self._topics = topics
        self._recent = recent

    async def forward(self, batch: Batch) -> None:
        """Send what comes of a batch; return once the broker has all of it.

        Raises:
            SendFailed: Not everything was acknowledged; nothing of the batch may be.
        """
        routed = self.route(batch.parts.values(), int(time.time() * 1000))
        # Where to look for a user's teams is known before the event that makes them a member: a crash between the two
        # leaves a candidate that is no member, and never a member that is no candidate.
        await self._sender.send(routed.candidates)
        await self._dead_letters.send(routed.dead)
        sent = await self._sender.send(routed.events)
        self.sent.update((tp.partition, offset) for tp, offset in sent.ends.items())

    def route(self, parts: Iterable[list[Record]], now_ms: int) -> Routed:
        """Decode records and say where each goes.

        Records of one part keep their order; across parts the smaller event timestamp goes first.
        """
        routed, partitions = Routed(), self._topics[UNIFIED]
        for event, source, record in in_order([_decoded(records, routed.dead, now_ms) for records in parts]):
            headers = headers_for(source, traceparent_of(record.headers) if record.headers else None)
            key, value, made = event.key.encode(), encode(event), None
            if len(value) <= LARGEST_BYTES:
                # Here it is known already what those who read it back will parse.
                made = self._recent.note(value, values_of(headers), key, new(UnifiedRecord, (event, source)))
            routed.events.append(new(Outgoing, (UNIFIED, key, value, headers, partition_of(key, partitions), None, made)))
            if event.type in MEMBERSHIP_KINDS:
                looks_for = candidate(event)
                key = looks_for.key.encode()
                routed.candidates.append(Outgoing(UNIFIED, key, encode(looks_for), headers, partition_of(key, partitions)))
        return routed


def in_order(parts: list[list[Decoded]]) -> list[Decoded]:
    """All of some parts, each in its order, and of what stands at their heads the smaller event timestamp first.

    What stands behind something later in its part goes with it: so the latest timestamp up to each says where it belongs.
    """
    if len(parts) == 1:
        return parts[0]
    placed = []
    for part in parts:
        latest = ""
        for one in part:
            latest = max(latest, one.event.timestamp)
            placed.append((latest, one))
    placed.sort(key=itemgetter(0))
    return [one for _latest, one in placed]


def candidate(event: UnifiedEvent) -> UnifiedEvent:
    """The internal record beside an event that makes or ends a membership: in which team to look for the user."""
    user_id = owner_of(event) if event.type == "team.created" else event.data["userId"]
    data = {"teamId": event.team_id, "userId": user_id, "kind": MEMBERSHIP_KINDS[event.type]}
    return UnifiedEvent(user_key(user_id), event.event_id, MEMBERSHIP, event.team_id, event.actor_id, event.timestamp, data)


def _decoded(records: list[Record], dead: list[Outgoing], now_ms: int) -> list[Decoded]:
    """What the records of one part say; those that say nothing are added to the dead letters."""
    read: list[Decoded] = []
    metrics.EVENTS.labels(topic=records[0].topic).inc(len(records))
    for record in records:
        source = new(Source, record[:4])  # both begin with topic, partition, offset and time
        try:
            found = decode(record.value, record.headers, source)
        except BadRecord as bad:
            metrics.DEAD_LETTERS.labels(topic=record.topic, code=bad.code.value).inc()
            log.warning(
                "a record is no valid event", topic=record.topic, partition=record.partition, offset=record.offset, code=bad.code.value
            )
            dead.append(dead_letter(record, bad, now_ms))
            continue
        if found.clamped:
            metrics.CLAMPED.labels(topic=record.topic).inc()
        read.append(new(Decoded, (found.event, source, record)))
    return read
