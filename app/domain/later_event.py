"""A later event: one of a task that comes after all that its row knows, folded onto the row as it is stored.

Nearly every event is one. What it does is plain: each of its members is the newest there is, and whatever was known before stays for
the rest. So it is written into the stored JSON, and no row is taken apart, merged and encoded for it. What comes of it is, to the
last byte, what `fold.deltas`, `rows.merge` and `rows.encode` make of it; where that is not certain at a glance, they are to be asked.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from app.domain import compact_json
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import NO_TASK_FIELDS
from app.domain.named_tuple import new
from app.domain.ranks import rank, timestamp_of
from app.domain.rows import MAX_FIELDS, Row

TYPES: Final = frozenset({"task.created", "task.updated", "task.completed"})
_Parts = tuple[dict[str, Any], dict[str, int], list[str]]
"""A row as it is stored: fields and marks with the places of their ranks, and the ranks."""
_NOTHING: Final[_Parts] = ({}, {}, [])
_MARKS: Final = frozenset({"created", "changed"})
"""The marks of a task that has never been deleted."""


class Folded(NamedTuple):
    """What a later event did; of what people see, all that its data says and nothing else (`state.tells_all`)."""

    row: bytes
    """The row of the task afterwards, as `rows.encode` writes it."""
    creator: Any
    """The value of ``creatorId`` in it; ``None`` where there is none."""
    assignee: Any
    """The value of ``assigneeId``, likewise."""


def leaves(team: Row | None) -> bool:
    """Whether the row of its team stays as it is under a task's event, and hides nothing of the task."""
    return team is not None and "seen" in team.marks and "deleted" not in team.marks


def fold(event: UnifiedEvent, source: Source, stored: bytes | None) -> Folded | None:
    """Fold a task's event onto its row; ``None`` where it is no later event, or not certain to be one.

    Args:
        event: The event, of a user's own task or of a team whose row it `leaves`.
        source: The source record that it came from.
        stored: The row, as `rows.encode` writes it; ``None`` where there is none yet.
    """
    data, makes = event.data, event.type == "task.created"
    if event.type not in TYPES or "createdAt" in data or "updatedAt" in data or (stored is None and not makes):
        return None
    kept = _NOTHING if stored is None else _kept(stored, data, event.timestamp, makes)
    if kept is None:
        return None
    fields, marks, ranks = kept
    place = len(ranks)
    news = {name: (place, value) for name, value in data.items() if name not in NO_TASK_FIELDS}
    if fields:
        news.update(fields)
    if len(news) >= MAX_FIELDS:
        return None
    marks = {"changed": place, "created": place} if makes else {"changed": place, **marks}
    ranks = [*ranks, rank(event.type, event.timestamp, source)]
    row = compact_json.dumps({"f": news, "m": marks, "r": ranks}, option=orjson.OPT_SORT_KEYS)
    creator, assignee = news.get("creatorId"), news.get("assigneeId")
    return new(Folded, (row, creator and creator[1], assignee and assignee[1]))


def _kept(stored: bytes, data: dict[str, Any], timestamp: str, makes: bool) -> _Parts | None:
    """What a later event with this time and data leaves of a row; ``None`` where it may not be later, or the row is not as expected.

    Args:
        stored: The row.
        data: The event's data.
        timestamp: Its time.
        makes: Whether it makes the task anew.
    """
    try:
        row = orjson.loads(stored)
        fields, marks, ranks = row["f"], row["m"], row["r"]
        if len(row) != 3 or not _MARKS.issuperset(marks) or not _ascending(ranks) or timestamp <= timestamp_of(ranks[-1]):
            return None
        marks = {"created": marks["created"]} if "created" in marks and not makes else {}
        if marks and fields.keys() <= data.keys():  # what most producers write: every field there is
            return {}, {"created": 0}, [ranks[marks["created"]]]
        fields = {name: pair for name, pair in fields.items() if name not in data}
        # Ranks that nothing names any more go, and the places of the others close up.
        places = sorted({*marks.values(), *[pair[0] for pair in fields.values()]})
        if not places or places[-1] == len(places) - 1:
            return fields, marks, ranks[: len(places)]
        closed = {place: number for number, place in enumerate(places)}
        fields = {name: (closed[place], value) for name, (place, value) in fields.items()}
        marks = {name: closed[place] for name, place in marks.items()}
        return fields, marks, [ranks[place] for place in places]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _ascending(ranks: list[str]) -> bool:
    """Whether the newest stands last, and each once."""
    before = ""
    for one in ranks:
        if one <= before:
            return False
        before = one
    return True
