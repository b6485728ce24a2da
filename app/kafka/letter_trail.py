"""What was done about dead letters: remembered in a small compacted topic, so that every list of them can say it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from app.kafka.letters import Letter
from app.kafka.outgoing import Outgoing
from app.kafka.reading import Log
from app.kafka.topics import LETTER_TRAIL

MOST_STEPS = 20
"""Of one dead letter; older ones make room."""

REPLAYED, DISCARDED = "replayed", "discarded"


@dataclass(slots=True, frozen=True)
class Step:
    """One thing that was done about a dead letter."""

    action: str
    """``replayed`` or ``discarded``."""
    at: str
    """RFC 3339."""
    reason: str | None = None
    """Why it was discarded."""
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    event_id: str | None = None
    edited: bool = False
    source_timestamp: int | None = None
    """The time of the source record that was used, milliseconds: a second replay uses it again, so that the event is the same."""


Trail = dict[str, list[Step]]
"""What was done about each dead letter, oldest first, by `Letter.identity`."""


async def read(log: Log) -> Trail:
    """All that is remembered; what cannot be read is left out."""
    trail: Trail = {}
    async for record in log.records(await log.spans(log.partitions([LETTER_TRAIL]))):
        identity = (record.key or b"").decode(errors="replace")
        if record.value is None:
            trail.pop(identity, None)
            continue
        try:
            trail[identity] = [Step(**step) for step in orjson.loads(record.value)["steps"]]
        except (ValueError, KeyError, TypeError):
            continue  # of a later version
    return trail


def entry(letter: Letter, before: list[Step], step: Step) -> Outgoing:
    """The record that remembers one more step."""
    steps: list[dict[str, Any]] = [asdict(one) for one in [*before, step][-MOST_STEPS:]]
    return Outgoing(LETTER_TRAIL, letter.identity.encode(), orjson.dumps({"steps": steps}), partition=0)
