"""From a service's record to the unified stream, the table, the API and a member's socket."""

from __future__ import annotations

import json
from typing import Any

from tests.kafka import log
from tests.kafka.asking import ask, assert_problem, dump, team_with
from tests.kafka.flow import check_flow
from tests.kafka.ids import fresh, partition_of
from tests.kafka.services import Services, member, task, team, user
from tests.kafka.sockets import PlainClient, fence
from tests.kafka.waiting import eventually
from tests.processes import Worker

TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_every_step_of_the_flow_happens(worker: Worker, services: Services) -> None:
    await check_flow(worker, services)


async def test_a_task_record_becomes_a_unified_record(services: Services) -> None:
    team_id, task_id, actor = fresh(), fresh(), fresh()
    value = task("task.created", team_id, task_id, actor, title="Write it down", priority=2, colour="green") | {"assigneeId": actor + 1}

    sent = await services.send(
        "task.created", value, key=b"nonsense", partition=5, headers=[("traceparent", TRACE), ("x-mine", b"not passed on")]
    )
    record = await log.unified(services.bootstrap, sent)

    assert record.key == f"team:{team_id}".encode()
    assert record.partition == partition_of(f"team:{team_id}")
    assert list(record.headers) == [
        ("source-topic", b"task.created"),
        ("source-partition", b"5"),
        ("source-offset", b"%d" % sent.offset),
        ("source-timestamp", b"%d" % sent.timestamp),
        ("v", b"1"),
        ("traceparent", TRACE),
    ]
    assert json.loads(record.value) == {
        "eventId": sent.event_id,
        "type": "task.created",
        "teamId": team_id,
        "actorId": actor,
        "timestamp": value["timestamp"],
        "data": {
            "title": "Write it down",
            "priority": 2,
            "colour": "green",
            "taskId": task_id,
            "teamId": team_id,
            "creatorId": actor,
            "assigneeId": actor + 1,
        },
    }


async def test_members_of_the_value_that_say_nothing_are_null(services: Services) -> None:
    user_id = fresh()

    sent = await services.send("user.created", {"userId": user_id})
    record = await log.unified(services.bootstrap, sent)

    assert set(json.loads(record.value)) == {"eventId", "type", "teamId", "actorId", "timestamp", "data"}
    assert json.loads(record.value)["teamId"] is None
    assert json.loads(record.value)["actorId"] is None
    assert "traceparent" not in dict(record.headers)


async def test_a_cloudevent_is_an_event_like_any_other(services: Services) -> None:
    team_id, task_id, actor = fresh(), fresh(), fresh()
    headers = {"ce_specversion": "1.0", "ce_id": f"{task_id}", "ce_source": "/tasks", "ce_type": "org.example.task.created"}

    sent = await services.send(
        "task.created",
        task("task.created", team_id, task_id, actor, title="Enveloped") | {"eventType": None},
        headers=[(name, value.encode()) for name, value in headers.items()],
    )
    record = await log.unified(services.bootstrap, sent)

    assert json.loads(record.value)["eventId"] == f"/tasks#{task_id}"
    assert json.loads(record.value)["data"]["title"] == "Enveloped"


async def test_a_teams_state_is_the_fold_of_its_events(worker: Worker, services: Services) -> None:
    team_id, owner, other = fresh(), fresh(), fresh()
    first, second, third = sorted(fresh() for _ in range(3))
    await services.send("team.created", team("team.created", team_id, owner, name="Before", description="kept"))
    await services.send("team.updated", team("team.updated", team_id, owner, name="After"))
    await services.send("team.member_added", member("team.member_added", team_id, other, owner))
    await services.send("team.member_role_updated", member("team.member_role_updated", team_id, other, owner, role="lead"))
    for one in (first, second, third):
        await services.send("task.created", task("task.created", team_id, one, owner, title=f"Task {one}", completed=False))
    await services.send("task.updated", task("task.updated", team_id, first, other, title="Renamed"))
    await services.send("task.completed", task("task.completed", team_id, second, other, completed=True))
    await services.send("task.deleted", task("task.deleted", team_id, third, other))

    def folded(found: tuple[int, Any]) -> bool:
        if found[0] != 200:
            return False
        tasks = {one["taskId"]: one for one in found[1]["tasks"]}
        members = {one["userId"]: one["role"] for one in found[1]["members"]}
        return (
            set(tasks) == {first, second}
            and tasks[first]["title"] == "Renamed"
            and tasks[second]["completed"] is True
            and members == {owner: "owner", other: "lead"}
            and found[1]["team"]["name"] == "After"
        )

    _, state = await eventually(lambda: worker.request("GET", f"/api/teams/{team_id}"), folded)

    assert state["type"] == "snapshot"
    assert state["teamId"] == team_id
    assert (state["part"], state["parts"]) == (1, 1)
    assert {name: state["team"][name] for name in ("teamId", "description", "ownerId")} == {
        "teamId": team_id,
        "description": "kept",
        "ownerId": owner,
    }
    assert [one["taskId"] for one in state["tasks"]] == [first, second]
    assert set(state["tasks"][0]) >= {
        "taskId", "title", "description", "completed", "priority", "due", "creatorId", "assigneeId", "createdAt", "updatedAt",
    }  # fmt: skip


async def test_a_user_is_told_with_their_teams_and_tasks(worker: Worker, services: Services) -> None:
    team_id, owner, task_id = fresh(), fresh(), fresh()
    await services.send("user.created", user(owner))
    await services.make_team(team_id, owner)
    await services.send("task.created", task("task.created", None, task_id, owner, title="Mine"))

    _, told = await eventually(
        lambda: worker.request("GET", f"/api/users/{owner}"),
        lambda seen: seen[0] == 200 and seen[1]["teams"] and seen[1]["tasks"] and seen[1]["email"],
    )

    assert told["teams"] == [{"teamId": team_id, "role": "owner"}]
    assert [one["title"] for one in told["tasks"]] == ["Mine"]
    assert told["username"] == f"user-{owner}"
    assert told["position"]


async def test_tables_tell_one_row_and_many(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    tasks = [fresh() for _ in range(5)]
    await services.make_team(team_id, owner)
    for one in tasks:
        await services.send("task.created", task("task.created", team_id, one, owner, title=f"Task {one}"))
    path = f"/api/tables/tasks?prefix={team_id}/"

    _, everything = await eventually(lambda: worker.request("GET", path), lambda seen: len(seen[1]["rows"]) == 5)

    assert [row["key"] for row in everything["rows"]] == [f"{team_id}/{one}" for one in tasks]
    assert everything["cursor"] is None
    row = everything["rows"][0]
    assert row["value"]["title"] == f"Task {tasks[0]}"
    assert row["partition"] == partition_of(f"team:{team_id}")
    assert row["worker"] == worker.url
    assert (await ask(worker, "GET", f"/api/tables/tasks/{team_id}/{tasks[0]}")).body == row
    assert (await ask(worker, "GET", f"/api/tables/members/{team_id}/{owner}")).body["value"]["role"] == "owner"
    assert (await ask(worker, "GET", f"/api/tables/teams/{team_id}")).body["value"]["name"] == f"Team {team_id}"


async def test_a_table_is_read_a_page_at_a_time(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    tasks = [fresh() for _ in range(7)]
    for one in tasks:
        await services.send("task.created", task("task.created", team_id, one, owner))
    path = f"/api/tables/tasks?prefix={team_id}/"
    await eventually(lambda: worker.request("GET", path), lambda seen: len(seen[1]["rows"]) == 7)

    keys: list[str] = []
    pages = 0
    cursor: str | None = ""
    while cursor is not None:
        _, page = await worker.request("GET", path, params={"limit": "3"} | ({"cursor": cursor} if cursor else {}))
        keys += [row["key"] for row in page["rows"]]
        cursor = page["cursor"]
        pages += 1

    assert keys == [f"{team_id}/{one}" for one in tasks]
    assert pages == 3


async def test_the_list_of_tables_counts_their_rows(worker: Worker, services: Services) -> None:
    owner = fresh()
    await services.send("user.created", user(owner))
    await eventually(lambda: worker.request("GET", f"/api/tables/users/{owner}"), lambda seen: seen[0] == 200)

    listed = (await ask(worker, "GET", "/api/tables")).body["tables"]

    assert [one["name"] for one in listed] == ["teams", "members", "tasks", "users"]
    rows = await dump(worker)
    assert {one["name"]: one["rows"] for one in listed} == {name: len(found) for name, found in rows.items()}


async def test_what_no_table_has_is_a_404_and_what_no_page_is_a_400(worker: Worker) -> None:
    assert_problem(await ask(worker, "GET", "/api/tables/nonsense"), 404)
    assert_problem(await ask(worker, "GET", "/api/tables/nonsense/1"), 404)
    assert_problem(await ask(worker, "GET", f"/api/tables/tasks/{fresh()}/1"), 404)
    for query in ("limit=0", "limit=1001", "limit=x", "cursor=!"):
        assert_problem(await ask(worker, "GET", f"/api/tables/tasks?{query}"), 400)


async def test_a_key_that_is_none_is_a_404(worker: Worker) -> None:
    for key in ("teams/x", "users/x", "members/1", "tasks/user:x/1"):
        assert_problem(await ask(worker, "GET", f"/api/tables/{key}"), 404)


async def test_a_member_gets_an_event_once_with_its_position_and_others_do_not(worker: Worker, services: Services) -> None:
    team_id, owner, stranger = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as client, PlainClient(worker.url, stranger) as other:
        # Creator and assignee are no members for that.
        value = task("task.created", team_id, fresh(), owner, creator=stranger, title="Seen") | {"assigneeId": stranger}
        sent = await services.send("task.created", value)
        record = await log.unified(services.bootstrap, sent)
        event = await client.event(sent)
        second = await services.send("task.updated", task("task.updated", team_id, value["taskId"], owner, title="Seen again"))
        await client.event(second)
        await fence(services, client, other)

        position = event.pop("position")
        assert event == json.loads(record.value)
        assert isinstance(position, str)
        assert [one["eventId"] for one in client.events] == [sent.event_id, second.event_id]
        assert client.events[1]["position"] > position
        assert other.events == []


async def test_a_client_gets_nothing_of_what_was_before_it_came(worker: Worker, services: Services) -> None:
    team_id, owner, task_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    before = await services.send("task.created", task("task.created", team_id, task_id, owner))
    await log.unified(services.bootstrap, before)
    await eventually(lambda: worker.request("GET", f"/api/teams/{team_id}"), lambda seen: seen[0] == 200 and seen[1]["tasks"])
    async with PlainClient(worker.url, owner) as client:
        after = await services.send("task.updated", task("task.updated", team_id, task_id, owner, title="Now"))
        await client.event(after)

        assert [event["eventId"] for event in client.events] == [after.event_id]


async def test_an_event_that_came_late_carries_the_state(worker: Worker, services: Services) -> None:
    team_id, owner, task_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    late = task("task.updated", team_id, task_id, owner, title="Old", priority="high")
    async with PlainClient(worker.url, owner) as client:
        newer = await services.send("task.created", task("task.created", team_id, task_id, owner, title="New"))
        await client.event(newer)
        sent = await services.send("task.updated", late)
        event = await client.event(sent)

        assert event["data"]["title"] == "Old"
        assert event["state"]["title"] == "New"
