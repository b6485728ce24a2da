"""Teams: how far each is folded, by what the tail has read that the fold has not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from app.domain import positions
from app.domain.events import team_key
from app.errors import Moved
from delivery.feeds import Feeds
from delivery.ring import Ring
from delivery.tail import Tail
from tables.changelog import last_row_key
from tables.table import StateTable

RECENT = 2_000
"""Newest records of a partition in which teams are looked for that are busy."""
OTHER = "other"


@dataclass(slots=True, frozen=True)
class Progress:
    """How far a team is folded."""

    team_id: int
    partition: int
    position: str
    """Of its newest folded event; "" before the first."""
    oldest: float | None
    """Time of its oldest event that is not folded, seconds since 1970; ``None`` when all are."""
    oldest_offset: int
    newest: float
    """Time of its newest event, seconds since 1970."""

    def age_seconds(self, folded: Mapping[int, int], now: float) -> float:
        """Age of the oldest event not folded; 0 when all are, also when they were folded since this was found out."""
        if self.oldest is None or folded.get(self.partition, -1) >= self.oldest_offset:
            return 0.0
        return max(0.0, now - self.oldest)


def folded(table: StateTable) -> dict[int, int]:
    """The offset up to which each partition here is folded; those that are being recovered are left out."""
    found = {}
    for partition in table.owned():
        try:
            found[partition] = table.folded(partition)
        except Moved:
            continue
    return found


async def progress(table: StateTable, tail: Tail, limit: int) -> list[Progress]:
    """The busy teams that this worker owns, at most ``limit``: those that are behind first, longest first; then the newest."""
    busy: list[_Busy] = []
    for partition, upto in folded(table).items():
        try:
            ring = tail.ring(partition)
        except KeyError:  # the tail has not begun, or begins anew
            continue
        busy += _of_partition(partition, ring, upto)
        busy.sort(key=lambda one: (one.oldest is None, one.oldest or -one.newest))
        del busy[limit:]
        await asyncio.sleep(0)
    here = folded(table)  # others had a turn meanwhile: what moved is not opened again
    return [
        Progress(one.team_id, one.partition, _position(table, one), one.oldest, one.oldest_offset, one.newest)
        for one in busy
        if one.partition in here
    ]


class _Busy(NamedTuple):
    """A team with recent events; members as in `Progress`."""

    team_id: int
    partition: int
    oldest: float | None
    oldest_offset: int
    newest: float
    log: str


def _of_partition(partition: int, ring: Ring, upto: int) -> list[_Busy]:
    keys: Iterable[str] = {entry.key for entry in ring.newest(RECENT)}
    if len(ring) > RECENT and next(islice(ring.newest(RECENT), RECENT - 1, None)).offset > upto:
        keys = ring.keys_behind(upto)  # far behind: then only those that are
    found = []
    for key in keys:
        team_id = key.removeprefix("team:")
        if not (key.startswith("team:") and team_id.isdecimal()):  # whatever a foreign writer put there
            continue
        behind = ring.after(key, max(upto, ring.start - 1), 1)
        oldest, offset = (behind[0].timestamp / 1000, behind[0].offset) if behind else (None, -1)
        found.append(_Busy(int(team_id), partition, oldest, offset, ring.last(key).timestamp / 1000, ring.log))
    return found


def _position(table: StateTable, one: _Busy) -> str:
    last = table.rows.read(one.partition, last_row_key(team_key(one.team_id)))
    if last is None:
        return ""
    offset, _, check = last.partition(b" ")
    return positions.compose(int(offset), one.log, check.decode())


def connections(feeds: Feeds) -> dict[int, int]:
    """How many sockets of this worker get each team's events."""
    return {feed.view.team_id: len(feed.cursors) for feed in feeds if feed.cursors and feed.view.team_id is not None}


def capped(counts: Iterable[tuple[int, int]], limit: int) -> dict[str, int]:
    """Counts by team, the largest ones each for itself, the rest together."""
    ordered = sorted(counts, key=lambda one: (-one[1], one[0]))
    found = {str(team_id): count for team_id, count in ordered[:limit]}
    rest = sum(count for _team_id, count in ordered[limit:])
    return found | ({OTHER: rest} if rest else {})
