"""The dead letters that there are: repeats counted once, and what was done about each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from app.domain.timestamps import time_text
from app.domain.topics import SOURCE_TOPICS, UNIFIED, dead_letter_topic
from app.errors import Unavailable
from app.kafka import letter_trail
from app.kafka.letter_trail import Step, Trail
from app.kafka.letters import Letter, letter_of
from app.kafka.reading import Log
from app.kafka.record import Record

OPEN = "open"
LETTER_TOPICS = tuple(dead_letter_topic(name) for name in (*SOURCE_TOPICS, UNIFIED))


def is_name(text: str) -> bool:
    """Whether a text can name a dead letter: the place of its source record, or its own."""
    topic, *place = text.rsplit("-", 2)
    numbers = len(place) == 2 and all(part.isascii() and part.isdigit() and len(part) < 19 for part in place)
    return numbers and topic in (*SOURCE_TOPICS, UNIFIED, *LETTER_TOPICS)


@dataclass(slots=True)
class Found:
    """One dead letter, however often it is in the log."""

    letter: Letter
    """The newest repeat."""
    first: Letter
    """The oldest repeat that was read."""
    count: int
    steps: list[Step]

    @property
    def status(self) -> str:
        """``open``, ``replayed`` or ``discarded``."""
        return self.steps[-1].action if self.steps else OPEN

    def as_json(self) -> dict[str, Any]:
        """All that is known, without the value."""
        letter = self.letter
        return {
            "letter": letter.name,
            "place": letter.place,
            "code": letter.code,
            "error": letter.error,
            "topic": letter.source_topic,
            "partition": letter.source_partition,
            "offset": letter.source_offset,
            "failedAt": letter.failed_at,
            "writtenAt": time_text(letter.written_ms),
            "bytes": letter.size,
            "valueWithheld": letter.withheld,
            "repeats": self.count,
            "status": self.status,
            "steps": [step_json(step) for step in self.steps],
        }


@dataclass(slots=True)
class Letters:
    """What was read, and what was not."""

    found: list[Found] = field(default_factory=list)
    """Newest first."""
    read: int = 0
    left_out: int = 0
    """Records of the time asked for that were not read, to keep the read bounded; all older than those that were."""
    foreign: int = 0
    """Records in these topics that are no dead letters of ours."""

    def as_json(self, limit: int) -> dict[str, Any]:
        """All of it, with the newest ``limit`` letters."""
        shown = self.found[:limit]
        return {
            "counts": self.counts(),
            "letters": [one.as_json() for one in shown],
            "listed": len(shown),
            "found": len(self.found),
            "recordsRead": self.read,
            "recordsNotRead": self.left_out,
            "foreignRecords": self.foreign,
        }

    def narrow(self, codes: Sequence[str], statuses: Sequence[str]) -> None:
        """Keep those with one of these error codes, and of one of these statuses; an empty choice leaves all."""
        self.found = [one for one in self.found if (not codes or one.letter.code in codes) and (not statuses or one.status in statuses)]

    def counts(self) -> list[dict[str, Any]]:
        """How many there are of each topic and code, and since when."""
        groups: dict[tuple[str, str], list[Found]] = {}
        for one in self.found:
            groups.setdefault((one.letter.source_topic, one.letter.code), []).append(one)
        return [
            {
                "topic": topic,
                "code": code,
                "letters": len(group),
                **_by_status(group),
                "repeats": sum(one.count for one in group) - len(group),
                "first": time_text(min(one.first.written_ms for one in group)),
                "last": time_text(max(one.letter.written_ms for one in group)),
            }
            for (topic, code), group in sorted(groups.items())
        ]


def step_json(step: Step) -> dict[str, Any]:
    """A step as programs read it."""
    told: dict[str, Any] = {"action": step.action, "at": step.at}
    if step.action == letter_trail.REPLAYED:
        return told | {
            "topic": step.topic,
            "partition": step.partition,
            "offset": step.offset,
            "eventId": step.event_id,
            "edited": step.edited,
        }
    return told | {"reason": step.reason}


def _by_status(group: Iterable[Found]) -> dict[str, int]:
    counted = Counter(one.status for one in group)
    return {status: counted[status] for status in (OPEN, letter_trail.REPLAYED, letter_trail.DISCARDED)}


async def collect(log: Log, topics: Sequence[str], since_ms: int | None, scan: int) -> Letters:
    """Read dead letters: at most about ``scan`` records, the newest of each partition."""
    tps = log.partitions(topics)
    spans = await log.spans(tps, since_ms=since_ms)
    wanted = sum(span.end - span.first for span in spans)
    if wanted > scan:
        spans = await log.spans(tps, since_ms=since_ms, newest=max(1, scan // len(tps)))
    letters = Letters(left_out=sum(span.left_out for span in spans))
    trail = await letter_trail.read(log)
    groups: dict[str, Found] = {}
    async for record in log.records(spans):
        letters.read += 1
        letter = letter_of(record)
        if letter is None:
            letters.foreign += 1
        else:
            _count(groups, letter, trail)
    letters.found = sorted(groups.values(), key=lambda one: (one.letter.written_ms, one.letter.place), reverse=True)
    return letters


def _count(groups: dict[str, Found], letter: Letter, trail: Trail) -> None:
    found = groups.get(letter.identity)
    if found is None:
        groups[letter.identity] = Found(letter, letter, 1, trail.get(letter.identity, []))
        return
    found.count += 1
    if letter.written_ms >= found.letter.written_ms:
        found.letter = letter
    if letter.written_ms < found.first.written_ms:
        found.first = letter


async def find(log: Log, names: Sequence[str], since_ms: int | None, scan: int) -> list[Found | None]:
    """Dead letters by their names (the place of the source record) or by their own places; ``None`` for one that is not among those read.

    A place is found however old it is; its repeats are counted as far as they were read.
    """
    topics = {topic if topic in LETTER_TOPICS else dead_letter_topic(topic) for topic in (name.rsplit("-", 2)[0] for name in names)}
    by_name: dict[str, Found] = {}
    for one in reversed((await collect(log, sorted(topics), since_ms, scan)).found):  # the newest of a name wins
        by_name |= {one.letter.name: one, one.first.place: one, one.letter.place: one}
    return [by_name.get(name) or await _at(log, name) for name in names]


async def _at(log: Log, place: str) -> Found | None:
    topic, partition, offset = place.rsplit("-", 2)
    record = await log.at(TopicPartition(topic, int(partition)), int(offset)) if topic in LETTER_TOPICS else None
    letter = None if record is None else letter_of(record)
    return None if letter is None else Found(letter, letter, 1, (await letter_trail.read(log)).get(letter.identity, []))


async def record_of(log: Log, found: Found) -> Record:
    """A dead letter's record.

    Raises:
        Unavailable: It expired just now.
    """
    letter = found.letter
    record = await log.at(TopicPartition(letter.topic, letter.partition), letter.offset)
    if record is None:
        raise Unavailable(f"{letter.name} has just expired")
    return record
