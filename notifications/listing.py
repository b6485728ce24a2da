"""The outbox as people see it."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import Any

from app.domain.requests import parse_request
from app.domain.timestamps import from_millis
from notifications.rows import IDENTITY, MAIL, State, decode_state, place_of, queue_prefix, state_key
from notifications.table import OutboxTable


@dataclass(slots=True, frozen=True)
class Listed:
    """A mail that waits or is being sent."""

    user_id: int
    identity: str
    state: State
    request: bytes
    """As it came."""

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """As the API and the commands tell it; ``whole``: with the event."""
        request, state = parse_request(b"user:%d" % self.user_id, self.request), self.state
        told: dict[str, Any] = {
            "recipient": self.user_id,
            "id": self.identity,
            "type": request.type,
            "eventId": request.event_id,
            "key": request.key,
            "status": state.status,
            "attempts": state.attempts,
            "since": from_millis(state.since),
            "due": from_millis(state.due),
            "error": state.error or None,
        }
        return told | ({"request": {"reason": request.reason, "position": request.position, "event": request.event}} if whole else {})


def page(table: OutboxTable, user_id: int | None, after: bytes, limit: int) -> tuple[list[Listed], bytes | None]:
    """Mails of this worker behind the key ``after``, of one user or all, in the order of users and places; and the next key."""
    prefix = MAIL if user_id is None else queue_prefix(user_id)
    parts = []
    for partition in sorted(table.ready()):
        rows = table.rows.scan(partition, prefix, after + b"\0" if after else None, limit)
        parts.append([(key, partition, value) for key, value in rows])
    merged = list(heapq.merge(*parts))
    found = [listed for key, partition, value in merged[:limit] if (listed := _listed(table, partition, key, value)) is not None]
    return found, merged[limit - 1][0] if len(merged) >= limit else None


def live(table: OutboxTable, user_id: int, identity: str) -> Listed | None:
    """One mail that this worker has."""
    for partition in table.ready():
        for key, value in table.rows.scan(partition, queue_prefix(user_id)):
            if value[:IDENTITY] == identity.encode(errors="replace"):
                return _listed(table, partition, key, value)
    return None


def _listed(table: OutboxTable, partition: int, key: bytes, value: bytes) -> Listed | None:
    user_id, _place = place_of(key)
    identity = value[:IDENTITY].decode()
    row = table.rows.read(partition, state_key(user_id, identity))
    return None if row is None else Listed(user_id, identity, decode_state(row), value[IDENTITY:])
