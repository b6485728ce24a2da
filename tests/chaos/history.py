"""What a round left behind, as plain values: all that the checker judges by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Place = tuple[str, int, int]
"""A source record: topic, partition, offset."""


@dataclass(slots=True, frozen=True)
class LogRecord:
    """One record of a topic, as Kafka gives it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """The broker's time, milliseconds."""
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


@dataclass(slots=True, frozen=True)
class Expected:
    """What must become of an acknowledged source record."""

    key: str | None
    """Key of its unified record; ``None`` for a bad one."""
    code: str | None
    """Error code of its dead letter; ``None`` for a good one."""


@dataclass(slots=True)
class Session:
    """One connection of a client, from the 101 answer on."""

    worker: str
    opened: float
    """When the 101 answer had come, milliseconds since the epoch."""
    since: dict[str, str] = field(default_factory=dict)
    """What a rich client asked to go on from: positions by key."""
    messages: list[Message] = field(default_factory=list)
    arrived: list[float] = field(default_factory=list)
    """When each message came, milliseconds since the epoch."""
    closed: float | None = None
    code: int | None = None
    subscribed: bool = False


@dataclass(slots=True)
class ClientHistory:
    """Everything that one client saw."""

    name: str
    user_id: int
    rich: bool
    sessions: list[Session] = field(default_factory=list)


@dataclass(slots=True)
class Evidence:
    """Everything that is known of a round once it has settled."""

    log: list[LogRecord]
    """``team.events``."""
    sources: list[LogRecord]
    """All source topics, acknowledged or not."""
    dead: list[LogRecord]
    """All dead-letter topics."""
    acked: dict[Place, Expected]
    clients: list[ClientHistory]
    tables: dict[str, dict[str, list[dict[str, Any]]]] = field(default_factory=dict)
    """Rows by table, as each worker tells those of all."""
    teams: dict[str, dict[int, Message | None]] = field(default_factory=dict)
    """GET /api/teams/{id} of each worker; ``None`` for 404."""
    complete: bool = True
    """Whether every client is connected and has had its time: what has not come by now is lost."""


def key_of(event: Message) -> str:
    """The key of an event that a client got: its team, or the one user whom it reaches."""
    if event.get("teamId") is not None:
        return f"team:{event['teamId']}"
    data = event["data"]
    return f"user:{data['userId'] if event['type'] == 'user.created' else data['creatorId']}"


def offset_of(position: str) -> int:
    """The offset that a position names; its first 16 hex digits. Every event's is checked against the log."""
    return int(position[:16], 16) - 1
