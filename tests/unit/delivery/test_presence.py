"""Presence: each watcher's list, as its messages lead on from the first, is who is online, told at most once a second."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.presence import INTERVAL_SECONDS, MAX_ONLINE, Changed, Count, Message, Online, Presence

TEAM = 42


class World:
    """Teams with members, users who come and go, and watchers who are told at once."""

    def __init__(self, *members: int) -> None:
        self.presence: Presence[str] = Presence()
        self.members = {TEAM: set(members)}
        self.now = 1000.0
        self.busy: set[str] = set()

    def watch(self, watcher: str, user_id: int, team_id: int = TEAM) -> None:
        self.presence.watch(team_id, watcher, user_id, lambda: self.members[team_id])

    def here(self, *users: int, online: bool = True) -> None:
        for user_id in users:
            self.presence.here(user_id, online)

    def elsewhere(self, *users: int, online: bool = True) -> None:
        for user_id in users:
            self.presence.elsewhere(user_id, online)

    def told(self) -> list[tuple[str, Message]]:
        return list(self.presence.due(self.now, lambda watcher: watcher not in self.busy))

    def a_second_later(self) -> list[tuple[str, Message]]:
        self.now += INTERVAL_SECONDS
        return self.told()


def test_a_watcher_is_told_at_once_who_of_the_team_is_online() -> None:
    world = World(7, 8, 9)
    world.here(8, 7)
    world.elsewhere(9, 10)
    world.watch("a", 7)
    assert world.told() == [("a", Online(TEAM, (7, 8, 9)))]
    assert world.a_second_later() == []


def test_and_then_who_came_and_who_went() -> None:
    world = World(7, 8, 9)
    world.here(7, 8)
    world.watch("a", 7)
    world.told()
    world.elsewhere(9)
    world.here(8, online=False)
    assert world.told() == [], "not twice in a second"
    assert world.a_second_later() == [("a", Changed(TEAM, (9,), (8,)))]
    assert world.a_second_later() == []


def test_who_goes_and_comes_back_meanwhile_is_not_told_of() -> None:
    world = World(7, 8)
    world.here(7, 8)
    world.watch("a", 7)
    world.told()
    world.here(8, online=False)
    world.elsewhere(8)
    world.here(7, online=False)
    world.here(7)
    assert world.a_second_later() == []


def test_a_user_is_told_of_once_wherever_they_are() -> None:
    world = World(7, 8)
    world.watch("a", 7)
    world.told()
    world.here(8)
    assert world.a_second_later() == [("a", Changed(TEAM, (8,), ()))]
    world.elsewhere(8)
    assert world.a_second_later() == []
    world.here(8, online=False)
    assert world.a_second_later() == []
    world.watch("b", 8)
    assert world.a_second_later() == [("b", Online(TEAM, (8,)))]
    world.elsewhere(8, online=False)
    assert world.a_second_later() == [("a", Changed(TEAM, (), (8,))), ("b", Changed(TEAM, (), (8,)))]


def test_another_watcher_waits_for_the_teams_next_second_and_gets_the_whole() -> None:
    world = World(7, 8, 9)
    world.here(7, 8)
    world.watch("a", 7)
    world.told()
    world.watch("b", 8)
    world.here(9)
    assert world.told() == []
    assert world.a_second_later() == [("a", Changed(TEAM, (9,), ())), ("b", Online(TEAM, (7, 8, 9)))]


def test_subscribing_again_and_again_brings_no_more_than_one_message_a_second() -> None:
    world = World(7)
    told = []
    for number in range(50):
        world.watch(f"subscription {number}", 7)
        told += world.told()
        world.presence.unwatch(TEAM, f"subscription {number}")
        told += world.told()
        world.now += 0.1
    assert len(told) == 5


def test_whoever_stops_watching_is_told_nothing_more_and_nothing_is_kept() -> None:
    world = World(7, 8)
    world.watch("a", 7)
    world.told()
    world.presence.unwatch(TEAM, "a")
    world.here(8)
    assert world.a_second_later() == []
    assert (world.presence._teams, world.presence._teams_of, world.presence._unsaid) == ({}, {}, {})


def test_many_are_a_number_and_few_are_a_list_again() -> None:
    users = range(1, MAX_ONLINE + 3)
    world = World(*users)
    world.here(*users[:MAX_ONLINE])
    world.watch("a", 1)
    assert world.told() == [("a", Online(TEAM, tuple(range(1, MAX_ONLINE + 1))))]
    world.here(MAX_ONLINE + 1)
    world.watch("b", 2)
    assert world.a_second_later() == [("a", Count(TEAM, MAX_ONLINE + 1)), ("b", Count(TEAM, MAX_ONLINE + 1))]
    world.here(MAX_ONLINE + 2)
    assert world.a_second_later() == [("a", Count(TEAM, MAX_ONLINE + 2)), ("b", Count(TEAM, MAX_ONLINE + 2))]
    world.here(1, online=False)
    world.here(2, online=False)
    listed = Online(TEAM, tuple(range(3, MAX_ONLINE + 3)))
    assert world.a_second_later() == [("a", listed), ("b", listed)]
    world.here(3, online=False)
    assert world.a_second_later() == [("a", Changed(TEAM, (), (3,))), ("b", Changed(TEAM, (), (3,)))]


def test_the_same_number_is_not_told_again() -> None:
    users = range(1, MAX_ONLINE + 3)
    world = World(*users)
    world.here(*users[:-1])
    world.watch("a", 1)
    world.told()
    world.here(2, online=False)
    world.here(users[-1])
    assert world.a_second_later() == []


def test_a_member_who_leaves_the_team_is_seen_no_more_and_sees_nothing_more() -> None:
    world = World(7, 8)
    world.here(7, 8)
    world.watch("a", 7)
    world.watch("b", 8)
    world.told()
    world.presence.member_left(TEAM, 8)
    assert world.a_second_later() == [("a", Changed(TEAM, (), (8,)))]
    world.here(8, online=False)
    world.here(8)
    assert world.a_second_later() == []


def test_a_member_who_joins_the_team_is_seen() -> None:
    world = World(7)
    world.here(7, 8)
    world.watch("a", 7)
    world.told()
    world.presence.member_joined(TEAM, 8)
    assert world.a_second_later() == [("a", Changed(TEAM, (8,), ()))]


def test_a_team_that_nobody_watched_for_a_moment_is_not_remembered_as_it_was() -> None:
    world = World(7, 8)
    world.here(7, 8)
    world.watch("a", 7)
    world.told()
    world.presence.unwatch(TEAM, "a")
    world.members[TEAM] = {7}
    world.watch("a", 7)
    assert world.a_second_later() == [("a", Online(TEAM, (7,)))]


def test_a_socket_that_takes_nothing_gets_the_whole_once_it_does() -> None:
    world = World(7, 8)
    world.watch("a", 7)
    world.told()
    world.busy.add("a")
    for user_id in (7, 8):
        world.here(user_id)
        assert world.a_second_later() == []
    world.busy.clear()
    assert world.a_second_later() == [("a", Online(TEAM, (7, 8)))]
    assert world.a_second_later() == []


def test_whoever_goes_while_others_are_told_is_told_nothing() -> None:
    world = World(7, 8)
    world.watch("a", 7)
    world.watch("b", 8)
    telling = world.presence.due(world.now, lambda _watcher: True)
    assert next(telling)[0] == "a"
    world.presence.member_left(TEAM, 8)
    assert list(telling) == []


def test_a_team_begun_anew_while_others_are_told_is_told_as_it_is_then() -> None:
    world = World(7, 8)
    world.watch("a", 7)
    world.watch("b", 8)
    telling = world.presence.due(world.now, lambda _watcher: True)
    assert next(telling) == ("a", Online(TEAM, ()))
    world.presence.unwatch(TEAM, "a")
    world.presence.unwatch(TEAM, "b")
    world.here(8)
    world.watch("b", 8)
    assert list(telling) == []
    assert world.a_second_later() == [("b", Online(TEAM, (8,)))]


# --- against a naive model

USERS, TEAMS = st.integers(1, 5), st.integers(1, 2)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["here", "elsewhere"]), USERS, st.booleans()),
    st.tuples(st.sampled_from(["joins", "leaves"]), TEAMS, USERS),
    st.tuples(st.sampled_from(["watch", "unwatch", "busy", "ready"]), TEAMS, USERS),
    st.tuples(st.just("time"), st.sampled_from([0.3, 1.0]), st.integers(0, 6)),
)


class Client:
    """What one watcher has been told, put together."""

    def __init__(self) -> None:
        self.users: set[int] | None = None
        self.times: list[float] = []

    def take(self, message: Message, now: float) -> None:
        assert not self.times or now - self.times[-1] >= INTERVAL_SECONDS, "twice in a second"
        self.times.append(now)
        if isinstance(message, Online):
            self.users = set(message.users)
            assert list(message.users) == sorted(self.users)
        elif isinstance(message, Changed):
            assert self.users is not None, "the whole comes first"
            assert message.joined or message.left
            assert not self.users & set(message.joined)
            assert self.users >= set(message.left)
            self.users = (self.users | set(message.joined)) - set(message.left)
        else:
            raise AssertionError("a number, of few")


@given(st.lists(STEPS, max_size=80))
def test_what_a_watcher_puts_together_is_who_is_online(steps: list[Any]) -> None:
    presence: Presence[tuple[int, int]] = Presence()
    members: dict[int, set[int]] = {1: {1, 2, 3}, 2: {3, 4, 5}}
    places: dict[str, set[int]] = {"here": set(), "elsewhere": set()}
    clients: dict[tuple[int, int], Client] = {}
    gone: dict[tuple[int, int], list[float]] = {}
    busy: set[tuple[int, int]] = set()
    now = 100.0

    def tell(between: Iterable[Any] = ()) -> None:
        between = list(between)
        for watcher, message in presence.due(now, lambda one: one not in busy):
            clients[watcher].take(message, now)
            for step in between:  # others have their turn in the middle of it
                change(*step)
            between = []

    def end(watcher: tuple[int, int]) -> None:
        if watcher in clients:
            gone[watcher] = clients.pop(watcher).times

    def change(step: str, first: Any, second: Any) -> None:
        if step in places:
            (places[step].add if second else places[step].discard)(first)
            getattr(presence, step)(first, second)
            return
        watcher = (first, second)
        if step == "joins":
            members[first].add(second)
            presence.member_joined(first, second)
        elif step == "leaves":
            members[first].discard(second)
            presence.member_left(first, second)
            end(watcher)
        elif step == "watch" and second in members[first]:
            presence.watch(first, watcher, second, lambda: members[first])
            if watcher not in clients:
                clients[watcher] = Client()
                clients[watcher].times = gone.get(watcher, [])
        elif step == "unwatch":
            presence.unwatch(first, watcher)
            end(watcher)
        elif step == "busy":
            busy.add(watcher)
        elif step == "ready":
            busy.discard(watcher)

    pending = iter(steps)
    for step in pending:
        if step[0] == "time":
            now += step[1]
            between = [one for _, one in zip(range(step[2]), pending, strict=False) if one[0] != "time"]
            tell(between)
            for one in between:
                change(*one)
        else:
            change(*step)
    busy.clear()
    for _ in range(3):
        now += INTERVAL_SECONDS
        tell()
    online = places["here"] | places["elsewhere"]
    for (team_id, _user), client in clients.items():
        assert client.users == online & members[team_id]
    assert set(presence._teams) == {team_id for team_id, _user in clients}
    assert set(presence._teams_of) == {user_id for team_id in presence._teams for user_id in members[team_id]}


@pytest.mark.parametrize("online", [True, False])
def test_saying_the_same_twice_changes_nothing(online: bool) -> None:
    world = World(7)
    world.here(7, online=online)
    world.watch("a", 7)
    world.told()
    world.here(7, online=online)
    assert world.a_second_later() == []
