"""What has to be written so that a person is forgotten: pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from app.domain.ranks import timestamp_of
from app.domain.rows import USER_FIELDS, Row
from app.producing import fields
from app.producing.values import timestamp_text, value_of

FIELDS_AT_ONCE = 60
"""Of one event, which may carry 64 that we do not know."""
STEP = timedelta(microseconds=1)


@dataclass(slots=True, frozen=True)
class Known:
    """What is known of a person."""

    user_id: int
    teams: Sequence[int]
    """Those that they are a member of."""
    rows: Mapping[str, Row]
    """Their own rows: ``user/<id>`` and ``task/user:<id>/<task>``."""

    @property
    def own_tasks(self) -> list[int]:
        """Personal tasks of which any field is kept."""
        prefix = f"task/user:{self.user_id}/"
        return sorted(int(key.removeprefix(prefix)) for key, row in self.rows.items() if key.startswith(prefix) and row.fields)

    @property
    def told(self) -> list[str]:
        """Names of what is kept of the person and is not null."""
        row = self.rows.get(f"user/{self.user_id}")
        return sorted(name for name, (_, value) in row.fields.items() if value is not None) if row else []


@dataclass(slots=True)
class Plan:
    """Events to be written, in order."""

    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def add(self, topic: str, value: dict[str, Any]) -> None:
        """One more."""
        self.events.append((topic, value))


def plan(known: Known, now: datetime, name: str) -> Plan:
    """The events that end every membership, delete the person's own tasks and clear what is kept of them.

    All are acts of the person, about which nobody is mailed. Each is newer than everything that is known of its row, so that it wins.

    Args:
        known: what there is.
        now: an aware moment.
        name: begins the ids of the events.
    """
    made = Plan()
    user = known.user_id
    at = timestamp_text(max(now, _newest(known.rows.values()) + STEP))

    def event(topic: str, members: Mapping[str, object], payload: Mapping[str, object], part: str) -> None:
        made.add(topic, value_of(topic, members, payload, timestamp=at, event_id=f"{name}-{part}"))

    for team in known.teams:
        event("team.member_removed", fields.member(team, user, user, None), {}, f"team-{team}")
    for task in known.own_tasks:
        event("task.deleted", fields.task(task, None, user, user), {}, f"task-{task}")
    cleared = list(dict.fromkeys([*known.told, *USER_FIELDS])) if known.told else []
    for start in range(0, len(cleared), FIELDS_AT_ONCE):
        event("user.created", {"userId": user}, dict.fromkeys(cleared[start : start + FIELDS_AT_ONCE]), f"user-{start}")
    return made


def _newest(rows: Iterable[Row]) -> datetime:
    """The newest time that any part of the rows is of."""
    ranks = [rank for row in rows for rank in (*row.marks.values(), *(pair[0] for pair in row.fields.values())) if rank]
    newest = timestamp_of(max(ranks)) if ranks else "1970-01-01T00:00:00.000000Z"
    return datetime.fromisoformat(newest)
