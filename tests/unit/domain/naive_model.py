"""State worked out the slow way: from the whole list of events, in tuples and loops, with nothing taken from the fold."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.events import Source, UnifiedEvent

Rank = tuple[datetime, int, int, str, int, int]


@dataclass(frozen=True)
class Record:
    """One record of the unified stream."""

    event: UnifiedEvent
    source: Source


def event_class(event_type: str) -> int:
    verb = event_type.split(".")[1]
    if verb in ("created", "member_added"):
        return 0
    if verb in ("updated", "member_role_updated"):
        return 1
    return 2 if verb == "completed" else 3


def rank_of(record: Record) -> Rank:
    event, source = record.event, record.source
    when = datetime.fromisoformat(event.timestamp)
    return (when, source.timestamp, event_class(event.type), source.topic, source.partition, source.offset)


class NaiveModel:
    """Keeps every record; answers by reading them all."""

    def __init__(self, records: list[Record]) -> None:
        self.records = sorted(records, key=rank_of)

    def task(self, key: str, task_id: int) -> dict[str, Any] | None:
        """The task of a stream (``team:1`` or ``user:1``)."""
        own = [r for r in self._of(key) if r.event.type.startswith("task.") and r.event.data["taskId"] == task_id]
        if not own:
            return None
        deletions = [rank_of(r) for r in own if r.event.type == "task.deleted"] + self._ranks(key, "team.deleted")
        creations = [r for r in own if r.event.type == "task.created"]
        if deletions and (not creations or rank_of(creations[-1]) < max(deletions)):
            return None
        told = [r for r in own if r.event.type != "task.deleted" and (not deletions or rank_of(r) > max(deletions))]
        state: dict[str, Any] = {"taskId": task_id}
        for name in ("title", "description", "completed", "priority", "due", "creatorId", "assigneeId"):
            state[name] = None
        for r in told:
            state.update({name: value for name, value in r.event.data.items() if name not in ("taskId", "teamId")})
        state["createdAt"] = creations[-1].event.timestamp if creations else None
        state["updatedAt"] = told[-1].event.timestamp if told else None
        return state

    def team(self, team_id: int) -> dict[str, Any] | None:
        key = f"team:{team_id}"
        deletions, creations = self._ranks(key, "team.deleted"), self._ranks(key, "team.created")
        gone = bool(deletions) and (not creations or max(creations) < max(deletions))
        if not self._of(key) or (gone and not self.members(team_id)):
            return None
        state: dict[str, Any] = {"teamId": team_id, "name": None, "description": None, "ownerId": None, "updatedAt": None}
        for r in self._of(key):
            if r.event.type in ("team.created", "team.updated") and (not deletions or rank_of(r) > max(deletions)):
                for name in ("name", "description", "ownerId"):
                    if name in r.event.data:
                        state[name] = r.event.data[name]
                state["updatedAt"] = r.event.timestamp
        return state

    def role(self, team_id: int, user_id: int) -> str | None:
        key = f"team:{team_id}"
        role, added, ended = None, None, [*self._ranks(key, "team.deleted")]
        for r in self._of(key):
            about_user = r.event.data.get("userId") == user_id
            if r.event.type == "team.created" and (r.event.data.get("ownerId") or r.event.actor_id) == user_id:
                role, added = "owner", rank_of(r)
            elif r.event.type == "team.member_added" and about_user:
                role, added = r.event.data["role"], rank_of(r)
            elif r.event.type == "team.member_role_updated" and about_user:
                role = r.event.data["role"]
            elif r.event.type == "team.member_removed" and about_user:
                ended.append(rank_of(r))
        return role if added and (not ended or added > max(ended)) else None

    def members(self, team_id: int) -> dict[int, str]:
        """Every member's role."""
        mentioned = {r.event.data.get("userId") for r in self._of(f"team:{team_id}")}
        mentioned |= {r.event.data.get("ownerId") or r.event.actor_id for r in self._of(f"team:{team_id}")}
        roles = {user_id: self.role(team_id, user_id) for user_id in mentioned if user_id}
        return {user_id: role for user_id, role in roles.items() if role}

    def user(self, user_id: int) -> dict[str, Any] | None:
        own = [r for r in self._of(f"user:{user_id}") if r.event.type == "user.created"]
        if not own:
            return None
        state: dict[str, Any] = {"userId": user_id, "username": None, "email": None}
        for r in own:
            state.update({name: r.event.data[name] for name in ("username", "email") if name in r.event.data})
        return state

    def _of(self, key: str) -> list[Record]:
        return [r for r in self.records if r.event.key == key]

    def _ranks(self, key: str, event_type: str) -> list[Rank]:
        return [rank_of(r) for r in self._of(key) if r.event.type == event_type]
