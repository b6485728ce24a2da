"""Resuming: a position leads on to exactly what was missed, from the ring or from the log, or to the reason why it cannot."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import positions
from app.errors import Unavailable
from delivery.entry import Entry
from delivery.resume import Resumed, resume
from tests.unit.delivery.fakes import LOG, FakeSink, Log, entry_of, feed_of, record
from tests.unit.delivery.test_hub import ADDED, AGAIN, BEGINNING, ME, REMOVED, World, task
from tests.unit.delivery.test_hub import world as world  # noqa: PLC0414  (a fixture)
from tests.unit.domain.naive_model import Record

SMALL = 4000
"""Bytes of a ring that holds a few records."""
FAR = 1000


class Reader:
    """Reads the log behind the ring; what is older than ``begin`` has expired."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.begin = 0
        self.asked: list[tuple[int, int]] = []

    async def read(self, log: str, partition: int, key: str, first: int, upto: int) -> list[Entry] | None:
        assert (log, partition) == (LOG, 0)
        self.asked.append((first, upto))
        if first < self.begin:
            return None
        found = [(offset, self.log.records[offset]) for offset in range(max(first, 0), upto)]
        return [entry_of(one, offset) for offset, one in found if one is not None and one.event.key == key]

    async def stop(self) -> None:
        """Nothing is under way."""


class Place:
    """A log, its reader, and the feed of team 1."""

    def __init__(self, records: list[Record], *, ring_bytes: int = 10_000_000, others: int = 0) -> None:
        self.log = Log(ring_bytes)
        for one in records:
            self.log.append(one)
        self.log.append_other(others)
        self.reader = Reader(self.log)
        self.feed = feed_of(self.log.held, self.log.seed(len(self.log.records), "team:1"))

    def at(self, offset: int) -> str:
        """The position of a record, as whoever got it was told."""
        one = self.log.records[offset]
        assert one is not None
        return entry_of(one, offset).position

    async def resume(self, text: str, read_max: int = FAR) -> Resumed:
        tail: Any = self.log
        reader: Any = self.reader
        return await resume(tail, reader, self.feed, text, read_max)

    def gives(self, resumed: Resumed) -> list[int]:
        """Offsets of what a client gets that goes on like this."""
        held = self.log.held.after("team:1", resumed.after)
        if resumed.after >= self.feed.last_offset:
            held = []  # there is nothing behind the newest record, whatever the ring has dropped
        assert held is not None
        return [entry.offset for entry in (*resumed.backlog, *held)]


def place_at(offset: int, key: str = "team:1", log: str = LOG) -> str:
    """The position of a snapshot that was taken where no record of the team was."""
    return positions.position(log, key, offset, ())


UNKNOWN = Resumed("unknown", source="snapshot")
MISSED = [*BEGINNING, *(task(second) for second in range(10, 14))]


# --- unknown


@pytest.mark.parametrize("text", ["", "x", "42", f"{1:016x}-{LOG}", f"{1:016x}-{LOG}-{'0' * 15}", "é" * 50])
async def test_a_text_that_is_no_position_is_unknown(text: str) -> None:
    assert await Place(MISSED).resume(text) == UNKNOWN


async def test_a_position_of_another_log_is_unknown() -> None:
    here = Place(MISSED)
    other = positions.position("f" * 16, "team:1", 3, entry_of(MISSED[3], 3).headers)
    assert await here.resume(other) == UNKNOWN


@pytest.mark.parametrize("offset", [0, 3, 5])
async def test_a_position_with_a_forged_check_is_unknown(offset: int) -> None:
    here = Place(MISSED)
    assert await here.resume(positions.compose(offset, LOG, "0" * 16)) == UNKNOWN


@pytest.mark.parametrize("ring_bytes", [10_000_000, SMALL])
@pytest.mark.parametrize("offset", [2, 4, 5])
async def test_a_position_of_another_team_is_unknown(ring_bytes: int, offset: int) -> None:
    here = Place(MISSED, ring_bytes=ring_bytes, others=30)
    theirs = positions.position(LOG, "team:2", offset, entry_of(MISSED[offset], offset).headers)
    assert await here.resume(theirs) == UNKNOWN
    assert await here.resume(place_at(offset, "team:2")) == UNKNOWN


async def test_a_position_behind_the_logs_end_is_unknown_and_nobody_waits_for_it() -> None:
    here = Place(MISSED)
    assert await here.resume(place_at(len(MISSED))) == UNKNOWN
    assert here.log.read_upto == []


# --- a tail that is behind


class Behind(Log):
    """A tail that has not read all that is in the log."""

    def __init__(self, comes: bool) -> None:
        super().__init__()
        self.comes = comes

    async def end(self, partition: int) -> int:
        assert partition == 0
        return 10

    async def wait_for(self, partition: int, offset: int, seconds: float) -> bool:
        assert seconds > 0
        while self.comes and len(self.records) <= offset:
            self.append(task(20 + len(self.records)))
        return self.comes


@pytest.mark.parametrize("comes", [True, False])
async def test_a_position_that_the_tail_has_not_reached_is_waited_for_within_a_bound(comes: bool) -> None:
    here = Place([])
    here.log = Behind(comes)
    here.feed = feed_of(here.log.held, here.log.seed(0, "team:1"))
    asked = here.resume(place_at(4))
    if comes:
        resumed = await asked
        assert (resumed.gap, resumed.after) == (None, 4)
    else:
        with pytest.raises(Unavailable, match="behind the position"):
            await asked


# --- nothing missed


@pytest.mark.parametrize("ring_bytes", [10_000_000, SMALL])
async def test_who_has_the_newest_record_has_missed_nothing_even_if_it_is_not_held_any_more(ring_bytes: int) -> None:
    here = Place(MISSED, ring_bytes=ring_bytes, others=50)
    resumed = await here.resume(here.at(5))
    assert (resumed.gap, resumed.source, here.gives(resumed)) == (None, "memory", [])
    assert here.reader.asked == []


async def test_a_place_behind_the_newest_record_has_missed_nothing() -> None:
    here = Place(MISSED, others=5)
    resumed = await here.resume(place_at(8))
    assert (resumed.gap, resumed.source, here.gives(resumed)) == (None, "memory", [])


async def test_a_position_that_a_feed_gives_leads_on_from_there() -> None:
    for here in (Place(MISSED), Place([], others=3), Place([])):
        resumed = await here.resume(here.feed.position)
        assert (resumed.gap, here.gives(resumed)) == (None, [])


# --- from the ring


@pytest.mark.parametrize("offset", range(5))
async def test_what_was_missed_comes_from_the_ring(offset: int) -> None:
    here = Place(MISSED)
    resumed = await here.resume(here.at(offset))
    assert resumed == Resumed(None, offset)
    assert here.gives(resumed) == list(range(offset + 1, 6))
    assert here.reader.asked == []


async def test_from_a_place_between_its_records_it_goes_on_with_the_next_one() -> None:
    here = Place([])
    here.log.append_other(4)
    here.log.append(BEGINNING[0])
    here.feed = feed_of(here.log.held, here.log.seed(5, "team:1"))
    resumed = await here.resume(place_at(2))
    assert (resumed.gap, here.gives(resumed)) == (None, [4])


async def test_from_the_place_before_the_first_record_everything_comes() -> None:
    here = Place(MISSED)
    resumed = await here.resume(place_at(-1))
    assert (resumed.gap, here.gives(resumed)) == (None, list(range(6)))


# --- from the log


def old(others: int = 30) -> Place:
    """All of the team's records but the last are read from the log alone."""
    here = Place(MISSED, ring_bytes=SMALL, others=others)
    last = here.log.append(task(30))
    here.feed.fold(last)
    assert here.log.held.start > len(MISSED)
    return here


@pytest.mark.parametrize("offset", range(5))
async def test_what_the_ring_has_dropped_comes_from_the_log_and_the_rest_from_the_ring(offset: int) -> None:
    here = old()
    resumed = await here.resume(here.at(offset))
    assert (resumed.gap, resumed.source, resumed.after) == (None, "log", here.log.held.start - 1)
    assert [entry.offset for entry in resumed.backlog] == list(range(offset + 1, 6))
    assert here.gives(resumed) == [*range(offset + 1, 6), 36]
    assert here.reader.asked == [(offset, here.log.held.start)]


async def test_from_a_place_in_the_log_it_goes_on_with_the_next_one() -> None:
    here = old()
    resumed = await here.resume(place_at(10))
    assert (resumed.gap, resumed.source, here.gives(resumed)) == (None, "log", [36])


async def test_a_position_whose_record_the_log_does_not_know_is_unknown() -> None:
    here = old()
    headers = entry_of(MISSED[3], 3).headers
    assert await here.resume(positions.position(LOG, "team:1", 4, headers)) == UNKNOWN, "another record is there"
    assert await here.resume(positions.position(LOG, "team:1", 10, headers)) == UNKNOWN, "none of the team's is there"


async def test_more_than_is_read_at_most_is_far() -> None:
    here = old()
    start = here.log.held.start
    assert await here.resume(here.at(4), read_max=start - 5) == Resumed("far", source="snapshot")
    assert here.reader.asked == []
    assert (await here.resume(here.at(4), read_max=start - 4)).gap is None


async def test_what_has_expired_is_retention() -> None:
    here = old()
    here.reader.begin = 4
    assert await here.resume(here.at(3)) == Resumed("retention", source="snapshot")
    assert (await here.resume(here.at(4))).gap is None


@given(st.lists(st.booleans(), max_size=40), st.sampled_from([1500, SMALL, 10_000_000]), st.data())
async def test_what_was_missed_comes_once_and_in_order_wherever_it_is(ours: list[bool], ring_bytes: int, data: st.DataObject) -> None:
    log = Log(ring_bytes)
    for number, mine in enumerate([True, *ours]):
        log.append(record("task.created", number % 60, team=1 if mine else 2, offset=number, taskId=1, creatorId=ME))
    here = Place([])
    here.log, here.reader = log, Reader(log)
    here.feed = feed_of(log.held, log.seed(len(log.records), "team:1"))
    seen = data.draw(st.sampled_from([offset for offset, mine in enumerate([True, *ours]) if mine]))
    resumed = await here.resume(here.at(seen))
    assert resumed.gap is None
    assert here.gives(resumed) == [offset for offset, mine in enumerate([True, *ours]) if mine and offset > seen]


# --- subscribing with what was found


async def subscribed(world: World, user: int, since: str, *, snapshot: bool = False) -> FakeSink:
    listener = world.come(user, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", since, snapshot=snapshot)
    assert plan is not None
    assert world.hub.subscribe(listener, plan)
    return sink


def position_of(world: World, offset: int) -> str:
    one = world.log.records[offset]
    assert one is not None
    return entry_of(one, offset).position


async def test_a_member_gets_what_was_missed_and_no_snapshot_even_if_one_was_asked_for(world: World) -> None:
    world.read(*BEGINNING, task(10), task(11), task(12))
    sink = await subscribed(world, ME, position_of(world, 2), snapshot=True)
    world.read(task(13))
    assert sink.told == ["event team:1@3", "event team:1@4", "event team:1@5"]


@pytest.mark.parametrize("between", [(ADDED,), (REMOVED, AGAIN), (record("team.created", 20, ownerId=3),), (task(21), ADDED, task(22))])
async def test_who_became_a_member_in_what_was_missed_gets_a_gap_and_a_snapshot(world: World, between: tuple[Record, ...]) -> None:
    world.read(*BEGINNING, record("team.member_added", 2, userId=3, role="member"), task(10), *between, task(50))
    head = len(world.log.records) - 1
    sink = await subscribed(world, 3, position_of(world, 3))
    assert sink.told == ["gap team:1 membership", f"snapshot team:1@{head}"]
    others = await subscribed(world, 2, position_of(world, 3))
    if all(one.event.type != "team.created" for one in between):
        assert others.offsets("team:1") == list(range(4, head + 1)), "it says nothing of them"


async def test_who_became_a_member_with_the_record_of_their_position_goes_on_from_it(world: World) -> None:
    world.read(*BEGINNING, ADDED, task(21))
    assert (await subscribed(world, 3, position_of(world, 2))).told == ["event team:1@3"]


async def test_who_is_no_member_is_planned_nothing(world: World) -> None:
    world.read(*BEGINNING, ADDED, REMOVED)
    assert await world.hub.plan(world.come(3, FakeSink(rich=True)), "team:1", position_of(world, 2), snapshot=True) is None


async def test_who_is_removed_between_plan_and_subscription_is_subscribed_to_nothing(world: World) -> None:
    world.read(*BEGINNING, ADDED, task(21))
    listener = world.come(3, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", position_of(world, 2), snapshot=True)
    assert plan is not None
    world.read(REMOVED)
    assert not world.hub.subscribe(listener, plan)
    assert (sink.told, listener.cursors) == ([], {})


async def test_who_is_removed_and_added_again_between_plan_and_subscription_gets_a_gap(world: World) -> None:
    world.read(*BEGINNING, ADDED, task(21))
    listener = world.come(3, sink := FakeSink(rich=True))
    plan = await world.hub.plan(listener, "team:1", position_of(world, 2), snapshot=False)
    assert plan is not None
    world.read(REMOVED, task(31), AGAIN)
    sink.told.clear()  # what membership alone told a listener
    assert world.hub.subscribe(listener, plan)
    assert sink.told == ["gap team:1 membership", "snapshot team:1@6"]


async def test_an_unknown_position_is_a_gap_and_a_snapshot(world: World) -> None:
    world.read(*BEGINNING, task(10))
    assert (await subscribed(world, ME, "x")).told == ["gap team:1 unknown", "snapshot team:1@2"]


@pytest.fixture
async def small() -> Any:
    made = World(ring_bytes=SMALL)
    made.hub._subscriptions._reader = Reader(made.log)  # type: ignore[assignment]
    await made.hub.start()
    yield made
    await made.hub.stop()


async def test_what_was_read_from_the_log_comes_first_and_then_the_ring_without_a_gap(small: World) -> None:
    small.read(*BEGINNING, ADDED, task(21))
    small.log.append_other(30)
    small.read(task(40))
    assert (await subscribed(small, 3, position_of(small, 2))).told == ["event team:1@3", "event team:1@34"]


async def test_membership_counts_in_what_was_read_from_the_log(small: World) -> None:
    small.read(*BEGINNING, ADDED, task(21))
    small.log.append_other(30)
    small.read(task(40))
    assert (await subscribed(small, 3, position_of(small, 1))).told == ["gap team:1 membership", "snapshot team:1@34"]


async def test_what_the_ring_dropped_while_the_log_was_read_is_a_gap(small: World) -> None:
    small.read(*BEGINNING, task(10))
    small.log.append_other(30)
    small.read(task(40))
    listener = small.come(ME, sink := FakeSink(room=9, rich=True))
    plan = await small.hub.plan(listener, "team:1", position_of(small, 1), snapshot=False)
    assert plan is not None
    assert plan.leads_on
    small.read(task(41))
    small.log.append_other(30)
    assert small.hub.subscribe(listener, plan)
    assert sink.told == ["gap team:1 overflow", "snapshot team:1@34"]


@pytest.mark.parametrize("snapshot", [True, False])
async def test_who_comes_to_a_quiet_team_that_others_follow_gets_one_snapshot_or_none(small: World, snapshot: bool) -> None:
    small.read(*BEGINNING, task(10))
    await small.listen(2)
    small.log.append_other(50)
    listener = small.come(ME, sink := FakeSink(room=9, rich=True))
    plan = await small.hub.plan(listener, "team:1", None, snapshot=snapshot)
    assert plan is not None
    assert small.hub.subscribe(listener, plan)
    assert sink.told == (["snapshot team:1@2"] if snapshot else [])


@pytest.mark.parametrize("followed", [True, False])
async def test_who_has_missed_nothing_of_a_quiet_team_goes_on_without_a_gap(small: World, followed: bool) -> None:
    small.read(*BEGINNING, task(10))
    if followed:
        await small.listen(2)
    small.log.append_other(50)
    listener = small.come(ME, sink := FakeSink(room=9, rich=True))
    plan = await small.hub.plan(listener, "team:1", position_of(small, 2), snapshot=False)
    assert plan is not None
    assert small.hub.subscribe(listener, plan)
    small.read(task(40))
    assert sink.told == ["event team:1@53"]
