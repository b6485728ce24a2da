"""From a line of an import file to the event that makes the entity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.domain.errors import BadRecord, Code, Fault
from app.domain.strict_json import load
from app.errors import TeamcastError
from app.producing.values import InvalidEvent, encode_checked

LONG_AGO = "1970-01-01T00:00:00.000000Z"
"""When an entity was made that does not say it: before everything that is known of it, so that the import never undoes a change."""

_KINDS: Mapping[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    # kind: the event, its top-level members, and where the actor is taken from when none is given
    "team": ("team.created", ("teamId", "actorId", "ownerId"), ("ownerId",)),
    "member": ("team.member_added", ("teamId", "userId", "actorId", "role"), ("userId",)),
    "user": ("user.created", ("userId",), ()),
    "task": ("task.created", ("taskId", "teamId", "actorId", "creatorId", "assigneeId"), ("creatorId",)),
}


class BadLine(TeamcastError):  # noqa: N818  (a state of affairs, like its siblings)
    """The line is no entity; ``faults`` says everything that is wrong with it."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__("; ".join(fault.message for fault in faults))


def event_of(line: bytes) -> tuple[str, dict[str, Any]]:
    """The topic and value of the event that makes the entity of one line.

    Raises:
        BadLine: It is none.
    """
    try:
        entity = load(line.strip())
    except BadRecord as bad:
        raise BadLine([Fault(bad.field, bad.code, bad.message)]) from None
    kind = entity.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise BadLine([Fault("kind", Code.WRONG_TYPE, f"kind is none of {', '.join(_KINDS)}")])
    topic, names, actors = _KINDS[kind]
    value: dict[str, Any] = {"eventType": topic, "timestamp": entity.pop("createdAt", None) or LONG_AGO}
    for name in names:
        if name in entity:
            value[name] = entity.pop(name)
    for actor in actors:
        if not value.get("actorId") and actor in value:
            value["actorId"] = value[actor]
    value["payload"] = entity
    value["eventId"] = _event_id(kind, value)
    try:
        encode_checked(topic, value)
    except InvalidEvent as invalid:
        raise BadLine(invalid.faults) from None
    return topic, value


def _event_id(kind: str, value: Mapping[str, Any]) -> str:
    """Always the same for an entity, so that importing it again repeats the event and makes no other."""
    if kind == "team":
        ids = ["teamId"]
    elif kind == "member":
        ids = ["teamId", "userId"]
    elif kind == "user":
        ids = ["userId"]
    else:
        ids = ["teamId", "taskId"] if value.get("teamId") else ["creatorId", "taskId"]
        kind = "task" if value.get("teamId") else "own-task"
    # A faulty id may be anything, and is told once already.
    found = [value.get(name) for name in ids]
    return f"import-{kind}-" + "-".join(str(part) if type(part) is int else "?" for part in found)
