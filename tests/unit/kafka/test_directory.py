"""The directory: what the records of `_cluster` say, the same for whoever reads them, however late."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kafka.directory import (
    BEAT_SECONDS,
    FORGET_SECONDS,
    GOODBYE_SECONDS,
    LEASE_SECONDS,
    SILENT_SECONDS,
    STEP_SECONDS,
    Directory,
    key_of,
    parse_key,
)

ME, A, B = "http://me:1", "http://a:1", "http://b:1"
RUN = "0001"


class Topic:
    """A topic that a directory reads record by record."""

    def __init__(self, url: str = ME, *, settled: bool = True) -> None:
        self.directory = Directory(url, RUN)
        self.now = 1_000_000.0
        self.online: set[int] = set()
        if settled:
            self.beat(url)

    def hear(self, key: bytes, value: bytes | None) -> None:
        self.directory.hear(key, value, int(self.now * 1000))

    def beat(self, url: str, run: str = RUN, partitions: Iterable[int] = (), role: str = "all") -> None:
        told = {"version": "1", "role": role, "partitions": list(partitions), "standbys": [], "run": run}
        self.hear(url.encode(), orjson.dumps(told))

    def bye(self, url: str) -> None:
        self.hear(url.encode(), None)

    def user(self, url: str, user_id: int, run: str | None = RUN) -> None:
        self.hear(key_of(url, user_id), None if run is None else orjson.dumps({"run": run}))

    def later(self, seconds: float, *beating: str) -> None:
        """Time goes on, and these workers beat."""
        for _ in range(round(seconds / BEAT_SECONDS)):
            self.now += BEAT_SECONDS
            for url in (ME, *beating):
                self.beat(url)

    def seen(self) -> set[int]:
        """Who is online elsewhere, as the changes so far say."""
        came, went = self.directory.elsewhere()
        assert not came & went
        assert not came & self.online
        assert went <= self.online
        self.online = (self.online | came) - went
        return self.online


@pytest.fixture
def topic() -> Topic:
    return Topic()


# --- workers


def test_a_worker_is_there_for_as_long_as_its_lease(topic: Topic) -> None:
    topic.beat(A)
    topic.later(LEASE_SECONDS - BEAT_SECONDS)
    assert set(topic.directory.workers()) == {ME, A}
    topic.later(BEAT_SECONDS)
    assert set(topic.directory.workers()) == {ME}


def test_a_worker_that_says_good_bye_is_gone_at_once(topic: Topic) -> None:
    topic.beat(A)
    topic.bye(A)
    assert set(topic.directory.workers()) == {ME}


def test_the_owner_of_a_partition_is_who_said_so_last(topic: Topic) -> None:
    topic.beat(A, partitions=[1, 2])
    topic.now += 1
    topic.beat(B, partitions=[2])
    assert [topic.directory.owner(partition) for partition in (0, 1, 2)] == [None, A, B]


def test_brokers_that_are_away_end_no_lease(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.now += 3600
    topic.beat(ME)  # the first to be heard again; the others' turn comes within a beat
    assert set(topic.directory.workers()) == {ME, A}
    assert topic.seen() == {7}


def test_a_reader_that_was_stopped_ends_no_lease_when_it_reads_what_it_missed(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    for _ in range(100):
        topic.later(BEAT_SECONDS, A)
        assert topic.seen() == {7}


def test_workers_of_long_ago_are_not_there_for_one_that_starts() -> None:
    topic = Topic(settled=False)
    topic.beat(A)
    topic.user(A, 7)
    topic.now += STEP_SECONDS * 4
    assert topic.seen() == set(), "nobody is online before all has been read"
    topic.beat(ME)
    assert (set(topic.directory.workers()), topic.seen()) == ({ME}, set())


def test_the_worker_knows_all_once_it_hears_itself() -> None:
    topic = Topic(settled=False)
    topic.beat(A)
    topic.beat(ME, run="an earlier one")
    assert not topic.directory.settled
    topic.beat(ME)
    assert topic.directory.settled


# --- users


def test_users_are_online_from_their_record_to_its_removal(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.user(A, 8)
    assert topic.seen() == {7, 8}
    topic.user(A, 7, None)
    assert topic.seen() == {8}


def test_a_user_on_two_workers_is_online_until_both_say_otherwise(topic: Topic) -> None:
    for url in (A, B):
        topic.beat(url)
        topic.user(url, 7)
    topic.user(A, 7, None)
    assert topic.seen() == {7}
    topic.user(B, 7, None)
    assert topic.seen() == set()


def test_who_goes_and_comes_back_between_two_looks_never_went(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.seen()
    topic.user(A, 7, None)
    topic.user(A, 7)
    assert topic.directory.elsewhere() == (set(), set())


def test_users_of_a_killed_worker_are_gone_when_its_lease_ends(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.later(LEASE_SECONDS - BEAT_SECONDS)
    assert topic.seen() == {7}
    topic.later(BEAT_SECONDS)
    assert topic.seen() == set()


def test_users_of_a_worker_that_says_good_bye_have_a_moment_to_come_back_elsewhere(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.user(A, 8)
    topic.bye(A)
    assert topic.seen() == {7, 8}
    topic.beat(B)
    topic.user(B, 7)
    topic.later(GOODBYE_SECONDS, B)
    assert topic.seen() == {7}


def test_users_of_a_worker_that_restarted_under_its_url_are_not_those_of_before(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.user(A, 8)
    topic.seen()
    topic.beat(A, run="0002")
    topic.user(A, 8, "0002")
    assert topic.seen() == {8}


def test_users_are_counted_in_whatever_order_compaction_left_the_records(topic: Topic) -> None:
    topic.user(A, 7)
    assert topic.seen() == set()
    topic.beat(A)
    assert topic.seen() == {7}


def test_a_worker_taken_for_dead_has_its_users_again_when_it_wakes_up(topic: Topic) -> None:
    topic.beat(A)
    topic.user(A, 7)
    topic.later(LEASE_SECONDS)
    assert topic.seen() == set()
    topic.beat(A)
    assert topic.seen() == {7}


def test_users_of_this_worker_are_not_elsewhere(topic: Topic) -> None:
    topic.user(ME, 7)
    assert topic.seen() == set()


# --- silence


def test_a_worker_that_stops_telling_of_itself_is_silent_and_some_time_later_forgotten() -> None:
    topic = Topic()
    topic.beat(A)
    assert (A in topic.directory.workers(), topic.directory.silent()) == (True, [])
    topic.later(LEASE_SECONDS)
    assert (A in topic.directory.workers(), topic.directory.silent()) == (False, [A])
    topic.later(SILENT_SECONDS)
    assert topic.directory.silent() == []


def test_a_worker_that_said_that_it_leaves_is_not_silent() -> None:
    topic = Topic()
    topic.beat(A)
    topic.bye(A)
    topic.later(LEASE_SECONDS)
    assert topic.directory.silent() == []


# --- clearing up


def test_each_worker_clears_up_after_its_earlier_runs() -> None:
    topic = Topic(settled=False)
    topic.beat(ME, run="0000")
    topic.user(ME, 7, "0000")
    topic.user(ME, 8, "0000")
    assert list(topic.directory.left_over()) == [], "whose they are is known once all has been read"
    topic.beat(ME)
    topic.user(ME, 8)
    assert list(topic.directory.left_over()) == [key_of(ME, 7)]


@pytest.mark.parametrize(("me", "mine"), [("http://0:1", True), ("http://z:1", False)])
def test_the_first_worker_clears_up_after_those_that_are_gone(me: str, mine: bool) -> None:
    topic = Topic(me)
    topic.beat(A)
    topic.user(A, 7)
    for _ in range(round((LEASE_SECONDS + FORGET_SECONDS) / BEAT_SECONDS) - 1):
        topic.now += BEAT_SECONDS
        topic.beat(me)
        topic.beat(B)
        assert list(topic.directory.left_over()) == []
    topic.now += BEAT_SECONDS
    topic.beat(me)
    topic.beat(B)
    assert list(topic.directory.left_over()) == ([key_of(A, 7)] if mine else [])
    topic.hear(key_of(A, 7), None)
    for _ in range(round((SILENT_SECONDS - FORGET_SECONDS) / BEAT_SECONDS)):
        topic.now += BEAT_SECONDS
        topic.beat(me)
        topic.beat(B)
    assert list(topic.directory.left_over()) == ([A.encode()] if mine else [])


def test_what_was_cleared_up_leaves_nothing() -> None:
    topic = Topic("http://0:1")
    topic.beat(A)
    topic.user(A, 7)
    topic.now += BEAT_SECONDS
    for _ in range(round(SILENT_SECONDS / BEAT_SECONDS) + 5):
        topic.now += BEAT_SECONDS
        topic.beat("http://0:1")
        topic.seen()
        for key in list(topic.directory.left_over()):
            topic.hear(key, None)
    assert list(topic.directory.left_over()) == []
    assert set(topic.directory._places) == {"http://0:1"}
    assert not topic.directory._counts


# --- bad records


@pytest.mark.parametrize(
    "key", [b"http://a:1#", b"http://a:1#0", b"http://a:1#x", b"http://a:1#99999999999999999", "http://a:1#٣".encode(), b"\xff"]
)
def test_a_key_that_names_no_user_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError):
        parse_key(key)


@pytest.mark.parametrize("value", [b"", b"[]", b"7", b"{}", b'{"run":7}', b"\xff"])
def test_a_users_record_that_cannot_be_read_changes_nothing(topic: Topic, value: bytes) -> None:
    topic.beat(A)
    with pytest.raises(ValueError):
        topic.hear(key_of(A, 7), value)
    assert topic.seen() == set()


BAD_WORKERS = [b"", b"[]", b"{}", *(b'{"version":"1","role":"all","partitions":%s,"standbys":[]}' % bad for bad in (b"7", b'["x"]'))]


@pytest.mark.parametrize("value", BAD_WORKERS)
def test_a_workers_record_that_cannot_be_read_is_no_worker(topic: Topic, value: bytes) -> None:
    with pytest.raises(ValueError):
        topic.hear(A.encode(), value)
    assert set(topic.directory._places) == {ME}


@given(st.text(st.characters(exclude_characters="#", exclude_categories=["Cs"])), st.integers(1, 2**53 - 1))
def test_a_key_is_read_as_it_was_written(url: str, user_id: int) -> None:
    assert parse_key(key_of(url, user_id)) == (url, user_id)


# --- against a naive model


class Model:
    """Asks all that was ever said, each time anew."""

    def __init__(self) -> None:
        self.now = 0.0
        self.said: list[tuple[float, str, int | None, str | None]] = []

    def online(self) -> set[int]:
        found = set()
        for url in (A, B):
            mine = [one for one in self.said if one[1] == url]
            words = [one for one in mine if one[2] is None]
            run, until = None, 0.0
            for at, _url, _user, told in words:
                if told is not None:
                    run, until = told, at + LEASE_SECONDS
                else:
                    until = min(until, at + GOODBYE_SECONDS)
            if run is None or until <= self.now:
                continue
            for user_id in {user_id for _at, _url, user_id, _run in mine if user_id is not None}:
                if [told for _at, _url, about, told in mine if about == user_id][-1] == run:
                    found.add(user_id)
        return found


RUNS = st.sampled_from(["0001", "0002"])
WORDS = st.one_of(
    st.tuples(st.sampled_from([A, B]), st.none(), st.none() | RUNS),
    st.tuples(st.sampled_from([A, B]), st.integers(1, 3), st.none() | RUNS),
    st.floats(0.0, STEP_SECONDS).map(lambda seconds: round(seconds, 3)),
    st.just("look"),
)


@given(st.lists(WORDS, max_size=60))
def test_it_is_what_a_naive_reader_finds(words: list[Any]) -> None:
    topic, model = Topic(), Model()
    start = topic.now
    for word in [*words, "look"]:
        if word == "look":
            assert topic.seen() == model.online()
        elif isinstance(word, float):
            topic.now += word
            topic.beat(ME)
            model.now = topic.now - start
        else:
            url, user_id, run = word
            model.said.append((model.now, url, user_id, run))
            if user_id is not None:
                topic.user(url, user_id, run)
            elif run is None:
                topic.bye(url)
            else:
                topic.beat(url, run)
