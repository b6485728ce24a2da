"""A worker's folder is a copy of the changelog: with it or without it, the rows are the same after a restart."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka import log
from tests.kafka.asking import dump, team_with
from tests.kafka.flow import check_flow
from tests.kafka.ids import fresh, fresh_team
from tests.kafka.services import Services, member, task, team, user
from tests.kafka.waiting import eventually
from tests.processes import Worker


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def only_worker(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """The one worker of its group, stopped and started by the tests."""
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("recovery")) as started:
        yield started


@pytest.fixture
async def worker(only_worker: Worker) -> Worker:
    """It runs, and is ready."""
    if not only_worker.running:
        only_worker.start()
    await only_worker.wait_ready()
    return only_worker


@pytest.fixture
async def services(worker: Worker, broker: EmbeddedKafka) -> AsyncIterator[Services]:
    """Producers of events; the topics are there."""
    async with Services(broker.bootstrap) as started:
        yield started


async def write_some_of_everything(services: Services, worker: Worker) -> list[int]:
    """Teams in every partition, one of them deleted, with tasks and members that come and go; return those that are there."""
    teams, owner, guest = [fresh_team(partition) for partition in range(8)], fresh(), fresh()
    await services.send("user.created", user(owner))
    for team_id in teams:
        await services.make_team(team_id, owner, guest)
        tasks = [fresh() for _ in range(3)]
        for one in tasks:
            await services.send("task.created", task("task.created", team_id, one, owner, title=f"Task {one}"))
        await services.send("task.updated", task("task.updated", team_id, tasks[0], owner, title="Changed", note={"deep": [1, "é"]}))
        await services.send("task.deleted", task("task.deleted", team_id, tasks[1], owner))
        await services.send("team.member_removed", member("team.member_removed", team_id, guest, owner))
    await services.send("task.created", task("task.created", None, fresh(), owner, title="Personal"))
    gone = fresh()
    await services.make_team(gone, owner)
    last = await services.send("team.deleted", team("team.deleted", gone, owner))
    await log.unified(services.bootstrap, last)

    def folded(rows: dict[str, list[dict[str, Any]]]) -> bool:
        tasks = [row["value"] for row in rows["tasks"] if row["value"]["teamId"] in teams]
        members = [row for row in rows["members"] if row["value"]["teamId"] in teams]
        personal = [row for row in rows["tasks"] if row["key"].startswith(f"user:{owner}/")]
        return (
            (len(tasks), len(members), len(personal)) == (16, 8, 1)
            and sum(one["title"] == "Changed" for one in tasks) == 8
            and any(row["key"] == str(owner) for row in rows["users"])
            and not any(row["key"] == str(gone) for row in rows["teams"])
        )

    await eventually(lambda: dump(worker), folded)
    await eventually(lambda: log.unread(services.bootstrap, "realtime-service"), lambda count: count == 0)
    return teams


async def test_rows_are_the_same_after_a_restart_with_the_folder_and_without_it(worker: Worker, services: Services) -> None:
    teams = await write_some_of_everything(services, worker)
    before = await dump(worker)
    states = [(await worker.request("GET", f"/api/teams/{team_id}"))[1] for team_id in teams]
    assert all(before.values())

    await worker.stop()
    worker.start()
    await worker.wait_ready()
    assert await dump(worker) == before

    await worker.stop()
    shutil.rmtree(worker.data_dir)
    worker.start()
    await worker.wait_ready()
    assert await dump(worker) == before
    for team_id, state in zip(teams, states, strict=True):
        after = await team_with(worker, team_id, *(one["userId"] for one in state["members"]))
        assert after | {"position": None} == state | {"position": None}
    await check_flow(worker, services)


async def test_a_record_written_while_no_worker_runs_is_read_by_the_next(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    await worker.stop()
    await services.make_team(team_id, owner)
    sent = [await services.send("task.created", task("task.created", team_id, fresh(), owner)) for _ in range(20)]
    worker.start()
    await worker.wait_ready()

    await log.records(services.bootstrap, "team.events", lambda one: one.key == f"team:{team_id}".encode(), count=1 + len(sent))
    await team_with(worker, team_id, owner)


async def test_a_killed_worker_goes_on_where_it_was(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    tasks = []
    for number in range(60):
        tasks.append(fresh())
        await services.send("task.created", task("task.created", team_id, tasks[-1], owner))
        if number == 30:
            worker.kill()
    worker.start()
    await worker.wait_ready()

    path = f"/api/tables/tasks?prefix={team_id}/"
    _, rows = await eventually(lambda: worker.request("GET", path), lambda seen: len(seen[1].get("rows", ())) == 60, limit=30)
    assert [row["value"]["taskId"] for row in rows["rows"]] == tasks
