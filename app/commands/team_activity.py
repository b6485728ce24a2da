"""Which teams are busy: counted from the end of the unified stream."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from app.domain.topics import UNIFIED
from app.kafka.reading import Log
from app.kafka.record import Record

TEAM_KEY = re.compile(rb"team:([1-9][0-9]{0,15})")


@dataclass(slots=True)
class TeamActivity:
    """A team's events within a span of the log."""

    events: int = 0
    last_ms: int = -1
    """When the newest was written."""
    partition: int = 0


@dataclass(slots=True)
class Activity:
    """All teams' events within a span of the log."""

    teams: dict[int, TeamActivity] = field(default_factory=dict)
    left_out: int = 0
    """Records of the span that were not read."""

    def add(self, record: Record) -> None:
        """Count a record; those of no team are left out."""
        found = TEAM_KEY.fullmatch(record.key or b"")
        if found is None:
            return
        team = self.teams.setdefault(int(found[1]), TeamActivity(partition=record.partition))
        team.events += 1
        team.last_ms = max(team.last_ms, record.timestamp)

    def hottest(self) -> Iterable[int]:
        """Teams, the busiest first."""
        return sorted(self.teams, key=lambda team: (-self.teams[team].events, team))


async def activity(log: Log, since_ms: int | None, scan: int) -> Activity:
    """Count events by team: of the newest records, some ``scan`` at most."""
    tps = log.partitions([UNIFIED])
    spans = await log.spans(tps, since_ms=since_ms, newest=max(1, scan // max(1, len(tps))))
    found = Activity(left_out=sum(span.left_out for span in spans))
    async for record in log.records(spans):
        found.add(record)
    return found
