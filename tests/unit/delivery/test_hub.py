"""The hub: who listens gets exactly what is theirs, however they come, however slow they are, whatever else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.events import Source, UnifiedEvent
from app.errors import Unavailable
from delivery import feeds, joins, listeners, owners, rounds
from delivery.hub import Hub
from delivery.listener import Listener
from tests.unit.delivery.fakes import Clock, FakeSink, Log, Owner, hub_of, listener_of, record, turns, until
from tests.unit.domain.naive_model import NaiveModel, Record
from tests.unit.domain.worlds import TEAMS, USERS, histories

ME, OTHER = 1, 2
BEGINNING = [record("team.created", 0, ownerId=ME), record("team.member_added", 1, userId=OTHER, role="member")]
ADDED = record("team.member_added", 20, userId=3, role="member")
REMOVED = record("team.member_removed", 30, userId=3)
AGAIN = record("team.member_added", 40, userId=3, role="member")


def task(second: int) -> Record:
    return record("task.updated", second, taskId=1, creatorId=ME, title=str(second))


class World:
    """A hub, the log that its tail reads, and the rows' owner."""

    def __init__(self, ring_bytes: int = 10_000_000) -> None:
        self.log = Log(ring_bytes)
        self.owner = Owner(self.log)
        self.hub: Hub = hub_of(self.log, self.owner)

    def read(self, *records: Record | None) -> None:
        """As the tail does: into the ring, then to the hub, and written before anybody else gets a turn."""
        for one in records:
            self.hub.on_entry(self.log.append_unreadable() if one is None else self.log.append(one))
        self.hub.flush()

    def come(self, user: int, sink: FakeSink, wanted: frozenset[int] | None = None) -> Listener:
        listener = listener_of(user, sink, wanted)
        self.hub.register(listener)
        return listener

    async def listen(self, user: int, sink: FakeSink | None = None, wanted: frozenset[int] | None = None) -> tuple[Listener, FakeSink]:
        sink = sink or FakeSink()
        listener = self.come(user, sink, wanted)
        await self.hub.join_all(listener)
        return listener, sink

    def forgets(self) -> None:
        """Nobody is left over."""
        assert not self.hub._listeners
        assert not self.hub.feeds._opening
        assert all(not feed.cursors for feed in self.hub.feeds._feeds.values())


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.hub.start()
    yield made
    await made.hub.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (feeds, joins, listeners, owners):
        monkeypatch.setattr(module, "monotonic", clock)
    monkeypatch.setattr(owners, "RETRY_SECONDS", 0.0)
    return clock


# --- joining


async def test_a_member_gets_what_comes_from_the_offsets_noted_when_they_came(world: World) -> None:
    world.read(*BEGINNING, task(10))
    listener = world.come(ME, sink := FakeSink())
    world.read(task(11))
    await world.hub.join_all(listener)
    world.read(task(12))
    assert sink.offsets("team:1") == [3, 4]


async def test_a_user_gets_their_own_stream(world: World) -> None:
    _, sink = await world.listen(ME)
    mine = Record(
        task(1).event.__class__("user:1", "e", "task.created", None, 1, task(1).event.timestamp, {"taskId": 5, "creatorId": 1}),
        task(1).source,
    )
    world.read(mine)
    assert sink.offsets("user:1") == [0]


async def test_a_connection_narrowed_to_teams_gets_those_alone(world: World) -> None:
    world.read(*BEGINNING, record("team.created", 0, team=2, ownerId=ME))
    _, sink = await world.listen(ME, wanted=frozenset({2}))
    world.read(task(10), record("team.updated", 11, team=2, name="x"))
    assert (sink.offsets("team:1"), sink.offsets("team:2")) == ([], [4])
    assert "user:1" not in world.owner.asked


@pytest.mark.parametrize("open_already", [True, False])
@pytest.mark.parametrize("makes", [ADDED, record("team.created", 20, ownerId=3), record("team.created", 20, actor=3)])
async def test_the_event_that_makes_someone_a_member_is_the_first_that_they_get(world: World, open_already: bool, makes: Record) -> None:
    world.read(*BEGINNING)
    if open_already:
        await world.listen(ME)
    world.owner.teams = []
    _, sink = await world.listen(3)
    world.read(task(10), makes, task(21))
    await turns()
    assert sink.offsets("team:1") == [3, 4]


async def test_who_came_back_before_all_that_came_before_was_taken_gets_what_follows_once(world: World) -> None:
    world.read(*BEGINNING, ADDED)
    listener, sink = await world.listen(3, FakeSink(room=1))
    world.read(task(21))
    world.read(REMOVED, task(31), AGAIN)  # all of it waits
    sink.room = None
    world.hub.drained(listener)
    world.read(task(41), record("team.member_added", 50, userId=4, role="member"), task(51))
    await turns()
    assert sink.offsets("team:1") == [3, 4, 6, 7, 8, 9]


async def test_who_is_narrowed_to_a_team_gets_it_when_they_become_a_member(world: World) -> None:
    world.read(*BEGINNING)
    _, sink = await world.listen(3, wanted=frozenset({1}))
    _, narrowed = await world.listen(3, wanted=frozenset({2}))
    world.read(ADDED, task(21))
    await turns()
    assert sink.offsets("team:1") == [2, 3]
    assert narrowed.entries == []


async def test_the_removal_is_the_last_that_they_get_and_coming_back_the_first_again(world: World) -> None:
    world.read(*BEGINNING, ADDED)
    listener, sink = await world.listen(3)
    world.read(task(21), REMOVED, task(31), AGAIN, task(41))
    await turns()
    assert sink.offsets("team:1") == [3, 4, 6, 7]
    assert list(listener.cursors) == ["user:3", "team:1"]


async def test_who_came_back_before_they_had_taken_their_removal_gets_nothing_of_the_time_between(world: World) -> None:
    world.read(*BEGINNING, ADDED)
    listener, sink = await world.listen(3, FakeSink(room=0))
    world.read(task(21), REMOVED, task(31), AGAIN, task(41))
    await turns()
    sink.room = None
    world.hub.drained(listener)
    assert sink.offsets("team:1") == [3, 4, 6, 7]


async def test_a_rich_client_that_was_removed_and_added_again_while_it_lagged_is_told_of_both_and_gets_a_snapshot(world: World) -> None:
    world.read(*BEGINNING, ADDED)
    listener, sink = await world.listen(3, FakeSink(room=0, rich=True))
    world.read(task(21), REMOVED, task(31), AGAIN, task(41))
    await turns()
    assert sink.told == []
    sink.room = None
    world.hub.drained(listener)
    assert sink.told == ["event team:1@3", "event team:1@4", "left 1 removed", "joined 1", "event team:1@6", "snapshot team:1@7"]
    world.read(task(42))
    assert sink.told[6:] == ["event team:1@8"], "and then it goes on, with nothing twice"


async def test_it_is_told_so_when_its_socket_takes_one_message_at_a_time(world: World) -> None:
    world.read(*BEGINNING, ADDED)
    listener, sink = await world.listen(3, FakeSink(room=0, rich=True))
    world.read(task(21), REMOVED, task(31), AGAIN, task(41))
    await turns()
    for _ in range(4):
        sink.room = 1
        world.hub.drained(listener)
    assert sink.told == ["event team:1@3", "event team:1@4", "left 1 removed", "joined 1", "event team:1@6", "snapshot team:1@7"]
    sink.room = None
    world.hub.drained(listener)
    assert len(sink.told) == 6
    assert not listener.cursors["team:1"].lagging


async def test_who_was_removed_again_before_they_had_taken_anything_is_told_left_last_and_gets_no_snapshot(world: World) -> None:
    world.read(*BEGINNING, ADDED)
    listener, sink = await world.listen(3, FakeSink(room=0, rich=True))
    world.read(task(21), REMOVED, task(31), AGAIN, task(41), record("team.member_removed", 50, userId=3), task(51))
    await turns()
    sink.room = None
    world.hub.drained(listener)
    assert sink.told == [
        *("event team:1@3", "event team:1@4", "left 1 removed", "joined 1", "event team:1@6", "event team:1@7", "event team:1@8"),
        "left 1 removed",
    ]
    assert "team:1" not in listener.cursors


async def test_a_user_created_late_carries_state_in_the_own_stream(world: World) -> None:
    def created(second: int, name: str) -> Record:
        at = task(second).event.timestamp
        event = UnifiedEvent(f"user:{ME}", f"u{second}", "user.created", None, None, at, {"userId": ME, "username": name})
        return Record(event, Source("user.created", 0, second, 1000))

    _, sink = await world.listen(ME)
    world.read(created(10, "new"), created(5, "old"))
    first, late = sink.messages()
    assert "state" not in first
    assert late["data"]["username"] == "old"
    assert late["state"] == {"userId": ME, "username": "new", "email": None}


async def test_a_candidate_whose_membership_was_read_before_they_came_is_found_by_the_record_that_comes_after(world: World) -> None:
    world.read(*BEGINNING)
    world.owner.teams = []
    _, sink = await world.listen(ME)
    world.hub.on_candidate(ME, 1)
    await turns()
    world.read(task(10))
    assert sink.offsets("team:1") == [2]


async def test_word_of_a_team_in_which_they_are_no_member_brings_nothing(world: World) -> None:
    world.read(*BEGINNING)
    _, sink = await world.listen(3)
    world.hub.on_candidate(3, 1)
    await turns()
    world.read(task(10))
    assert (sink.entries, sink.behind, sink.given_up) == ([], 0, 0)


async def test_word_of_a_team_long_after_they_came_opens_nothing(world: World, clock: Clock) -> None:
    world.owner.teams = []
    await world.listen(3)
    clock.now += owners.JOIN_SECONDS
    world.hub.on_candidate(3, 1)
    await turns()
    assert world.owner.asked == ["user:3"]


async def test_a_team_in_which_they_are_no_member_closes_nobody_even_if_the_ring_has_moved_on() -> None:
    world = World(ring_bytes=4000)
    await world.hub.start()
    world.read(*BEGINNING)
    _, sink = await world.listen(3)
    world.log.append_other(50)
    world.hub.on_candidate(3, 1)
    await turns()
    await world.hub.stop()
    assert (sink.behind, sink.given_up) == (0, 0)


# --- seeds


async def test_a_seed_behind_the_tail_is_folded_up_to_it_from_the_ring(world: World) -> None:
    world.read(*BEGINNING, task(10), task(11))
    world.owner.behind = 3
    _, sink = await world.listen(OTHER)
    world.read(task(12))
    assert sink.offsets("team:1") == [4]
    assert world.hub.feeds.get("team:1").view.tasks()[0]["title"] == "12"  # type: ignore[union-attr]


async def test_events_older_than_the_seed_carry_the_state_that_the_seed_has(world: World) -> None:
    world.read(*BEGINNING)
    listener = world.come(ME, sink := FakeSink())
    world.read(task(10), task(11))
    await world.hub.join_all(listener)
    assert [message["state"]["title"] for message in sink.messages()] == ["11", "11"]


async def test_a_seed_behind_the_ring_is_asked_for_again(clock: Clock) -> None:
    world = World(ring_bytes=4000)
    await world.hub.start()
    world.read(*BEGINNING)
    world.log.append_other(50)
    world.owner.behind = 40
    listener = world.come(ME, FakeSink(), frozenset({1}))
    joining = asyncio.ensure_future(world.hub.join_all(listener))
    await until(lambda: world.owner.asked.count("team:1") > 2)
    world.owner.behind = 0
    await joining
    assert "team:1" in listener.cursors
    await world.hub.stop()


async def test_an_owner_that_moves_is_asked_again(world: World, clock: Clock) -> None:
    world.read(*BEGINNING)
    world.owner.refuse, world.owner.refuse_candidates = 3, 2
    _, sink = await world.listen(ME)
    world.read(task(10))
    assert sink.offsets("team:1") == [2]


async def test_an_owner_that_stays_away_ends_the_wait_within_a_bound(world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "JOIN_SECONDS", 0.05)
    world.owner.refuse = 1_000_000
    joining = asyncio.ensure_future(world.listen(ME))
    await until(lambda: world.owner.asked)
    clock.now += 1
    _, sink = await joining
    assert sink.given_up >= 1
    world.owner.refuse_candidates = 1_000_000
    monkeypatch.setattr(owners, "JOIN_SECONDS", 0.0)
    with pytest.raises(Unavailable):
        await world.listen(ME)


async def test_a_team_is_asked_for_once_for_all_who_want_it(world: World) -> None:
    world.read(*BEGINNING)
    world.owner.held = []
    joins = [asyncio.ensure_future(world.listen(user, wanted=frozenset({1}))) for user in (ME, ME, OTHER)]
    await turns()
    world.owner.release()
    await asyncio.gather(*joins)
    assert world.owner.asked == ["team:1"]


# --- leaving, and what is kept


async def test_nothing_is_left_of_who_went(world: World, clock: Clock) -> None:
    world.read(*BEGINNING)
    listener, sink = await world.listen(ME)
    world.hub.unregister(listener)
    world.read(task(10))
    assert sink.entries == []
    assert not listener.cursors
    world.forgets()
    clock.now += feeds.IDLE_SECONDS + 1
    world.hub.feeds.close_idle()
    assert (len(world.hub.feeds), world.hub.feeds._used) == (0, {})


async def test_who_goes_while_they_join_is_not_placed(world: World) -> None:
    world.read(*BEGINNING)
    world.owner.held = []
    listener = world.come(ME, sink := FakeSink(), frozenset({1}))
    joining = asyncio.ensure_future(world.hub.join_all(listener))
    await turns()
    world.hub.unregister(listener)
    world.owner.release()
    await joining
    world.read(task(10))
    assert sink.entries == []
    world.forgets()


async def test_a_feed_whose_last_listener_was_removed_is_closed_too(world: World, clock: Clock) -> None:
    world.read(*BEGINNING, ADDED)
    await world.listen(3, wanted=frozenset({1}))
    world.read(REMOVED)
    clock.now += feeds.IDLE_SECONDS + 1
    world.hub.feeds.close_idle()
    assert len(world.hub.feeds) == 0


async def test_a_feed_with_listeners_stays_open_however_quiet(world: World, clock: Clock) -> None:
    world.read(*BEGINNING)
    _, sink = await world.listen(ME)
    clock.now += 100 * feeds.IDLE_SECONDS
    world.hub.feeds.close_idle()
    world.read(task(10))
    assert sink.offsets("team:1") == [2]


async def test_a_log_that_jumps_sends_everybody_away_and_keeps_nothing(world: World) -> None:
    world.read(*BEGINNING)
    listener, sink = await world.listen(ME)
    world.hub.reset()
    assert sink.given_up
    assert not listener.cursors
    assert len(world.hub.feeds) == 0


async def test_the_teams_of_a_user_are_those_in_which_they_are_a_member(world: World) -> None:
    world.read(*BEGINNING, record("team.created", 0, team=2, ownerId=OTHER))
    assert await world.hub.teams_of(OTHER) == [(1, "member"), (2, "owner")]
    assert await world.hub.teams_of(3) == []


# --- poison


POISON: list[tuple[str, Any]] = [
    ("team.archived", {}),
    ("task.archived", {}),
    ("team.member_suspended", {}),
    ("sprint.started", {}),
    ("nonsense", {}),
]


@pytest.mark.parametrize(("event_type", "data"), POISON)
@pytest.mark.parametrize("settled", [True, False])
async def test_a_type_of_a_later_version_stops_nobody(world: World, event_type: str, data: dict[str, Any], settled: bool) -> None:
    later = record(event_type, 10)
    later.event.data.clear()
    later.event.data.update(data)
    world.read(*BEGINNING)
    if settled:
        listener = world.come(ME, sink := FakeSink())
        world.read(later, task(11))
        await world.hub.join_all(listener)
    else:
        _, sink = await world.listen(ME)
        world.read(later, task(11))
    assert sink.offsets("team:1")[-1] == 3


async def test_what_is_no_unified_record_reaches_nobody(world: World) -> None:
    world.read(*BEGINNING)
    _, sink = await world.listen(ME)
    world.read(None, task(11))
    await turns()
    assert sink.offsets("team:1") == [3]


# --- any history, any sockets

_wanted = st.sampled_from([None, None, frozenset({1}), frozenset({1, 2})])
_rooms = st.sampled_from([None, 0, 1, 2])
_others = st.one_of(
    st.tuples(st.just("come"), st.tuples(st.sampled_from(USERS), _wanted, _rooms)),
    st.tuples(st.just("room"), st.tuples(st.integers(0, 3), _rooms)),
    st.tuples(st.just("room"), st.tuples(st.integers(0, 3), _rooms)),
    st.tuples(st.sampled_from(["go", "behind"]), st.integers(0, 3)),
    st.tuples(st.just("bad"), st.none()),
    st.tuples(st.just("candidate"), st.tuples(st.sampled_from(USERS), st.sampled_from(TEAMS))),
)
_steps = st.lists(st.tuples(st.just("read"), st.integers(1, 4)) | _others, max_size=25).map(
    # The team is there, and somebody listens, before anything else happens.
    lambda steps: [("read", 3), ("come", (3, None, 0)), ("come", (2, None, None)), *steps]
)


# Members who come and go while tasks change: every event but the late ones takes effect.
_moves = st.lists(
    st.tuples(
        st.sampled_from(["task", "task", "removed", "added", "removed", "added", "late", "deleted", "created"]), st.sampled_from(USERS)
    ),
    max_size=16,
)


def lively(moves: list[tuple[str, int]]) -> list[Record]:
    history = [record("team.created", 0, ownerId=1), *(record("team.member_added", 1, offset=u, userId=u, role="member") for u in (2, 3))]
    for second, (move, user) in enumerate(moves, 2):
        if move == "task":
            history.append(record("task.updated", second, taskId=user, creatorId=1, title=str(second)))
        elif move == "late":
            history.append(record("team.member_removed", 0, offset=second, userId=user))
        elif move in {"deleted", "created"}:
            history.append(record(f"team.{move}", second, ownerId=user))
        else:
            history.append(record(f"team.member_{move}", second, userId=user, role="member"))
    return history


_histories = _moves.map(lively) | _moves.map(lively) | histories(max_size=20)


class Model:
    """Which offsets of a key a listener gets, worked out from the whole log."""

    def __init__(self, log: Log) -> None:
        self._roles = [
            {(team, user): NaiveModel(log.before(upto)).role(team, user) for team in TEAMS for user in USERS}
            for upto in range(len(log.records) + 1)
        ]
        self._log = log

    def member(self, team: int, user: int, upto: int) -> bool:
        return self._roles[upto][team, user] is not None

    def offsets(self, user: int, key: str, first: int, end: int) -> list[int]:
        kind, _, number = key.partition(":")
        own = [offset for offset in range(first, end) if (one := self._log.records[offset]) is not None and one.event.key == key]
        if kind == "user":
            return own if int(number) == user else []
        return [o for o in own if self.member(int(number), user, o) or self.member(int(number), user, o + 1)]


KEYS = [*(f"team:{team}" for team in TEAMS), *(f"user:{user}" for user in USERS)]


async def play(history: list[Record], steps: list[tuple[str, Any]]) -> None:
    world = World()
    await world.hub.start()
    waiting = list(history)
    came: list[tuple[Listener, FakeSink, frozenset[int] | None, int]] = []
    ends: dict[int, int] = {}
    try:
        for step, what in [*steps, ("read", len(history))]:
            if step == "read":
                world.read(*waiting[:what])
                del waiting[:what]
            elif step == "bad":
                world.read(None)
            elif step == "come":
                user, wanted, room = what
                begun = len(world.log.records)
                came.append((*await world.listen(user, FakeSink(room), wanted), wanted, begun))
            elif step == "behind":
                world.owner.behind = what
            elif step == "candidate":
                world.hub.on_candidate(*what)
            elif what[0] < len(came) if step == "room" else what < len(came):
                place = what[0] if step == "room" else what
                listener, sink, *_ = came[place]
                if listener.closed:
                    continue  # what a socket takes after its end says nothing of how slow it was
                if step == "room":
                    sink.room = what[1]
                    world.hub.drained(listener)
                else:
                    world.hub.unregister(listener)
                    ends[place] = len(world.log.records)
            await turns()
        model = Model(world.log)
        for place, (listener, sink, wanted, begun) in enumerate(came):
            slow = sink.room is not None
            if not listener.closed:
                sink.room = None
                world.hub.drained(listener)
            for key in KEYS:
                followed = wanted is None or (key.startswith("team:") and int(key[5:]) in wanted)
                expected = model.offsets(listener.user_id, key, begun, ends.get(place, len(world.log.records))) if followed else []
                got = sink.offsets(key)
                assert got == (expected[: len(got)] if listener.closed and slow else expected), (listener.user_id, key)
            assert (sink.behind, sink.given_up) == (0, 0)
        for listener, *_ in came:
            world.hub.unregister(listener)
        world.forgets()
    finally:
        await world.hub.stop()


@given(_histories, _steps)
def test_each_listener_gets_exactly_what_is_theirs_once_and_in_order(history: list[Record], steps: list[tuple[str, Any]]) -> None:
    asyncio.run(play(history, steps))


@given(_histories, _steps)
def test_so_does_each_of_a_large_team_that_is_reached_in_passes(history: list[Record], steps: list[tuple[str, Any]]) -> None:
    with patch.object(rounds, "AT_ONCE", 0), patch.object(rounds, "PASS", 2):
        asyncio.run(play(history, steps))


async def race(history: list[Record], steps: list[str], users: list[int], behind: int) -> None:
    """Listeners come while rows are on their way, and the log goes on."""
    world = World()
    await world.hub.start()
    world.owner.held, world.owner.behind = [], behind
    waiting, joins = list(history), []
    came: list[tuple[Listener, FakeSink, int]] = []
    released = 0
    try:
        for step in steps:
            if step == "read" and waiting:
                world.read(waiting.pop(0))
            elif step == "come" and users:
                listener = world.come(users.pop(), sink := FakeSink())
                came.append((listener, sink, len(world.log.records)))
                joins.append(asyncio.ensure_future(world.hub.join_all(listener)))
            elif step == "release":
                world.owner.release()
                released = len(world.log.records)
            await turns()
        for _ in range(20):
            world.owner.release()
            await turns()
        released = max(released, len(world.log.records))
        await asyncio.gather(*joins)
        await turns()
        world.owner.held = None
        world.read(*waiting)
        await turns()
        model = Model(world.log)
        for listener, sink, begun in came:
            for team in TEAMS:
                key, end = f"team:{team}", len(world.log.records)
                got, theirs = sink.offsets(key), model.offsets(listener.user_id, key, begun, end)
                assert got == sorted(set(got)), "once, and in order"
                assert set(got) <= set(theirs), "no record of a time when they were no member"
                if model.member(team, listener.user_id, end):
                    certain = proven(world.log, key, listener.user_id, begun, released)
                    assert [offset for offset in theirs if offset >= certain] == [offset for offset in got if offset >= certain], (
                        "and none missing"
                    )
    finally:
        await world.hub.stop()


def proven(log: Log, key: str, user: int, begun: int, released: int) -> int:
    """From where on a member at the end must have everything, whenever the rows came."""
    touched = begun
    for offset in range(begun, len(log.records)):
        one = log.records[offset]
        if one is None or one.event.key != key or not one.event.type.startswith("team."):
            continue
        event = one.event
        makes = event.type == "team.created" and (event.data.get("ownerId") or event.actor_id) == user
        makes = makes or (event.type == "team.member_added" and event.data.get("userId") == user)
        if makes:
            touched = offset
        elif event.type in ("team.created", "team.deleted") or (event.data.get("userId") == user and event.type == "team.member_removed"):
            touched = max(touched, released)
    return touched


@given(
    _histories,
    st.lists(st.sampled_from(["read", "read", "read", "come", "come", "release"]), max_size=30),
    st.lists(st.sampled_from(USERS), min_size=1, max_size=5),
    st.integers(0, 2),
)
def test_who_joins_while_the_log_goes_on_misses_nothing_and_gets_nothing_of_others(
    history: list[Record], steps: list[str], users: list[int], behind: int
) -> None:
    asyncio.run(race(history, steps, users, behind))
