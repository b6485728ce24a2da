"""The usual task event: of a team, by a user, with ids as they should be. Nearly every event is one, and is checked at one go.

What is told here stands for rules of `app.domain.schema`, which know every event, every fault and its code. So an answer is either
theirs, or none: then they are to be asked.
"""

from __future__ import annotations

from typing import Any

from app.domain.events import MAX_ID
from app.domain.schema import FLAG, MAX_UNKNOWN_MEMBERS, PRIORITY, TEXT
from app.domain.topics import TASK_TOPICS

TYPES = frozenset(TASK_TOPICS)


def data_of(value: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any] | None:
    """The ``data`` of a source record's event: what `schema.check_payload` and the route of a task make of it.

    Args:
        value: The record's value.
        payload: Its payload, without names that are dropped. It becomes the data, the ids in the order in which the route writes them.

    Returns:
        The payload; ``None`` where the rules are to be asked, the payload then being as it was.
    """
    get = value.get
    task_id, team_id, actor_id = get("taskId"), get("teamId"), get("actorId")
    creator_id, assignee_id = get("creatorId"), get("assigneeId")
    if not (
        type(task_id) is int
        and 0 < task_id <= MAX_ID
        and type(team_id) is int
        and 0 < team_id <= MAX_ID
        and type(actor_id) is int
        and 0 < actor_id <= MAX_ID
        and (creator_id is None or (type(creator_id) is int and 0 < creator_id <= MAX_ID))
        and (assignee_id is None or (type(assignee_id) is int and 0 < assignee_id <= MAX_ID))
        and _holds(payload)
    ):
        return None
    # An id that the value does not give, its payload may give: the rules know how.
    if (creator_id is None and "creatorId" in payload) or ("assigneeId" in payload and "assigneeId" not in value):
        return None
    if "assigneeId" in value:
        payload["assigneeId"] = assignee_id
    payload["taskId"] = task_id
    payload["teamId"] = team_id
    if creator_id is not None:
        payload["creatorId"] = creator_id
    return payload


def is_data(data: dict[str, Any], team_id: Any, actor_id: Any) -> bool:
    """Whether the ids are some, and this is the data of a team's task event with them, by `schema.check_data`.

    Args:
        data: The data of a unified event of one of the `TYPES`.
        team_id: What the event has as its team; anything.
        actor_id: What it has as who acted; anything.

    Returns:
        False where the rules are to be asked, for a personal task for one.
    """
    get = data.get
    task_id, creator_id, assignee_id = get("taskId"), get("creatorId"), get("assigneeId")
    return (
        type(team_id) is int
        and 0 < team_id <= MAX_ID
        and type(actor_id) is int
        and 0 < actor_id <= MAX_ID
        and get("teamId") == team_id
        and type(task_id) is int
        and 0 < task_id <= MAX_ID
        and (creator_id is None or (type(creator_id) is int and 0 < creator_id <= MAX_ID))
        and (assignee_id is None or (type(assignee_id) is int and 0 < assignee_id <= MAX_ID))
        and _holds(data)
    )


def _holds(payload: dict[str, Any]) -> bool:
    """Whether the members that mean something hold what they may; one that is absent holds what it may, as null does but for the flag."""
    get = payload.get
    return (
        len(payload) <= MAX_UNKNOWN_MEMBERS
        and type(get("title")) in TEXT
        and type(get("description")) in TEXT
        and type(get("completed", False)) in FLAG
        and type(get("priority")) in PRIORITY
        and type(get("due")) in TEXT
    )
