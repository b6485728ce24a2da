"""A feed that is closed while somebody is on their way into it: they begin in the one that is open, or are told; none hears nothing."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import Unavailable
from delivery.feed import Feed
from tests.unit.delivery.fakes import FakeSink, record, turns, until
from tests.unit.delivery.test_budget import BEGINNING, ME, task
from tests.unit.delivery.test_hub import World
from tests.unit.delivery.test_hub import world as world  # noqa: PLC0414  (a fixture)
from tests.unit.domain.naive_model import Record

MANY = range(1, 41)


def team_feed(world: World) -> Feed:
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    return feed


async def test_all_who_join_at_once_get_what_comes_however_little_memory_there_is(world: World) -> None:
    world.hub.feeds._budget = 1
    world.owner.teams = list(MANY)
    for team in MANY:
        world.read(
            record("team.created", 1, team=team, ownerId=ME), record("task.created", 2, team=team, taskId=1, creatorId=ME, title="x")
        )
    sinks = {team: FakeSink() for team in MANY}
    world.owner.held = []
    joining = [asyncio.ensure_future(world.hub.join_all(world.come(ME, sink, frozenset({team})))) for team, sink in sinks.items()]
    while not all(one.done() for one in joining):
        world.owner.release()
        await turns(1)
    world.owner.held = None
    for team in MANY:
        world.read(record("task.updated", 3, team=team, taskId=1, creatorId=ME, title="y"))
    await until(lambda: all(sink.entries for sink in sinks.values()))
    assert {team: sink.offsets(f"team:{team}") for team, sink in sinks.items()} == {team: [2 * len(MANY) + team - 1] for team in MANY}


@pytest.mark.parametrize("opened_again", [False, True])
async def test_a_plan_begins_in_the_feed_that_is_open(world: World, opened_again: bool) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(ME, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=True)
    assert plan is not None
    world.hub.feeds.close(plan.feed)
    world.read(task(11))
    if opened_again:
        await world.hub.feed("team:1")
    assert world.hub.subscribe(listener, plan)
    world.read(task(12))
    assert sink.told == ["snapshot team:1@3", "event team:1@4"]


async def test_who_ceased_to_be_a_member_while_the_feed_was_closed_does_not_begin(world: World) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(2, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=True)
    assert plan is not None
    world.hub.feeds.close(plan.feed)
    world.read(record("team.member_removed", 11, userId=2), task(12))
    assert world.hub.renew(listener, plan) is None
    assert not world.hub.subscribe(listener, plan)
    assert sink.told == []


async def test_a_feed_whose_tasks_never_came_asks_for_them_again(world: World) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(ME, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=False)
    assert plan is not None
    plan.feed.view.forget_tasks()
    world.owner.held = []
    world.read(task(11))
    await turns()
    world.hub.feeds.close(plan.feed)
    world.owner.release()
    world.owner.held = None
    await turns()
    assert world.hub.subscribe(listener, plan)
    await until(lambda: plan.feed.head == 3)
    world.read(task(12))
    assert [one["data"]["title"] for one in sink.messages()] == ["11", "12"]


async def test_an_answer_that_never_came_ends_nothing_where_another_one_did(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(ME, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=False)
    assert plan is not None
    refused = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(world.hub._owners, "seed", lambda _key, _upto: refused)
    plan.feed.view.forget_tasks()
    world.read(task(11))
    await turns()
    monkeypatch.undo()
    world.hub.feeds.close(plan.feed)
    assert world.hub.subscribe(listener, plan)
    await until(lambda: plan.feed.head == 3)
    refused.set_exception(Unavailable("out of reach"))
    await turns()
    world.read(task(12))
    assert not sink.given_up
    assert [one["data"]["title"] for one in sink.messages()] == ["11", "12"]


async def test_a_feed_that_the_log_left_behind_is_out_of_reach() -> None:
    world = World(ring_bytes=2000)
    world.read(*BEGINNING)
    listener = world.come(ME, FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=False)
    assert plan is not None
    world.hub.feeds.close(plan.feed)
    world.read(*(task(second) for second in range(10, 40)))
    with pytest.raises(Unavailable, match="too far"):
        world.hub.subscribe(listener, plan)


async def test_a_feed_from_before_a_jump_of_the_log_is_out_of_reach(world: World) -> None:
    world.read(*BEGINNING)
    listener = world.come(ME, FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=False)
    assert plan is not None
    world.hub.reset()
    with pytest.raises(Unavailable):
        world.hub.renew(listener, plan)


@pytest.mark.parametrize("rich", [False, True])
async def test_where_the_ring_lost_what_waited_for_the_tasks_everybody_begins_anew(rich: bool) -> None:
    world = World(ring_bytes=2000)
    await world.hub.start()
    world.read(*BEGINNING)
    _, sink = await world.listen(ME, FakeSink(rich=rich))
    team_feed(world).view.forget_tasks()
    world.owner.held = []
    world.read(*(task(second) for second in range(10, 40)))
    await turns()
    world.owner.release()
    world.owner.held = None
    await until(lambda: sink.told[-1:] == ["snapshot team:1@31"] if rich else sink.given_up > 0)
    if rich:
        world.read(task(50))
        assert sink.told == ["gap team:1 overflow", "snapshot team:1@31", "event team:1@32"]
    await world.hub.stop()


async def test_there_is_one_feed_of_a_key_though_one_is_reopened_while_another_is_being_opened(world: World) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(ME, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=True)
    assert plan is not None
    world.hub.feeds.close(plan.feed)
    world.owner.held = []
    opening = asyncio.ensure_future(world.hub.feed("team:1"))
    await turns()
    assert world.hub.subscribe(listener, plan)
    world.owner.release()
    assert await opening is plan.feed
    world.read(task(11))
    assert sink.told == ["snapshot team:1@2", "event team:1@3"]


def others_records(count: int) -> list[Record]:
    """Records of another team that fill the ring."""
    return [record("team.updated", 20 + n, team=2, name=str(n)) for n in range(count)]


@pytest.mark.parametrize("rich", [False, True])
async def test_nothing_is_lost_of_a_team_that_was_quiet_while_the_ring_went_past_it(rich: bool) -> None:
    world = World(ring_bytes=5000)
    await world.hub.start()
    world.read(*BEGINNING)
    _, sink = await world.listen(ME, FakeSink(rich=rich))
    feed = team_feed(world)
    world.read(*others_records(30))
    feed.view.forget_tasks()
    world.owner.held = []
    world.read(task(58), task(59))
    await turns()
    world.owner.release()
    world.owner.held = None
    await until(lambda: feed.head == len(world.log.records) - 1)
    assert [one["data"]["title"] for one in sink.messages()] == ["58", "59"]
    assert not sink.given_up
    await world.hub.stop()


async def test_a_feed_that_was_quiet_while_the_ring_went_past_it_is_reopened() -> None:
    world = World(ring_bytes=5000)
    world.read(*BEGINNING)
    listener = world.come(ME, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", None, snapshot=False)
    assert plan is not None
    world.read(*others_records(30))
    world.hub.feeds.close(plan.feed)
    world.read(task(58))
    assert world.hub.subscribe(listener, plan)
    world.read(task(59))
    assert [one["data"]["title"] for one in sink.messages()] == ["59"]
    assert plan.feed.view.tasks()
