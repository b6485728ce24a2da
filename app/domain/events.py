"""The unified event: what every reader of ``team.events`` and every client sees of one source record."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from app.domain import compact_json

MAX_ID = 2**53 - 1
"""Largest id: browsers hold every integer up to this one exactly (ECMAScript ``Number.MAX_SAFE_INTEGER``)."""

_KEY = re.compile(r"(?:(team|user):)?([1-9][0-9]{0,15})")


class Source(NamedTuple):
    """Where a source record stands: its identity, and the tail of its rank."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """The record's own time, milliseconds since the epoch."""


class UnifiedEvent(NamedTuple):
    """One event as routed: ``key`` says to whom, the rest is the JSON that clients get."""

    key: str
    """``team:<id>``, or ``user:<id>`` for what reaches one user alone."""
    event_id: str
    type: str
    team_id: int | None
    actor_id: int | None
    timestamp: str
    """UTC, RFC 3339 with ``Z`` and exactly six fraction digits, so that texts compare as times."""
    data: dict[str, Any]


def encode(event: UnifiedEvent) -> bytes:
    """The value of the unified record: all members always there, null where there is none."""
    return compact_json.dumps(
        {
            "eventId": event.event_id,
            "type": event.type,
            "teamId": event.team_id,
            "actorId": event.actor_id,
            "timestamp": event.timestamp,
            "data": event.data,
        }
    )


def team_key(team_id: int) -> str:
    """Key of a team's records."""
    return f"team:{team_id}"


def user_key(user_id: int) -> str:
    """Key of the records that reach one user alone."""
    return f"user:{user_id}"


def key_named(text: str) -> str | None:
    """The key that people mean by ``42``, ``team:42`` or ``user:7``; ``None`` for anything else."""
    found = _KEY.fullmatch(text)
    if found is None or int(found[2]) > MAX_ID:
        return None
    return user_key(int(found[2])) if found[1] == "user" else team_key(int(found[2]))
