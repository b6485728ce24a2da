"""One key's history: its events as the log has them, and what each changed. Nothing is written, and no table is touched."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from app.domain import state as states
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import deltas
from app.domain.positions import position
from app.domain.timestamps import time_text
from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.log_id import log_ids
from app.kafka.partitioner import partition_of
from app.kafka.reading import Log, Span
from delivery.window import DuplicateWindow, identities
from tables.refold import Rebuilt

Seen = dict[str, dict[str, Any]]
"""What people see of a key: ``team``, ``member/7``, ``task/1001``, ``user``."""
Changes = dict[str, dict[str, Any] | None]
"""What an event made of it; ``None``: gone."""


@dataclass(slots=True, frozen=True)
class Told:
    """An event, where it stands, and when it was written."""

    offset: int
    position: str
    written_ms: int
    event: UnifiedEvent
    source: Source
    repeat: bool
    """Whether readers of the log leave it out, since it repeats one shortly before it."""

    def as_json(self) -> dict[str, Any]:
        """As programs read it."""
        event, source = self.event, self.source
        return {
            "offset": self.offset,
            "position": self.position,
            "writtenAt": time_text(self.written_ms),
            "timestamp": event.timestamp,
            "type": event.type,
            "eventId": event.event_id,
            "actorId": event.actor_id,
            "source": f"{source.topic}-{source.partition}-{source.offset}",
            "repeat": self.repeat,
            "data": event.data,
        }


class History:
    """Reads the events of one ``team:<id>`` or ``user:<id>``, oldest first, and folds them on the way."""

    def __init__(self, log: Log, key: str, log_id: str, span: Span, window: int) -> None:
        self.key = key
        self.span = span
        self.rebuilt = Rebuilt(key, log_id)
        self._log = log
        self._window = window

    @classmethod
    async def of(  # noqa: PLR0917  (as the option of commands and the query of routes)
        cls, log: Log, key: str, window: int, since_ms: int | None = None, newest: int | None = None, before: int | None = None
    ) -> History:
        """The history of a key, as far as asked.

        Args:
            log: To read.
            key: ``team:<id>`` or ``user:<id>``.
            window: The DUPLICATE_WINDOW.
            since_ms: Records of this time or later, milliseconds since the epoch; ``None``: all that there are.
            newest: Of its partition at most so many offsets, the newest.
            before: Only what stands before this offset.

        Raises:
            Unavailable: There is no unified stream.
        """
        if UNIFIED not in log.topics:
            raise Unavailable(f"there is no topic {UNIFIED}")
        log_id = (await log_ids(log.admin, [UNIFIED]))[UNIFIED]
        tps = log.partitions([UNIFIED])
        [span] = await log.spans([tps[partition_of(key.encode(), len(tps))]], since_ms=since_ms)
        if before is not None:
            span = replace(span, end=max(span.first, min(span.end, before)))
        if newest is not None:
            span = replace(span, first=max(span.first, span.end - newest))
        return cls(log, key, log_id, span, window)

    @property
    def whole(self) -> bool:
        """Whether the log is read from its very first record on: what is folded then is all that ever happened."""
        return self.span.first == 0

    async def events(self) -> AsyncIterator[Told]:
        """Every event, folded when it is given."""
        raw_key = self.key.encode()
        window = DuplicateWindow(self._window)
        async for record in self._log.records([self.span]):
            if record.key != raw_key:
                continue
            repeat = window.distance(record.offset, identities(record.key, record.value or b"", record.headers)) is not None
            found = self.rebuilt.fold(record)
            if found is not None:
                where = position(self.rebuilt.log_id, self.key, record.offset, record.headers)
                yield Told(record.offset, where, record.timestamp, found.event, found.source, repeat)


@dataclass(slots=True)
class Steps:
    """The newest events of a history with what each changed, and the state that they began with."""

    rebuilt: Rebuilt
    limit: int
    begin: Seen = field(default_factory=dict)
    kept: deque[tuple[Told, Changes]] = field(default_factory=deque)
    _now: Seen = field(default_factory=dict)
    _members: int = 0
    _deleted: str | None = None

    def add(self, told: Told) -> None:
        """Take one more event, which has just been folded; the oldest one becomes part of the beginning when there are too many."""
        changes = self._changes(told)
        _take(self._now, changes)
        self.kept.append((told, changes))
        if len(self.kept) > self.limit:
            _take(self.begin, self.kept.popleft()[1])

    def _changes(self, told: Told) -> Changes:
        touched = {key for key, _row in deltas(told.event, told.source)}
        if self.rebuilt.deleted != self._deleted:
            self._deleted = self.rebuilt.deleted
            touched = set(self.rebuilt.rows)  # a deletion hides whatever is older
        kind, _, number = self.rebuilt.key.partition(":")
        changes: Changes = {}
        for row_key in touched - {f"team/{number}"}:
            family, _, rest = row_key.partition("/")
            self._note(changes, family if family == "user" else f"{family}/{rest.rpartition('/')[2]}", self.rebuilt.seen(row_key))
        self._members += sum((after is not None) - (name in self._now) for name, after in changes.items() if name.startswith("member/"))
        if kind == "team":
            self._note(changes, "team", states.team_state(int(number), self.rebuilt.rows.get(f"team/{number}"), self._members > 0))
        return changes

    def _note(self, changes: Changes, name: str, after: dict[str, Any] | None) -> None:
        if after != self._now.get(name):
            changes[name] = after


def _take(seen: Seen, changes: Changes) -> None:
    for name, after in changes.items():
        if after is None:
            seen.pop(name, None)
        else:
            seen[name] = after
