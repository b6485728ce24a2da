"""The values and keys of events that are to be written, as pure functions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import orjson

from app.domain.decode import faults
from app.domain.errors import Code, Fault
from app.domain.events import team_key, user_key
from app.domain.topics import SOURCE_TOPICS, TASK_TOPICS, USER_TOPICS
from app.errors import TeamcastError


class Absent(Enum):
    """The type of ``ABSENT``."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT
"""Says that an event does not speak of a field: it stays as it is. ``None`` clears it."""

Text = str | Absent | None
Priority = str | float | Absent | None


class InvalidEvent(TeamcastError, ValueError):  # noqa: N818  (a state of affairs, like its siblings)
    """The event was not sent, for it is none: mend it, sending it again as it is cannot work.

    Attributes:
        topic: where it was to go.
        faults: everything that is wrong with it.
    """

    def __init__(self, topic: str, found: Sequence[Fault]) -> None:
        self.topic = topic
        self.faults = list(found)
        super().__init__(f"no valid {topic}: " + "; ".join(map(describe, found)))


def describe(fault: Fault) -> str:
    """One fault as people read it."""
    return f"{fault.message} ({fault.code})"


def value_of(
    topic: str,
    fields: Mapping[str, object],
    payload: Mapping[str, object],
    *,
    timestamp: str,
    event_id: str | None = None,
    extra: Mapping[str, object] | None = None,
) -> dict[str, Any]:
    """The value of an event.

    Args:
        topic: its type.
        fields: its top-level members; those that are ``ABSENT`` are left out.
        payload: its payload; likewise.
        timestamp: RFC 3339.
        event_id: the producer's own.
        extra: further members of the payload; those of ``payload`` win.
    """
    value: dict[str, Any] = {"eventType": topic, **_present(fields), "timestamp": timestamp}
    if event_id is not None:
        value["eventId"] = event_id
    value["payload"] = {**(extra or {}), **_present(payload)}
    return value


def encode_checked(topic: str, value: Mapping[str, Any]) -> bytes:
    """The record's bytes, once nothing is wrong with them.

    Raises:
        InvalidEvent: every fault.
        ValueError: ``topic`` is no source topic.
    """
    if topic not in SOURCE_TOPICS:
        raise ValueError(f"{topic!r} is no topic that events are written to")
    # orjson would quietly write null, which clears a field.
    if any(type(leaf) is float and not math.isfinite(leaf) for leaf in _leaves(value)):
        raise InvalidEvent(topic, [Fault(None, Code.UNENCODABLE, "a number is NaN or infinite, which JSON lacks")])
    try:
        encoded = orjson.dumps(value)
    except TypeError as error:
        raise InvalidEvent(topic, [Fault(None, Code.UNENCODABLE, f"the value cannot be written as JSON: {error}")]) from None
    if found := faults(topic, encoded):
        raise InvalidEvent(topic, found)
    return encoded


def record_key(topic: str, value: Mapping[str, Any]) -> str:
    """The key of a valid event's record: ``task:<id>``, ``team:<id>`` or ``user:<id>``, of the entity that it changes."""
    if topic in TASK_TOPICS:
        return f"task:{value['taskId']}"
    return routing_key(topic, value)


def routing_key(topic: str, value: Mapping[str, Any]) -> str:
    """The key that says whom a valid event reaches; its hash chooses the partition, so that a team's events stay in order."""
    if topic in USER_TOPICS:
        return user_key(value["userId"])
    team_id = value.get("teamId")
    return team_key(team_id) if team_id else user_key(value["creatorId"])


def timestamp_text(moment: datetime) -> str:
    """A moment as RFC 3339 in UTC, with six fraction digits.

    Raises:
        ValueError: It is naive, so nobody knows which moment it is.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


class Stamps:
    """Times of events that carry none: now, and each later than the one before, so that what was written last wins."""

    _STEP: Final = timedelta(microseconds=1)
    _SET_BACK: Final = timedelta(seconds=1)
    """A clock that jumps back by more was wrong before; to go on from there would keep it wrong."""

    def __init__(self) -> None:
        self._last = datetime.min.replace(tzinfo=UTC)

    def next(self, now: datetime) -> str:
        """The time to write at ``now``, an aware moment."""
        if timedelta(0) <= self._last - now < self._SET_BACK:
            now = self._last + self._STEP
        self._last = now
        return timestamp_text(now)


def _present(members: Mapping[str, object]) -> dict[str, object]:
    return {name: member for name, member in members.items() if member is not ABSENT}


def _leaves(value: object) -> Iterable[object]:
    pending = [value]
    while pending:
        node = pending.pop()
        if isinstance(node, Mapping):
            pending.extend(node.values())
        elif isinstance(node, list | tuple):
            pending.extend(node)
        else:
            yield node
