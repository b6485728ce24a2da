"""Members of events under the names that the topics have for them."""

from __future__ import annotations

from app.producing.values import ABSENT, Absent, Priority, Text


def task(
    task_id: int, team_id: int | None, actor_id: int, creator_id: int | None, assignee_id: int | Absent | None = ABSENT
) -> dict[str, object]:
    """The members of a task event; absent ones are ``ABSENT``, as in all of these."""
    return {
        "taskId": task_id,
        "teamId": _or_absent(team_id),
        "actorId": actor_id,
        "creatorId": _or_absent(creator_id),
        "assigneeId": assignee_id,
    }


def task_payload(title: Text, description: Text, completed: bool | Absent, priority: Priority, due: Text) -> dict[str, object]:
    """The payload of a task event."""
    return {"title": title, "description": description, "completed": completed, "priority": priority, "due": due}


def team(team_id: int, actor_id: int, owner_id: int | None) -> dict[str, object]:
    """The members of a team event."""
    return {"teamId": team_id, "actorId": actor_id, "ownerId": _or_absent(owner_id)}


def team_payload(name: Text, description: Text) -> dict[str, object]:
    """The payload of a team event."""
    return {"name": name, "description": description}


def member(team_id: int, user_id: int, actor_id: int, role: str | None) -> dict[str, object]:
    """The members of a member event."""
    return {"teamId": team_id, "userId": user_id, "actorId": actor_id, "role": _or_absent(role)}


def _or_absent(value: object) -> object:
    return ABSENT if value is None else value
