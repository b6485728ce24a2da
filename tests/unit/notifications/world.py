"""What stands around an outbox: rows in a dict, a clock, and a mail server that does as it is told."""

from __future__ import annotations

import json
import random
from typing import Any

from app.domain.requests import Address, Request, encode_address, encode_request
from app.domain.timestamps import from_millis
from notifications.letters import dead_letter
from notifications.outbox import Attempt, Ending, Limits, Outbox, Outcome, Taken, Values

HOUR = 3_600_000
START = 1_795_453_409_396
LIMITS = Limits(max_age=24 * HOUR, retry=24 * HOUR, address_wait=24 * HOUR, users=1000)


def request(user: int, event_id: str, *, at: int = START, team: int = 1, kind: str = "task.created") -> tuple[Request, bytes]:
    event: dict[str, Any] = {
        "eventId": event_id,
        "type": kind,
        "teamId": team,
        "actorId": 9,
        "timestamp": from_millis(at),
        "data": {"taskId": 5},
    }
    made = Request(f"team:{team}", "p", user, "creator", "Ops", "Write", event)
    return made, encode_request(made, json.dumps(event).encode())


def address(user: int, email: str | None = None, rank: str = "1") -> tuple[Address, bytes]:
    found = Address(user, rank, email or f"u{user}@example.org", f"user {user}")
    return found, encode_address(found)


class Rows:
    """Rows that are on disk as soon as they are written."""

    def __init__(self) -> None:
        self.held: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        return self.held.get(key)

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        return sorted((key, value) for key, value in self.held.items() if key.startswith(prefix) and key >= start)[:limit]

    def write(self, rows: Values) -> None:
        for key, value in rows.items():
            if value is None:
                self.held.pop(key, None)
            else:
                self.held[key] = value


class World:
    """An outbox, driven by hand."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.now = START
        self.limits = limits
        self.rows = Rows()
        self.offset = 0
        self.sent: list[tuple[int, str]] = []
        """Recipient and event of every mail that the server took."""
        self.dead: list[tuple[int, str, str]] = []
        """Recipient, event and error code of every dead letter."""
        self.unsure = 0
        self.restart()

    def restart(self) -> None:
        """Forget everything but the rows."""
        self.outbox = Outbox(self.rows, self.limits, random.Random(1))
        self.sweep()

    def sweep(self) -> None:
        """Walk to the end, or as far as there is room in memory."""
        for _ in range(20):
            rows, ended = self.outbox.sweep(self.now)
            self.rows.write(rows)
            if ended:
                return

    def ask(self, user: int, event_id: str, *, replay: str = "", offset: int | None = None, **more: Any) -> Taken:
        made, value = request(user, event_id, **{"at": self.now, **more})
        self.offset += 1
        taken, rows = self.outbox.accept(self.now, self.offset if offset is None else offset, made, value, replay)
        self.rows.write(rows)
        self.outbox.wake(user, self.now)
        return taken

    def tell(self, user: int, **more: Any) -> bytes | None:
        found, value = address(user, **more)
        rows, newer = self.outbox.learn(found, value)
        self.rows.write(rows)
        self.outbox.wake(user, self.now)
        return newer

    def settle(self, ending: Ending) -> None:
        if ending.dead is not None:
            mail, state, code = ending.dead
            headers = dict(dead_letter(mail, state, code, self.now).record.headers)
            self.dead.append((mail.user_id, event_of(mail.request), (headers["error-code"] or b"").decode()))
        self.rows.write(ending.rows)
        if ending.dead is not None:
            self.outbox.buried(ending.dead[0], self.now)

    def begin(self) -> Attempt | None:
        """The next mail that is due, its intent written; ``None``: none is."""
        while (found := self.outbox.begin(self.now)) is not None:
            if isinstance(found, Attempt):
                self.rows.write(found.rows)
                self.unsure += found.unsure
                return found
            self.settle(found)
        return None

    def end(self, attempt: Attempt, outcome: Outcome) -> None:
        if outcome is Outcome.SENT:
            self.sent.append((attempt.mail.user_id, event_of(attempt.mail.request)))
        self.settle(self.outbox.finish(attempt, outcome, "the server said so", "smtp-550", self.now))

    def run(self, outcome: Outcome = Outcome.SENT) -> None:
        """Send all that is due."""
        while (attempt := self.begin()) is not None:
            self.end(attempt, outcome)

    def later(self, milliseconds: int) -> None:
        self.now += milliseconds


def event_of(value: bytes) -> str:
    return str(json.loads(value)["event"]["eventId"])
