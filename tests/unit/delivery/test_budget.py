"""Memory for views: tasks are dropped and brought back, members never; nothing is lost or shown wrong meanwhile."""

from __future__ import annotations

import pytest

from tests.unit.delivery.fakes import FakeSink, record, turns, until
from tests.unit.delivery.test_hub import World
from tests.unit.delivery.test_hub import world as world  # noqa: PLC0414  (a fixture)
from tests.unit.domain.naive_model import Record

ME, OTHER = 1, 2
BEGINNING = [record("team.created", 1, ownerId=ME), record("team.member_added", 2, userId=OTHER, role="member")]


def task(second: int, number: int = 1, title: str | None = None) -> Record:
    return record("task.updated", second, offset=second, taskId=number, creatorId=ME, title=title or str(second))


async def test_a_task_event_waits_for_the_tasks_and_is_delivered_once_with_what_follows(world: World) -> None:
    world.read(*BEGINNING, task(10, title="new"))
    _, sink = await world.listen(ME)
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.read(task(5, title="late"), record("team.updated", 20, name="n"))
    assert sink.offsets("team:1") == []
    await until(lambda: len(sink.entries) == 2)
    late, renamed = sink.messages()
    assert (late["data"]["title"], late["state"]["title"]) == ("late", "new"), "what the row had must not be forgotten"
    assert renamed["data"]["name"] == "n"
    assert [one["title"] for one in feed.view.tasks()] == ["new"]


async def test_a_removal_counts_while_the_tasks_are_not_here(world: World) -> None:
    world.read(*BEGINNING, task(10))
    _, sink = await world.listen(OTHER)
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.owner.held = []
    world.read(task(11), record("team.member_removed", 12, userId=OTHER), task(13))
    await turns()
    assert sink.offsets("team:1") == []
    world.owner.release()
    world.owner.held = None
    await until(lambda: len(sink.entries) == 2)
    await turns()
    assert [one["type"] for one in sink.messages()] == ["task.updated", "team.member_removed"]
    assert sink.told[-1] == "left 1 removed"


async def test_a_snapshot_waits_for_the_tasks(world: World) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(ME, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=True)
    assert plan is not None
    plan.feed.view.forget_tasks()
    assert world.hub.subscribe(listener, plan)
    assert sink.told == []
    await until(lambda: len(sink.told) > 0)
    assert sink.told == ["snapshot team:1@2"]


async def test_feeds_without_listeners_go_first_and_then_the_tasks_of_those_used_longest_ago(world: World) -> None:
    for team in (1, 2, 3):
        world.read(
            record("team.created", 1, team=team, ownerId=ME),
            record("task.created", 10 + team, team=team, taskId=1, creatorId=ME, title="x"),
        )
    await world.hub.feed("team:3")
    await world.listen(ME, wanted=frozenset({1, 2}))
    feeds = world.hub.feeds
    feeds._budget = 1
    first, second = feeds.get("team:1"), feeds.get("team:2")
    assert first is not None
    assert second is not None
    feeds.shrink()
    assert feeds.get("team:3") is None
    assert sorted([first.view.tasks_known, second.view.tasks_known]) == [False, True], "the newest stays: somebody waits for it"
    assert first.view.role(ME) == second.view.role(ME) == "owner"


async def test_an_owner_that_stays_away_ends_those_who_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.owners.JOIN_SECONDS", 0.05)
    world.read(*BEGINNING)
    _, sink = await world.listen(ME)
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.owner.refuse = 10**6
    world.read(task(10))
    await until(lambda: sink.given_up == 1)
    assert world.hub.feeds.get("team:1") is None


async def test_tasks_are_not_brought_back_older_than_what_was_folded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.owners.RETRY_SECONDS", 0.001)
    world.read(*BEGINNING, task(10, title="old"))
    _, sink = await world.listen(ME)
    world.read(task(11, title="new"))
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.owner.behind = 2
    world.read(task(12, number=2))
    await until(lambda: len(world.owner.asked) > 5)
    assert sink.offsets("team:1") == [3], "the owner lacks what was folded here"
    world.owner.behind = 0
    await until(lambda: len(sink.entries) == 2)
    assert [one["title"] for one in feed.view.tasks()] == ["new", "12"]
