"""The whole flow in one check: a service's record, the unified stream, the table, the API, a member's socket."""

from __future__ import annotations

import json

from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh, partition_of
from tests.kafka.services import Services, task, user
from tests.kafka.sockets import PlainClient
from tests.kafka.waiting import LIMIT_SECONDS, eventually
from tests.processes import Worker


class StepMissing(AssertionError):  # noqa: N818  (what it says is what happened)
    """A step of the flow did not happen; the message names it."""


async def check_flow(worker: Worker, services: Services, limit: float = LIMIT_SECONDS) -> None:
    """Send a team and a task through the worker.

    Raises:
        StepMissing: the first step that did not happen within `limit` seconds.
    """
    team_id, owner, task_id = fresh(), fresh(), fresh()
    step = "unified record of the team"
    try:
        created = await services.send("team.created", {"teamId": team_id, "actorId": owner, "payload": {"name": "Flow"}})
        await log.unified(services.bootstrap, created, limit)
        step = "state of the team"
        await team_with(worker, team_id, owner, limit=limit)
        step = "socket of a member"
        async with PlainClient(worker.url, owner) as client:
            step = "unified record of the task"
            sent = await services.send("task.created", task("task.created", team_id, task_id, owner, title="Through it all"))
            record = await log.unified(services.bootstrap, sent, limit)
            assert record.key == f"team:{team_id}".encode()
            assert record.partition == partition_of(f"team:{team_id}")
            step = "event on the socket of a member"
            event = await client.event(sent, limit)
            assert {name: value for name, value in event.items() if name != "position"} == json.loads(record.value)
            step = "event of the user's own stream"
            await client.event(await services.send("user.created", user(owner)), limit)
        step = "row in the table"
        row = await eventually(lambda: worker.request("GET", f"/api/tables/tasks/{team_id}/{task_id}"), lambda seen: seen[0] == 200, limit)
        assert row[1]["value"]["title"] == "Through it all"
        step = "task in the team's state"
        state = await team_with(worker, team_id, owner, limit=limit)
        assert [one["taskId"] for one in state["tasks"]] == [task_id]
    except (AssertionError, TimeoutError) as error:
        raise StepMissing(f"{step}: {error}") from error
