"""The services that write events: plain aiokafka, arbitrary partitions and keys."""

from __future__ import annotations

import datetime as dt
import json
import random
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaProducer

Headers = list[tuple[str, bytes | None]]


@dataclass(slots=True, frozen=True)
class Sent:
    """Where a source record stands."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """The broker's time, milliseconds."""

    @property
    def event_id(self) -> str:
        """The id of its event, when the producer gave none."""
        return f"{self.topic}-{self.partition}-{self.offset}-{self.timestamp}"


def now() -> str:
    """RFC 3339, microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def task(topic: str, team: int | None, task_id: int, actor: int, *, creator: int | None = None, **payload: Any) -> dict[str, Any]:
    """The value of a task event as a task service writes it."""
    return {
        "eventType": topic,
        "taskId": task_id,
        "teamId": team,
        "actorId": actor,
        "creatorId": creator or actor,
        "timestamp": now(),
        "payload": payload,
    }


def team(topic: str, team_id: int, actor: int, **payload: Any) -> dict[str, Any]:
    """The value of a team event."""
    return {"eventType": topic, "teamId": team_id, "actorId": actor, "ownerId": actor, "timestamp": now(), "payload": payload}


def member(topic: str, team_id: int, user: int, actor: int, **more: Any) -> dict[str, Any]:
    """The value of a member event."""
    return {"eventType": topic, "teamId": team_id, "userId": user, "actorId": actor, "timestamp": now(), **more}


def user(user_id: int, **payload: Any) -> dict[str, Any]:
    """The value of a user.created."""
    payload = {"username": f"user-{user_id}", "email": f"u{user_id}@example.org", **payload}
    return {"eventType": "user.created", "userId": user_id, "timestamp": now(), "payload": payload}


class Services:
    """One producer, as services in the field have one."""

    def __init__(self, bootstrap: str, **settings: Any) -> None:
        self.bootstrap = bootstrap
        self._settings = settings
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Services:
        self._producer = AIOKafkaProducer(bootstrap_servers=self.bootstrap, acks="all", max_request_size=4 << 20, **self._settings)
        await self._producer.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._producer.stop()

    async def send(
        self,
        topic: str,
        value: dict[str, Any] | bytes | None,
        *,
        key: bytes | None = b"as the service likes",
        partition: int | None = None,
        headers: Headers | None = None,
    ) -> Sent:
        """Write one record, to a partition of its own choice unless told; return once the broker has it."""
        found = await self._producer.send_and_wait(
            topic,
            json.dumps(value).encode() if isinstance(value, dict) else value,
            key=key,
            partition=random.randrange(8) if partition is None else partition,
            headers=headers or [],
        )
        return Sent(topic, found.partition, found.offset, found.timestamp)

    async def make_team(self, team_id: int, owner: int, *members: int) -> None:
        """Write a team and its members; they are members once the worker has read it."""
        await self.send("team.created", team("team.created", team_id, owner, name=f"Team {team_id}"))
        for one in members:
            await self.send("team.member_added", member("team.member_added", team_id, one, owner))
