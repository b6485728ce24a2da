"""Following one event: from its source record through the unified stream to rows, workers and mails."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from aiokafka import TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError

from app.commands.worker_api import WorkerApi
from app.commands.workers import workers
from app.domain.decode import decode
from app.domain.errors import BadRecord
from app.domain.events import Source
from app.domain.fold import deltas
from app.domain.positions import parse as parse_position
from app.domain.positions import position
from app.domain.requests import parse_request
from app.domain.timestamps import time_text
from app.domain.topics import MAIL_DEAD_LETTERS, REQUESTS, SOURCE_TOPICS, UNIFIED, dead_letter_topic
from app.domain.unified import UnifiedRecord, parse
from app.errors import Unavailable
from app.kafka import letter_trail
from app.kafka.directory import Worker
from app.kafka.letter_list import LETTER_TOPICS
from app.kafka.letters import letter_of
from app.kafka.log_id import log_ids
from app.kafka.partitioner import partition_of
from app.kafka.reading import Log, Span
from app.kafka.record import Record
from app.kafka.topics import GROUP, OUTBOX_CHANGELOG
from notifications.rows import State, Status, decode_state, digest, merge, state_key

SKEW_MS = 60_000
"""How far the clocks of brokers may differ: a read begins so much before the source record's time."""
MAIL_TOPICS = (REQUESTS, MAIL_DEAD_LETTERS)
TABLES = {"team": "teams", "member": "members", "task": "tasks", "user": "users"}

SOURCE_HEADERS = ("source-topic", "source-partition", "source-offset", "source-timestamp")

_DEFAULT_ID = re.compile(r"(.+)-([0-9]{1,10})-([0-9]{1,18})-([0-9]{1,15})")


@dataclass(slots=True, frozen=True)
class Step:
    """One thing that is known of the event."""

    step: str
    where: str
    time_ms: int | None
    what: str

    def as_json(self, start_ms: int | None) -> dict[str, Any]:
        """As programs read it."""
        after = None if self.time_ms is None or start_ms is None else self.time_ms - start_ms
        return {"step": self.step, "where": self.where, "time": time_text(self.time_ms), "afterMs": after, "what": self.what}


@dataclass(slots=True)
class Trace:
    """What is known of one event."""

    steps: list[Step] = field(default_factory=list)
    not_looked: list[str] = field(default_factory=list)
    """What was not looked at, and why."""
    source: Source | None = None
    unified: tuple[Record, UnifiedRecord] | None = None
    """The first of its unified records."""
    refused: bool = False
    """Whether the source record is no valid event."""

    def add(self, step: str, where: str, time_ms: int | None, what: str) -> None:
        """Note what was found."""
        self.steps.append(Step(step, where, time_ms, what))


@dataclass(slots=True, frozen=True)
class Bounds:
    """How much is read."""

    since_ms: int | None
    scan: int
    now_ms: int


def source_of_default(event_id: str) -> Source | None:
    """The source record that an event id of the usual form names; ``None`` for a producer's own id."""
    found = _DEFAULT_ID.fullmatch(event_id)
    if found is None or found[1] not in SOURCE_TOPICS:
        return None
    return Source(found[1], int(found[2]), int(found[3]), int(found[4]))


def is_of(event_id: str, source: Source | None) -> Callable[[Record], UnifiedRecord | None]:
    """Says whether a unified record is of the event, and gives it parsed."""
    needle = orjson.dumps(event_id)[1:-1]
    place = None
    if source is not None:
        # The time too: a topic that was made anew has another record at the same offset.
        place = (source.topic.encode(), b"%d" % source.partition, b"%d" % source.offset, b"%d" % source.timestamp)

    def match(record: Record) -> UnifiedRecord | None:
        named = dict(record.headers)
        here = tuple(named.get(name) for name in SOURCE_HEADERS)
        # Parsing costs more than looking: nearly every record is another event's.
        if here != place and needle not in (record.value or b""):
            return None
        try:
            found = parse(record.value, record.headers, record.key)
        except BadRecord:
            return None
        return found if here == place or found.event.event_id == event_id else None

    return match


async def follow(log: Log, api: WorkerApi, event_id: str, bounds: Bounds) -> Trace:
    """Everything that is known of an event, in the order in which it happened."""
    trace = Trace(source=source_of_default(event_id))
    key = await _source(log, trace)
    if trace.refused:
        await _dead_letters(log, trace, event_id, bounds)
    await _unified(log, trace, event_id, key, bounds)
    if trace.unified is None:
        if not trace.refused:
            await _dead_letters(log, trace, event_id, bounds)
        return trace
    record, unified = trace.unified
    if source_of_default(event_id) is None:
        trace.source = unified.source
        await _source(log, trace)
    await _folded(log, trace, record)
    await _rows(trace, api, unified)
    await _delivered(log, trace, api, bounds)
    await _mails(log, trace, event_id, bounds)
    return trace


async def _source(log: Log, trace: Trace) -> str | None:
    """Note the source record; the key that its event has."""
    source = trace.source
    if source is None:
        return None
    where = f"{source.topic}-{source.partition} at {source.offset}"
    record = await log.at(TopicPartition(source.topic, source.partition), source.offset)
    if record is None:
        trace.not_looked.append(f"the source record {where}: it has expired, or never was")
        return None
    if record.timestamp != source.timestamp:
        trace.not_looked.append(
            f"the source record {where}: another stands there, of {time_text(record.timestamp)}; the topic was made anew"
        )
        return None
    try:
        event = decode(record.value, record.headers, source).event
    except BadRecord as bad:
        trace.refused = True
        trace.steps.insert(0, Step("source", where, record.timestamp, f"no valid event: {bad.message} ({bad.code})"))
        return None
    trace.steps.insert(0, Step("source", where, record.timestamp, f"{event.type} for {event.key}, event time {event.timestamp}"))
    return event.key


async def _spans(log: Log, trace: Trace, tps: Sequence[TopicPartition], bounds: Bounds) -> list[Span]:
    """What to read of some partitions: from the source record on where it is known, else of the time asked for the newest."""
    share = max(1, bounds.scan // max(1, len(tps)))
    if trace.source is None:
        spans = await log.spans(tps, since_ms=bounds.since_ms, newest=share)
        left_out = sum(span.left_out for span in spans)
        when = "older"
    else:
        spans = await log.spans(tps, since_ms=min(trace.source.timestamp, bounds.now_ms) - SKEW_MS)
        whole = spans
        spans = [replace(span, end=min(span.end, span.first + share)) for span in spans]
        left_out = sum(one.end - other.end for one, other in zip(whole, spans, strict=True))
        when = "later"
    if left_out:
        trace.not_looked.append(f"{left_out:,} {when} records of {', '.join(sorted({tp.topic for tp in tps}))}; --scan reads more")
    return spans


async def _unified(log: Log, trace: Trace, event_id: str, key: str | None, bounds: Bounds) -> None:
    tps = log.partitions([UNIFIED])
    if key is not None:
        tps = [tp for tp in tps if tp.partition == partition_of(key.encode(), len(tps))]
    if trace.source is None and bounds.since_ms is not None:
        trace.not_looked.append(f"records of {UNIFIED} before {time_text(bounds.since_ms)}; --since looks further back")
    match = is_of(event_id, trace.source)
    log_id = (await log_ids(log.admin, [UNIFIED])).get(UNIFIED, "")
    async for record in log.records(await _spans(log, trace, tps, bounds)):
        found = match(record)
        if found is None:
            continue
        event = found.event
        if event.type.startswith("_"):
            step, what = "internal", f"{event.type} for {event.key}"
        else:
            step = "unified" if trace.unified is None else "repeat or another"
            what = f"{event.type} for {event.key}, position {position(log_id, event.key, record.offset, record.headers)}"
            if trace.unified is not None and _same(trace.unified, (record, found)):
                step, what = (
                    "repeat",
                    f"{record.offset - trace.unified[0].offset:,} offsets behind the first; not delivered within DUPLICATE_WINDOW",
                )
            trace.unified = trace.unified or (record, found)
        trace.add(step, f"{UNIFIED}-{record.partition} at {record.offset}", record.timestamp, what)
    if trace.unified is None:
        why = "the record is a dead letter" if trace.refused else "not repartitioned yet, a dead letter, or outside of what was read"
        trace.add("unified", UNIFIED, None, f"not there: {why}")


def _same(first: tuple[Record, UnifiedRecord], other: tuple[Record, UnifiedRecord]) -> bool:
    """Whether the second is a repeat of the first."""
    one, two = first[1], other[1]
    if first[0].key != other[0].key:
        return False
    named = (one.event.event_id, one.event.timestamp, one.event.data) == (two.event.event_id, two.event.timestamp, two.event.data)
    return one.source == two.source or (named and one.own_event_id)


async def _dead_letters(log: Log, trace: Trace, event_id: str, bounds: Bounds) -> None:
    topics = LETTER_TOPICS if trace.source is None else (dead_letter_topic(trace.source.topic),)
    needle = orjson.dumps(event_id)
    place = None if trace.source is None else f"{trace.source.topic}-{trace.source.partition}-{trace.source.offset}"
    trail = await letter_trail.read(log)
    async for record in log.records(await _spans(log, trace, log.partitions(topics), bounds)):
        letter = letter_of(record)
        if letter is None or not (letter.name == place or (place is None and needle in (record.value or b""))):
            continue
        trace.add("dead letter", letter.place, record.timestamp, f"{letter.name}: {letter.error} ({letter.code})")
        for step in trail.get(letter.identity, []):
            went = (
                f" to {step.topic}-{step.partition} at {step.offset}, event id {step.event_id}" if step.topic else f": {step.reason or ''}"
            )
            trace.add(step.action, letter.name, None, f"{step.at}{went}")


async def _folded(log: Log, trace: Trace, record: Record) -> None:
    try:
        committed = (await log.admin.list_consumer_group_offsets(GROUP)).get(TopicPartition(UNIFIED, record.partition))
    except GroupCoordinatorNotAvailableError:
        committed = None
    at = -1 if committed is None else committed.offset
    done = "folded" if at > record.offset else "not folded yet, or not committed"
    trace.add("fold", f"{UNIFIED}-{record.partition}", None, f"{done}: the group is at {at}; when it folded a record is not written down")


async def _rows(trace: Trace, api: WorkerApi, unified: UnifiedRecord) -> None:
    try:
        for key, _row in deltas(unified.event, unified.source):
            family, _, rest = key.partition("/")
            if family not in TABLES:
                continue
            row = await api.get(f"/api/tables/{TABLES[family]}/{rest}")
            if row is None:
                what = "no such row now (deleted, or hidden by a deletion)"
            else:
                newest = row["value"].get("updatedAt")
                what = (
                    "its newest change is this event's"
                    if newest == unified.event.timestamp
                    else f"last changed {newest}"
                    if newest
                    else "there"
                )
                what += f"; {orjson.dumps(row['value']).decode()[:200]}"
            trace.add("row", f"{TABLES[family]} {rest}", None, what)
    except Unavailable as error:
        trace.not_looked.append(f"the table's rows: {error}")


async def _delivered(log: Log, trace: Trace, api: WorkerApi, bounds: Bounds) -> None:
    if trace.unified is None:
        return
    record, unified = trace.unified
    found = await workers(log, bounds.now_ms)
    if not found:
        trace.not_looked.append("deliveries: no worker tells of itself, so nobody delivers")
    for worker in found:
        await _passed(trace, api.at(worker.url), worker, unified.event.key, record.offset)
    trace.not_looked.append("which sockets got it: that is not written down; a worker that has passed it has sent it to its own")


async def _passed(trace: Trace, api: WorkerApi, worker: Worker, key: str, offset: int) -> None:
    kind, _, number = key.partition(":")
    try:
        state = await api.get(f"/api/{kind}s/{number}")
    except Unavailable as error:
        trace.not_looked.append(f"worker {worker.url}: {error}")
        return
    at = None if state is None else parse_position(state["position"])
    if at is None:
        trace.not_looked.append(f"how far worker {worker.url} is: it knows no {kind} {number} now")
        return
    passed = "has passed it" if at.offset >= offset else "has not reached it"
    trace.add("delivery", worker.url, None, f"{passed}: it is at offset {at.offset} of {key}")


async def _mails(log: Log, trace: Trace, event_id: str, bounds: Bounds) -> None:
    topics = [topic for topic in MAIL_TOPICS if topic in log.topics]
    if not topics:
        trace.not_looked.append(f"mails: there is no topic {REQUESTS}")
        return
    needle = orjson.dumps(event_id)
    asked: dict[bytes, tuple[int, str]] = {}
    async for record in log.records(await _spans(log, trace, log.partitions(topics), bounds)):
        if needle not in (record.value or b""):
            continue
        to = (record.key or b"").decode(errors="replace")
        what = f"given up, for {to}"
        if record.topic == REQUESTS:
            try:
                request = parse_request(record.key, record.value)
            except BadRecord:
                continue  # an order of the notification service's own
            if request.event_id != event_id:
                continue  # it names the event somewhere in its texts
            what = f"asked for, for {to} ({request.reason})"
            asked[state_key(request.recipient, digest(request.key, event_id))] = record.partition, to
        trace.add("mail", f"{record.topic}-{record.partition} at {record.offset}", record.timestamp, what)
    if asked:
        await _outcomes(log, trace, asked, bounds)


async def _outcomes(log: Log, trace: Trace, asked: dict[bytes, tuple[int, str]], bounds: Bounds) -> None:
    """What the outbox of the notification service says of mails, by the keys of their states: partition and recipient."""
    partitions = {partition for partition, _to in asked.values()}
    tps = [tp for tp in log.partitions([OUTBOX_CHANGELOG]) if tp.partition in partitions]
    rows: dict[bytes, bytes] = {}
    async for record in log.records(await _spans(log, trace, tps, bounds)):
        key = record.key
        if key not in asked or record.value is None:
            continue  # a state that is forgotten was one that had ended: what it said last is told while the log has it
        rows[key] = merge(key, rows.get(key), record.value) or record.value
    for key, (partition, to) in asked.items():
        where = f"{OUTBOX_CHANGELOG}-{partition}"
        if key in rows:
            state = decode_state(rows[key])
            trace.add("mail", where, state.changed or state.tried or state.since or None, f"{outcome(state)}, for {to}")
        else:
            trace.add("mail", where, None, f"not in the outbox: not read yet, or ended long ago; for {to}")


def outcome(state: State) -> str:
    """What became of a mail so far."""
    tries = "" if not state.attempts else f" after {state.attempts} tries" if state.attempts > 1 else " at the first try"
    error = f": {state.error}" if state.error else ""
    told = {
        Status.SENT: f"taken by the mail server{tries}",
        Status.DEAD: f"given up{tries}{error}",
        Status.EXPIRED: "not sent: the event was too old",
        Status.CANCELLED: "cancelled",
        Status.TRYING: "being sent",
        Status.WAITING: f"waits{tries}{error}",
    }
    return told[state.status]
