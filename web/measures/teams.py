"""Teams: how far each is folded, by what the tail has read that the fold has not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from app.domain import positions
from app.errors import Moved
from delivery.feeds import Feeds
from delivery.tail import Tail
from tables.changelog import last_row_key
from tables.table import StateTable

RECENT = 2_000
"""Newest records of a partition in which teams are looked for that are busy."""
BEHIND = 50_000
"""Records of a partition, newest first, in which those are looked for that are not folded; what is older is folded or far too late."""
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
    found: list[Progress] = []
    for partition, upto in folded(table).items():
        try:
            found += _of_partition(table, tail, partition, upto)
        except KeyError:  # the tail has not begun, or begins anew
            continue
        found.sort(key=lambda one: (one.oldest is None, one.oldest or -one.newest))
        del found[limit:]
        await asyncio.sleep(0)
    return found


def _of_partition(table: StateTable, tail: Tail, partition: int, upto: int) -> list[Progress]:
    ring = tail.ring(partition)
    newest: dict[str, float] = {}
    oldest: dict[str, tuple[float, int]] = {}
    for count, entry in enumerate(ring.newest(BEHIND)):
        behind = entry.offset > upto
        if not behind and count >= RECENT:
            break
        if entry.key.startswith("team:"):
            newest.setdefault(entry.key, entry.timestamp / 1000)
            if behind:
                oldest[entry.key] = (entry.timestamp / 1000, entry.offset)
    found = []
    for key, at in newest.items():
        last = table.rows.read(partition, last_row_key(key))
        offset, _, check = (b"" if last is None else last).partition(b" ")
        position = positions.compose(int(offset), ring.log, check.decode()) if last is not None else ""
        since, since_offset = oldest.get(key, (None, -1))
        team_id = key.removeprefix("team:")
        if team_id.isdecimal():  # whatever a foreign writer put there
            found.append(Progress(int(team_id), partition, position, since, since_offset, at))
    return found


def connections(feeds: Feeds) -> dict[int, int]:
    """How many sockets of this worker get each team's events."""
    return {feed.view.team_id: len(feed.cursors) for feed in feeds if feed.cursors and feed.view.team_id is not None}


def capped(counts: Iterable[tuple[int, int]], limit: int) -> dict[str, int]:
    """Counts by team, the largest ones each for itself, the rest together."""
    ordered = sorted(counts, key=lambda one: (-one[1], one[0]))
    found = {str(team_id): count for team_id, count in ordered[:limit]}
    rest = sum(count for _team_id, count in ordered[limit:])
    return found | ({OTHER: rest} if rest else {})
