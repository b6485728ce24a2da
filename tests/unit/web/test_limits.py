"""How many connections there may be, and how often something may come."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from app.errors import StartRefused
from app.settings import Settings
from web.limits import Places, TokenBucket, client_address, command_bucket, trusted_networks
from web.problems import Problem


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, **more)


def passed(bucket: TokenBucket, now: float, tries: int = 1000) -> int:
    return sum(bucket.take(now) for _ in range(tries))


def test_commands_come_twice_the_rate_at_once_and_then_at_the_rate() -> None:
    bucket = command_bucket(settings(commands_per_second=50), 100.0)
    assert passed(bucket, 100.0) == 100
    assert passed(bucket, 100.5) == 25
    assert passed(bucket, 101.5) == 50
    assert passed(bucket, 9999.0) == 100


def test_a_slow_rate_adds_up_between_tries() -> None:
    bucket = TokenBucket(0.5, 1, 0.0)
    assert [passed(bucket, second) for second in (0, 1, 2, 3, 4)] == [1, 0, 1, 0, 1]


def test_a_rate_of_zero_is_no_limit() -> None:
    assert passed(command_bucket(settings(commands_per_second=0), 0.0), 0.0) == 1000


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.integers(1, 100), st.integers(1, 200), st.lists(st.tuples(st.floats(0, 3), st.integers(0, 300)), max_size=20))
def test_a_bucket_never_lets_more_than_burst_and_rate_through(rate: int, burst: int, tries: list[tuple[float, int]]) -> None:
    bucket, now, let_through = TokenBucket(rate, burst, 0.0), 0.0, 0
    for pause, count in tries:
        now += pause
        let_through += passed(bucket, now, count)
        assert let_through <= burst + rate * now + 1e-6


def refused(places: Places, address: str = "192.0.2.1", now: float = 0.0) -> Problem:
    with pytest.raises(Problem) as error:
        places.enter(address, now)
    assert int(error.value.headers["Retry-After"]) >= 1
    return error.value


def test_a_full_worker_answers_503_until_somebody_leaves() -> None:
    places = Places(settings(max_connections=2), 0.0)
    first, _second = places.enter("192.0.2.1", 0.0), places.enter("192.0.2.2", 0.0)
    assert refused(places).status == 503
    assert len(places) == 2
    first.leave()
    first.leave()
    assert len(places) == 1
    places.enter("192.0.2.3", 0.0)
    assert refused(places).status == 503


def test_an_address_with_too_many_is_answered_429_and_others_are_not() -> None:
    places = Places(settings(max_connections_per_address=1), 0.0)
    seat = places.enter("192.0.2.1", 0.0)
    assert refused(places, "192.0.2.1").status == 429
    places.enter("192.0.2.2", 0.0)
    seat.leave()
    places.enter("192.0.2.1", 0.0)


def test_addresses_are_not_limited_unless_asked_for() -> None:
    places = Places(settings(), 0.0)
    assert len([places.enter("192.0.2.1", 0.0) for _ in range(500)]) == 500


def test_connections_that_come_too_fast_are_answered_503() -> None:
    places = Places(settings(handshakes_per_second=10), 0.0)
    for _ in range(10):
        places.enter("192.0.2.1", 0.0).leave()
    assert refused(places).status == 503
    assert refused(places, now=0.05).status == 503
    places.enter("192.0.2.1", 0.2)


def test_a_user_has_only_so_many_and_a_place_that_is_left_is_free_again() -> None:
    places = Places(settings(max_connections_per_user=2), 0.0)
    seats = [places.enter("192.0.2.1", 0.0) for _ in range(3)]
    assert [seat.take_user(7) for seat in seats] == [True, True, False]
    assert seats[2].take_user(8)
    assert seats[0].take_user(7), "the same user again is no second connection"
    seats[0].leave()
    assert places.enter("192.0.2.1", 0.0).take_user(7)
    assert not places.enter("192.0.2.1", 0.0).take_user(7)


def test_a_place_that_was_left_takes_no_user() -> None:
    places = Places(settings(max_connections_per_user=1), 0.0)
    seat = places.enter("192.0.2.1", 0.0)
    seat.leave()
    assert not seat.take_user(7)
    assert places.enter("192.0.2.1", 0.0).take_user(7)


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.lists(st.tuples(st.sampled_from(["enter", "user", "leave"]), st.integers(0, 5), st.integers(1, 3)), max_size=60))
def test_nothing_is_left_of_connections_that_are_gone(steps: list[tuple[str, int, int]]) -> None:
    limits = settings(max_connections=4, max_connections_per_user=2, max_connections_per_address=2)
    places = Places(limits, 0.0)
    seats = []
    for step, which, user in steps:
        if step == "enter":
            try:
                seats.append(places.enter(f"192.0.2.{which % 3}", 0.0))
            except Problem:
                continue
        elif seats:
            seat = seats[which % len(seats)]
            seat.take_user(user) if step == "user" else seat.leave()
    for seat in seats:
        seat.leave()
    assert len(places) == 0
    assert places.of_users == {}
    assert places.of_addresses == {}


PROXIES = trusted_networks(["10.0.0.0/8", "2001:db8::1", "192.0.2.200"])


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("10.1.2.3", ["203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", [], "10.1.2.3"),
        ("10.1.2.3", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.1.2.3", ["203.0.113.9, 192.0.2.200, 10.9.9.9"], "203.0.113.9"),
        ("10.1.2.3", ["10.0.0.1, 10.0.0.2"], "10.0.0.1"),
        ("10.1.2.3", ["203.0.113.9, unknown"], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9,"], "10.1.2.3"),
        ("10.1.2.3", ["203.0.113.9:4711"], "203.0.113.9"),
        ("10.1.2.3", ["[2001:db8:1:2:3::9]:4711"], "2001:db8:1:2::/64"),
        ("2001:db8::1", ["2001:db8:1:2:3::9"], "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", ["::ffff:203.0.113.9"], "203.0.113.9"),
        ("2001:db8:1:2:3::9", [], "2001:db8:1:2::/64"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("::ffff:198.51.100.7", [], "198.51.100.7"),
        (None, [], ""),
        (None, ["203.0.113.9"], ""),
    ],
)
def test_the_address_that_counts(peer: str | None, forwarded: list[str], address: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == address


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.lists(st.text(max_size=30), max_size=4))
def test_no_header_that_a_client_writes_changes_its_own_address(forwarded: list[str]) -> None:
    assert client_address("198.51.100.7", forwarded, PROXIES) == "198.51.100.7"


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.lists(st.text(max_size=30) | st.ip_addresses().map(str), max_size=4))
def test_any_header_through_a_proxy_gives_some_address(forwarded: list[str]) -> None:
    assert client_address("10.1.2.3", forwarded, PROXIES)


def test_a_proxy_that_is_no_address_stops_the_start() -> None:
    with pytest.raises(StartRefused, match=r"TRUSTED_PROXIES: 'proxy\.example' is no address or network"):
        trusted_networks(["10.0.0.1", "proxy.example"])
