"""Progress: wherever a stream is cut, what comes behind the last thing that it took leads on without a hole and without a repeat."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.stream_ids import Places
from delivery.entry import Entry
from delivery.listener import Listener
from tests.unit.delivery.fakes import FakeSink, listener_of, record, turns, until
from tests.unit.delivery.test_hub import ADDED, BEGINNING, ME, REMOVED, World, task
from tests.unit.delivery.test_hub import world as world  # noqa: PLC0414  (a fixture)

TEAMS = (1, 2, 3)


class StreamSink(FakeSink):
    """Notes the place that goes out with each message."""

    def __init__(self, world: World, room: int | None = None) -> None:
        super().__init__(room, rich=True)
        self.takes_runs = False
        self.world = world
        self.listener: Listener
        self.places: list[Places] = []

    def write(self, entry: Entry) -> None:
        super().write(entry)
        self.places.append(self.world.hub.progress(self.listener))

    def send(self, message: bytes) -> None:
        super().send(message)
        self.places.append(self.world.hub.progress(self.listener))


def stream_of(world: World, user: int = ME, room: int | None = None) -> StreamSink:
    """A stream that is known to the hub, and has begun in no feed."""
    sink = StreamSink(world, room)
    sink.listener = listener_of(user, sink)
    world.hub.register(sink.listener)
    return sink


async def resumed(world: World, places: Places, user: int = ME) -> StreamSink:
    sink = stream_of(world, user)
    await world.hub.resume_all(sink.listener, places)
    return sink


def of_team(team: int, second: int) -> Any:
    return record("task.updated", second, team=team, taskId=1, creatorId=ME, title=str(second))


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.sampled_from(["write", "write", "write", "drain"]), st.sampled_from(TEAMS), st.integers(1, 4)), max_size=25),
    st.data(),
)
def test_a_stream_that_is_cut_anywhere_goes_on_with_what_it_had_not(steps: list[tuple[str, int, int]], data: st.DataObject) -> None:
    async def check() -> None:
        world = World()
        await world.hub.start()
        world.owner.teams = list(TEAMS)
        world.read(*(record("team.created", 0, team=team, ownerId=ME) for team in TEAMS))
        first = stream_of(world, room=2)
        await world.hub.join_all(first.listener)
        for number, (step, team, count) in enumerate(steps):
            if step == "write":
                world.read(of_team(team, 10 + number))
            else:
                first.room = count
                world.hub.drained(first.listener)
        cut = data.draw(st.integers(0, len(first.entries)))
        places = first.places[cut - 1] if cut else Places({0: len(TEAMS) - 1})
        world.hub.unregister(first.listener)
        second = await resumed(world, places)
        world.read(*(of_team(team, 50) for team in TEAMS))
        for team in TEAMS:
            key = f"team:{team}"
            got = [entry.offset for entry in [*first.entries[:cut], *second.entries] if entry.key == key]
            assert got == [o for o, one in enumerate(world.log.records) if o >= len(TEAMS) and one is not None and one.event.key == key]
        assert not any(said.startswith("gap") for said in second.told)
        await world.hub.stop()

    asyncio.run(check())


async def test_a_team_whose_place_is_unknown_begins_with_a_gap_and_a_snapshot(world: World) -> None:
    world.read(*BEGINNING, task(10))
    sink = await resumed(world, Places())
    assert sink.told[:1] == ["gap team:1 unknown"]
    assert "snapshot team:1@2" in sink.told
    assert sink.entries == []


async def test_who_comes_back_in_the_middle_of_a_snapshot_gets_it_again(world: World) -> None:
    world.read(*BEGINNING, task(10))
    sink = stream_of(world, room=0)
    await world.hub.resume_all(sink.listener, Places())
    before = world.hub.progress(sink.listener)
    sink.room = None
    world.hub.drained(sink.listener)
    assert (before.of("team:1", 0), sink.places[-1].of("team:1", 0)) == (None, 2)
    assert (await resumed(world, sink.places[-1])).told == []
    assert "gap team:1 unknown" in (await resumed(world, before)).told


async def test_a_feed_that_is_being_opened_is_still_to_come(world: World) -> None:
    world.owner.teams = []
    world.read(*BEGINNING)
    sink = stream_of(world, 3)
    await world.hub.join_all(sink.listener)
    world.owner.held = []
    world.read(ADDED, task(21))
    await turns()
    assert world.hub.progress(sink.listener).of("team:1", 0) == 1
    world.owner.release()
    await turns()
    assert world.hub.progress(sink.listener).of("team:1", 0) == 3
    assert sink.offsets("team:1") == [2, 3]


async def test_what_waits_for_the_tasks_of_a_view_is_still_to_come(world: World) -> None:
    world.read(*BEGINNING, task(10))
    sink = stream_of(world)
    await world.hub.join_all(sink.listener)
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.owner.held = []
    world.read(task(11), task(12))
    await turns()
    assert world.hub.progress(sink.listener).of("team:1", 0) == 2
    world.owner.release()
    await turns()
    assert sink.offsets("team:1") == [3, 4]
    # The first of the two was written while the second still waited.
    assert [places.of("team:1", 0) for places in sink.places] == [3, 4]


async def test_who_is_added_while_a_view_waits_for_its_tasks_is_still_to_come(world: World) -> None:
    world.read(*BEGINNING, task(10))
    other = stream_of(world)
    await world.hub.join_all(other.listener)
    sink = stream_of(world, 3)
    await world.hub.join_all(sink.listener)
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.owner.held = []
    world.read(task(11), ADDED, task(21))
    await turns()
    assert world.hub.progress(sink.listener).of("team:1", 0) == 3
    world.owner.release()
    await until(lambda: not sink.listener.coming)
    assert sink.told == ["joined 1", "event team:1@4", "event team:1@5"]
    assert world.hub.progress(sink.listener).of("team:1", 0) == 5


async def test_who_was_removed_meanwhile_gets_nothing_of_the_team(world: World) -> None:
    world.read(*BEGINNING, ADDED, task(21), REMOVED, task(31))
    sink = await resumed(world, Places({0: 2}), 3)
    world.read(task(32))
    assert sink.told == []


async def test_who_was_added_meanwhile_begins_with_a_snapshot(world: World) -> None:
    world.read(*BEGINNING, ADDED, task(21))
    sink = await resumed(world, Places({0: 1}), 3)
    assert sink.told == ["gap team:1 membership", "snapshot team:1@3"]


async def test_behind_a_jump_of_the_log_every_place_is_unknown_until_it_has_begun_anew(world: World) -> None:
    world.read(*BEGINNING)
    sink = stream_of(world)
    await world.hub.join_all(sink.listener)
    world.owner.held = []
    world.hub.reset()
    assert world.hub.progress(sink.listener).of("team:1", 0) is None
    await turns()
    world.owner.release()
    await turns()
    assert "gap team:1 reset" in sink.told
    assert world.hub.progress(sink.listener).of("team:1", 0) == 1


async def test_a_place_beyond_the_log_is_a_gap(world: World) -> None:
    world.read(*BEGINNING)
    sink = await resumed(world, Places({0: 99}))
    assert "gap team:1 unknown" in sink.told
