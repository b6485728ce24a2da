"""The hub and presence: who is registered is online, and only members see members, from the subscription to the removal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from delivery import teller as tellers
from delivery.attendance import LINGER_SECONDS
from delivery.listener import Listener
from delivery.presence import INTERVAL_SECONDS, Changed, Count, Message, Online
from delivery.teller import Teller
from tests.unit.delivery.fakes import FakeSink, listener_of, record, until
from tests.unit.delivery.test_hub import ADDED, AGAIN, BEGINNING, ME, OTHER, REMOVED, World, task

GUEST = 3


class Others:
    """The other workers: what they are told, and what they tell."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.came: set[int] = set()
        self.went: set[int] = set()

    def come(self, user_id: int) -> None:
        self.told.append(("come", user_id))

    def go(self, user_id: int) -> None:
        self.told.append(("go", user_id))

    def elsewhere(self) -> tuple[set[int], set[int]]:
        found = (self.came, self.went)
        self.came, self.went = set(), set()
        return found


def said(message: Message) -> bytes:
    match message:
        case Online(team_id, users):
            text = f"online {team_id} {list(users)}"
        case Changed(team_id, joined, left):
            text = f"changed {team_id} +{list(joined)} -{list(left)}"
        case Count(team_id, number):
            text = f"count {team_id} {number}"
    return text.encode()


class Presence(World):
    """A hub and what tells who is online."""

    def __init__(self) -> None:
        super().__init__()
        self.others = Others()
        self.teller = Teller(self.hub.attendance, self.hub.presence, self.others, said)
        self.now = 1000.0

    async def a_second_later(self, seconds: float = INTERVAL_SECONDS) -> None:
        self.now += seconds
        await self.teller.tick(self.now)

    async def subscribe(self, user: int, sink: FakeSink | None = None, *, presence: bool = True) -> tuple[Listener, FakeSink]:
        """As a rich client does: to team 1."""
        sink = sink or FakeSink(rich=True)
        listener = listener_of(user, sink, frozenset())
        self.hub.register(listener)
        plan = await self.hub.plan(listener, "team:1", None, snapshot=False, presence=presence)
        assert plan is not None
        self.hub.subscribe(listener, plan)
        await self.a_second_later()
        return listener, sink


def presence_of(sink: FakeSink) -> list[str]:
    return [line for line in sink.told if line.startswith(("online", "changed", "count"))]


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Presence]:
    made = Presence()
    monkeypatch.setattr("delivery.hub.monotonic", lambda: made.now)
    made.read(*BEGINNING)
    await made.hub.start()
    yield made
    await made.hub.stop()


async def test_who_subscribes_sees_who_is_online_themselves_too(world: Presence) -> None:
    world.others.came = {OTHER, GUEST}
    _, sink = await world.subscribe(ME)
    assert presence_of(sink) == ["online 1 [1, 2]"]


async def test_who_did_not_ask_sees_nothing(world: Presence) -> None:
    _, sink = await world.subscribe(ME, presence=False)
    assert presence_of(sink) == []


async def test_a_plain_socket_makes_its_user_online(world: Presence) -> None:
    _, sink = await world.subscribe(ME)
    listener = world.come(OTHER, FakeSink())
    await world.a_second_later()
    world.hub.unregister(listener)
    await world.a_second_later(LINGER_SECONDS)
    assert presence_of(sink) == ["online 1 [1]", "changed 1 +[2] -[]", "changed 1 +[] -[2]"]


async def test_the_other_workers_are_told_of_users_and_not_of_sockets(world: Presence) -> None:
    listeners = [world.come(OTHER, FakeSink()) for _ in range(3)]
    await world.a_second_later()
    for listener in listeners:
        world.hub.unregister(listener)
        world.hub.unregister(listener)  # no harm
        await world.a_second_later(LINGER_SECONDS)
    assert world.others.told == [("come", OTHER), ("go", OTHER)]


async def test_a_reload_is_nothing_to_tell(world: Presence) -> None:
    _, sink = await world.subscribe(ME)
    listener = world.come(OTHER, FakeSink())
    await world.a_second_later()
    for _ in range(3):
        world.hub.unregister(listener)
        await world.a_second_later(LINGER_SECONDS - 1)
        listener = world.come(OTHER, FakeSink())
        await world.a_second_later()
    assert presence_of(sink) == ["online 1 [1]", "changed 1 +[2] -[]"]
    assert world.others.told == [("come", ME), ("come", OTHER)]


async def test_unsubscribing_and_closing_end_it(world: Presence) -> None:
    first, one = await world.subscribe(ME)
    second, two = await world.subscribe(ME)
    world.hub.leave(first.cursors["team:1"])
    world.hub.unregister(second)
    world.others.came = {OTHER}
    await world.a_second_later()
    assert presence_of(one) == presence_of(two) == ["online 1 [1]"]
    assert not world.hub.presence._teams


async def test_subscribing_again_begins_with_the_whole_or_ends_it(world: Presence) -> None:
    listener, sink = await world.subscribe(ME)
    for wanted in (True, False):
        plan = await world.hub.plan(listener, "team:1", None, snapshot=False, presence=wanted)
        assert plan is not None
        world.hub.subscribe(listener, plan)
        await world.a_second_later()
    world.others.came = {OTHER}
    await world.a_second_later()
    assert presence_of(sink) == ["online 1 [1]", "online 1 [1]"]


async def test_who_is_removed_sees_nothing_more_however_slow_their_socket(world: Presence) -> None:
    world.read(ADDED)
    _, mine = await world.subscribe(ME)
    _, quick = await world.subscribe(GUEST)
    _, slow = await world.subscribe(GUEST, FakeSink(1, rich=True))
    assert presence_of(quick) == presence_of(slow) == ["online 1 [1, 3]"]
    world.read(REMOVED)
    slow.room = None
    world.others.came = {OTHER}
    await world.a_second_later()
    assert presence_of(quick) == presence_of(slow) == ["online 1 [1, 3]"]
    assert presence_of(mine) == ["online 1 [1]", "changed 1 +[3] -[]", "changed 1 +[2] -[3]"]


async def test_who_is_removed_and_added_again_while_slow_sees_the_whole_after_both(world: Presence) -> None:
    world.read(ADDED)
    listener, sink = await world.subscribe(GUEST)
    sink.room = 0
    listener.wanted = frozenset({1})
    world.read(REMOVED, task(35), AGAIN, task(45))
    await world.a_second_later()
    sink.room = None
    world.hub.drained(listener)
    await world.a_second_later()
    lines = [line for line in sink.told if not line.startswith(("event", "snapshot"))]
    assert lines == ["online 1 [3]", "left 1 removed", "joined 1", "online 1 [3]"]


async def test_who_follows_everything_sees_presence_of_teams_that_come_later(world: Presence) -> None:
    sink = FakeSink(rich=True)
    listener = world.come(GUEST, sink)
    listener.presence = True
    await world.hub.join_all(listener)
    world.read(ADDED)
    await until(lambda: "team:1" in listener.cursors)
    await world.a_second_later()
    assert presence_of(sink) == ["online 1 [3]"]


async def test_a_deleted_team_has_no_presence(world: Presence) -> None:
    _, sink = await world.subscribe(ME)
    world.read(record("team.deleted", 50))
    world.others.came = {OTHER}
    await world.a_second_later()
    await world.a_second_later()
    assert presence_of(sink) == ["online 1 [1]"]
    assert not world.hub.presence._teams


async def test_behind_a_jump_of_the_log_the_whole_comes_again(world: Presence) -> None:
    listener, sink = await world.subscribe(ME)
    world.hub.reset()
    await until(lambda: "team:1" in listener.cursors)
    await world.a_second_later()
    assert [line for line in sink.told if not line.startswith("snapshot")] == ["online 1 [1]", "gap team:1 reset", "online 1 [1]"]


async def test_a_team_whose_owner_stays_away_is_not_watched_on(world: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("delivery.owners.JOIN_SECONDS", 0.05)
    _, sink = await world.subscribe(ME)
    feed = world.hub.feeds.get("team:1")
    assert feed is not None
    feed.view.forget_tasks()
    world.owner.refuse = 10**6
    world.read(task(10))
    await until(lambda: sink.given_up)
    world.others.came = {OTHER}
    await world.a_second_later()
    assert presence_of(sink) == ["online 1 [1]"]


async def test_many_who_come_at_once_leave_others_their_turn(world: Presence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tellers, "SLICE", 10)
    turns = 0
    sleep = asyncio.sleep

    async def counted(seconds: float) -> None:
        nonlocal turns
        turns += 1
        await sleep(seconds)

    monkeypatch.setattr("delivery.teller.asyncio.sleep", counted)
    world.others.came = set(range(10, 110))
    for user_id in range(1000, 1100):
        world.come(user_id, FakeSink())
    await world.a_second_later()
    assert turns == 20
    assert len(world.others.told) == 100


async def test_an_administrator_ends_every_connection_of_a_user_and_nobody_elses(world: Presence) -> None:
    plain, rich, other = FakeSink(), FakeSink(rich=True), FakeSink()
    for user_id, sink in ((ME, plain), (ME, rich), (OTHER, other)):
        world.come(user_id, sink)
    assert world.hub.disconnect(ME) == 2
    assert world.hub.disconnect(ME) == 0, "they are going already"
    assert world.hub.disconnect(GUEST) == 0
    assert (plain.disconnected, rich.disconnected, other.disconnected) == (2, 2, 0)
