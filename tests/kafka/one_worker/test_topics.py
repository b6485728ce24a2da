"""Each of the eleven topics goes where it belongs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.topics import SOURCE_TOPICS
from tests.kafka import log
from tests.kafka.ids import fresh, partition_of
from tests.kafka.services import Services, now
from tests.processes import Worker

TEAM, TASK, USER, ACTOR = fresh(), fresh(), fresh(), fresh()
TASK_DATA = {"taskId": TASK, "teamId": TEAM, "creatorId": ACTOR}

#: Topic, what the value has besides timestamp and eventType, and `data`.
ROUTES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "task.created": (
        {"taskId": TASK, "teamId": TEAM, "actorId": ACTOR, "creatorId": ACTOR, "assigneeId": USER, "payload": {"title": "T"}},
        {**TASK_DATA, "assigneeId": USER, "title": "T"},
    ),
    "task.updated": (
        {"taskId": TASK, "teamId": TEAM, "actorId": ACTOR, "creatorId": ACTOR, "assigneeId": 0, "payload": {"due": None}},
        {**TASK_DATA, "assigneeId": None, "due": None},
    ),
    "task.deleted": ({"taskId": TASK, "teamId": TEAM, "actorId": ACTOR, "creatorId": ACTOR}, TASK_DATA),
    "task.completed": (
        {"taskId": TASK, "teamId": TEAM, "actorId": ACTOR, "payload": {"completed": True}},
        {"taskId": TASK, "teamId": TEAM, "completed": True},
    ),
    "team.created": (
        {"teamId": TEAM, "actorId": ACTOR, "ownerId": USER, "payload": {"name": "N", "description": "D"}},
        {"teamId": TEAM, "ownerId": USER, "name": "N", "description": "D"},
    ),
    "team.updated": ({"teamId": TEAM, "actorId": ACTOR, "payload": {"name": "M"}}, {"teamId": TEAM, "name": "M"}),
    "team.deleted": ({"teamId": TEAM, "actorId": ACTOR, "payload": None}, {"teamId": TEAM}),
    "team.member_added": ({"teamId": TEAM, "userId": USER, "actorId": ACTOR}, {"teamId": TEAM, "userId": USER, "role": "member"}),
    "team.member_removed": ({"teamId": TEAM, "userId": USER, "actorId": ACTOR}, {"teamId": TEAM, "userId": USER}),
    "team.member_role_updated": (
        {"teamId": TEAM, "userId": USER, "actorId": ACTOR, "role": "lead"},
        {"teamId": TEAM, "userId": USER, "role": "lead"},
    ),
    "user.created": (
        {"userId": USER, "payload": {"email": "a@example.org", "username": "ann"}},
        {"userId": USER, "email": "a@example.org", "username": "ann"},
    ),
}


def test_no_topic_is_left_out() -> None:
    assert set(ROUTES) == set(SOURCE_TOPICS)
    assert len(ROUTES) == 11


@pytest.mark.parametrize("partition", [0, 7])
@pytest.mark.parametrize("topic", ROUTES)
async def test_a_topic_is_routed_as_promised(worker: Worker, services: Services, topic: str, partition: int) -> None:
    value, data = ROUTES[topic]
    key = f"user:{USER}" if topic == "user.created" else f"team:{TEAM}"
    timestamp = now()

    sent = await services.send(topic, {"eventType": topic, "timestamp": timestamp} | value, partition=partition, key=None)
    record = await log.unified(services.bootstrap, sent)

    assert record.key == key.encode()
    assert record.partition == partition_of(key)
    assert json.loads(record.value) == {
        "eventId": sent.event_id,
        "type": topic,
        "teamId": value.get("teamId"),
        "actorId": value.get("actorId"),
        "timestamp": timestamp,
        "data": data,
    }


@pytest.mark.parametrize("topic", ["task.created", "task.updated", "task.completed", "task.deleted"])
async def test_a_task_without_a_team_goes_to_its_creator(worker: Worker, services: Services, topic: str) -> None:
    creator = fresh()

    sent = await services.send(topic, {"taskId": fresh(), "teamId": 0, "actorId": ACTOR, "creatorId": creator})
    record = await log.unified(services.bootstrap, sent)

    assert record.key == f"user:{creator}".encode()
    assert record.partition == partition_of(f"user:{creator}")
    assert json.loads(record.value)["teamId"] is None
