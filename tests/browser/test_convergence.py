"""Whatever order events come in, the page ends with the server's state."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.board import Boards
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, member, task, team
from tests.kafka.waiting import eventually
from tests.processes import Worker

REPLICA = (Path(__file__).parent / "convergence.js").read_text(encoding="utf-8")
TASK_TYPES = ("task.created", "task.updated", "task.completed", "task.deleted")
MEMBER_TYPES = ("team.member_added", "team.member_removed", "team.member_role_updated")


def ago(seconds: float) -> str:
    """A moment in the past, as services write it."""
    return (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


async def test_a_late_update_changes_only_what_nothing_newer_has_set(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, task_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    await services.send("task.created", task("task.created", team_id, task_id, ada, title="First") | {"timestamp": ago(60)})
    await services.send("task.updated", task("task.updated", team_id, task_id, ada, title="Newest") | {"timestamp": ago(10)})
    board = await boards.of(ada)
    await board.sees("Newest")

    late = task("task.updated", team_id, task_id, ada, title="Outranked", description="Late, and welcome") | {"timestamp": ago(30)}
    await services.send("task.updated", late)

    await expect(board.card("Newest")).to_contain_text("Late, and welcome")
    await board.sees("Outranked", count=0)


async def test_what_was_deleted_later_stays_deleted_and_what_was_made_later_stays(
    worker: Worker, services: Services, boards: Boards
) -> None:
    team_id, ada, gone, kept = fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)
    await services.send("task.deleted", task("task.deleted", team_id, gone, ada) | {"timestamp": ago(10)})
    await services.send("task.created", task("task.created", team_id, gone, ada, title="Too late") | {"timestamp": ago(30)})
    await services.send("task.updated", task("task.updated", team_id, gone, ada, title="Too late") | {"timestamp": ago(5)})
    await services.send("task.created", task("task.created", team_id, kept, ada, title="Made again") | {"timestamp": ago(10)})
    await services.send("task.deleted", task("task.deleted", team_id, kept, ada) | {"timestamp": ago(30)})

    await expect(board.feed("task.deleted")).to_have_count(2)
    await board.sees("Made again")
    await board.sees("Too late", count=0)


async def test_a_team_deleted_before_it_was_made_again_keeps_what_is_newer(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    old, new = fresh(), fresh()
    await services.make_team(team_id, ada)
    await services.send("team.member_added", member("team.member_added", team_id, ben, ada) | {"timestamp": ago(60)})
    await services.send("task.created", task("task.created", team_id, old, ada, title="Before the end") | {"timestamp": ago(60)})
    await services.send("task.created", task("task.created", team_id, new, ada, title="After the end"))
    await team_with(worker, team_id, ada, ben)
    board, other = await boards.of(ada), await boards.of(ben)
    await board.sees("Before the end")
    await board.sees("After the end")

    await services.send("team.deleted", team("team.deleted", team_id, ada) | {"timestamp": ago(30)})

    await board.sees("Before the end", count=0)
    await board.sees("After the end")
    await expect(board.column(team_id).get_by_test_id("members-button")).to_contain_text("1 member of")
    # The other one's membership was older than the end.
    await other.has_columns("me")


@pytest.mark.parametrize("seed", range(4))
async def test_a_replica_equals_the_servers_state_after_any_events(worker: Worker, services: Services, boards: Boards, seed: int) -> None:
    rng = random.Random(seed)
    ada, team_id = fresh(), fresh()
    tasks, people = [fresh() for _ in range(4)], [fresh() for _ in range(3)]
    await services.send("team.created", team("team.created", team_id, ada, name="Start") | {"timestamp": ago(0)})
    await team_with(worker, team_id, ada)
    board = await boards.blank()
    await board.open()
    await board.page.evaluate(REPLICA, ada)
    await eventually(lambda: board.page.evaluate("window.replica.synced()"), bool)

    for number in range(120):
        moment = ago(rng.choice((0, 0, 0, rng.uniform(0, 100))))
        await _something(rng, services, team_id, ada, tasks, people, f"{seed}-{number}", moment)
    last = await services.send("team.updated", team("team.updated", team_id, ada, description="The end"))
    await eventually(
        lambda: board.page.evaluate("([id, key]) => window.replica.has(id) && window.replica.team(key) !== null", [last.event_id, team_id]),
        bool,
    )

    async def both() -> tuple[object, object]:
        _, state = await worker.request("GET", f"/api/teams/{team_id}")
        names = ("team", "members", "tasks")
        shown = await board.page.evaluate("key => window.replica.team(key)", team_id)
        return {name: state[name] for name in names}, shown and {name: shown[name] for name in names}

    # Topics have no order among each other: the last event of one may be routed before some of another.
    await eventually(both, lambda pair: pair[0] == pair[1])
    assert len(await board.page.evaluate("window.replica.states()")) > 10, "too few events came late: nothing was shown by this"


async def _something(
    rng: random.Random, services: Services, team_id: int, ada: int, tasks: list[int], people: list[int], name: str, moment: str
) -> None:
    choice = rng.random()
    if choice < 0.7:
        topic = rng.choice(TASK_TYPES)
        payload: dict[str, Any] = {"title": name} if topic != "task.completed" else {"completed": rng.random() < 0.5}
        if topic in ("task.created", "task.updated") and rng.random() < 0.4:
            payload["description"] = rng.choice((None, name))
        value = task(topic, team_id, rng.choice(tasks), ada, **({} if topic == "task.deleted" else payload))
        if rng.random() < 0.3:
            value["assigneeId"] = rng.choice((None, 0, *people))
    elif choice < 0.9:
        topic = rng.choice(MEMBER_TYPES)
        role = {} if topic == "team.member_removed" else {"role": rng.choice(("lead", "guest"))}
        value = member(topic, team_id, rng.choice(people), ada, **role)
    elif choice < 0.97:
        topic = "team.updated"
        value = team(topic, team_id, ada, **rng.choice(({"name": name}, {"description": name}, {"name": None})))
    else:
        topic = rng.choice(("team.created", "team.deleted"))
        value = team(topic, team_id, ada, **({"name": name} if topic == "team.created" else {}))
        if topic == "team.deleted":
            moment = ago(rng.uniform(100, 200))  # older than the team: they stay a member
    await services.send(topic, value | {"timestamp": moment})
