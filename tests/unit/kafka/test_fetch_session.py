"""Fetch sessions: whatever a consumer asks for and whatever gets lost, the broker fetches what it asked for last."""

from __future__ import annotations

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from app.kafka.fetch_session import Changes, FetchSession

NOT_FOUND, INVALID_EPOCH = 70, 71

A, B = TopicPartition("a", 0), TopicPartition("a", 1)
Places = dict[TopicPartition, int]


class Broker:
    """Sessions as KIP-227 describes them."""

    def __init__(self) -> None:
        self.sessions: dict[int, tuple[int, Places]] = {}
        self.made = 0

    def fetch(self, asked: Changes) -> tuple[int, int, Places]:
        """Error, session id, and the places that records would be read from."""
        changed = {TopicPartition(topic, number): offset for topic, rows in asked.changed.items() for number, offset in rows}
        if asked.epoch == 0:
            self.sessions.pop(asked.session_id, None)
            self.made += 1
            self.sessions[self.made] = (1, changed)
            return 0, self.made, changed
        if asked.session_id not in self.sessions:
            return NOT_FOUND, 0, {}
        epoch, places = self.sessions[asked.session_id]
        if asked.epoch != epoch:
            return INVALID_EPOCH, 0, {}
        places = places | changed
        for topic, numbers in asked.gone.items():
            for number in numbers:
                del places[TopicPartition(topic, number)]
        self.sessions[asked.session_id] = (epoch + 1, places)
        return 0, asked.session_id, places


def fetch(session: FetchSession, broker: Broker, places: Places) -> Changes:
    """A fetch that is answered; what it named."""
    asked = session.ask(places)
    error, session_id, read = broker.fetch(asked)
    assert read == places
    assert session.answered(error, session_id)
    return asked


PLACES = st.dictionaries(st.builds(TopicPartition, st.sampled_from("ab"), st.integers(0, 3)), st.integers(0, 3))
FAULTS = st.sampled_from(["", "", "", "answer lost", "request lost", "restart"])


@given(st.lists(st.tuples(PLACES, FAULTS), max_size=20))
def test_the_broker_reads_what_was_asked_for_whatever_is_lost(steps: list[tuple[Places, str]]) -> None:
    session, broker = FetchSession(), Broker()
    for places, fault in steps:
        if fault == "restart":
            broker.sessions.clear()
        asked = session.ask(places)
        if fault != "request lost":
            error, session_id, read = broker.fetch(asked)
            if not error:
                assert read == places
            if fault != "answer lost":
                assert session.answered(error, session_id) is not bool(error)
        session.settle()


def test_a_fetch_names_what_changed() -> None:
    session, broker = FetchSession(), Broker()
    assert fetch(session, broker, {A: 5, B: 7}).changed == {"a": [(0, 5), (1, 7)]}
    assert fetch(session, broker, {A: 5, B: 8}).changed == {"a": [(1, 8)]}


def test_a_fetch_names_what_is_not_asked_for_any_more() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {A: 5, B: 7})
    asked = fetch(session, broker, {A: 5})
    assert (asked.changed, asked.gone) == ({}, {"a": [1]})


def test_what_is_asked_for_again_is_named_again() -> None:
    session, broker = FetchSession(), Broker()
    for places in ({A: 5, B: 7}, {A: 5}):
        fetch(session, broker, places)
    assert fetch(session, broker, {A: 5, B: 7}).changed == {"a": [(1, 7)]}


def test_a_quiet_fetch_names_nothing() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {A: 5, B: 7})
    for _ in range(2):
        asked = fetch(session, broker, {A: 5, B: 7})
        assert (asked.changed, asked.gone) == ({}, {})


def test_what_was_asked_for_is_what_it_was_then() -> None:
    session, broker = FetchSession(), Broker()
    places = {A: 5}
    fetch(session, broker, dict(places))
    places[A] = 6
    assert fetch(session, broker, places).changed == {"a": [(0, 6)]}


def test_a_broker_without_room_for_sessions_is_told_everything_each_time() -> None:
    session = FetchSession()
    for _ in range(2):
        assert session.ask({A: 5}) == Changes(0, 0, {"a": [(0, 5)]}, {})
        assert session.answered(0, 0)


@pytest.mark.parametrize("error", [NOT_FOUND, INVALID_EPOCH, 99])
def test_an_error_begins_a_new_session_and_the_answer_does_not_stand(error: int) -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {A: 5})
    session.ask({A: 6})
    assert not session.answered(error, 0)
    asked = session.ask({A: 6})
    assert (asked.epoch, asked.changed) == (0, {"a": [(0, 6)]})


def test_a_fetch_without_an_answer_begins_a_new_session() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {A: 5})
    session.ask({A: 5})
    session.settle()
    asked = session.ask({A: 5})
    assert (asked.epoch, asked.changed) == (0, {"a": [(0, 5)]})


def test_a_fetch_that_was_answered_leaves_the_session_as_it_is() -> None:
    session, broker = FetchSession(), Broker()
    fetch(session, broker, {A: 5})
    session.settle()
    assert not session.ask({A: 5}).changed


def test_a_new_session_closes_the_one_before_it() -> None:
    session, broker = FetchSession(), Broker()
    for _ in range(10):
        fetch(session, broker, {A: 5})
        session.reset()
    assert len(broker.sessions) == 1


def test_epochs_go_round_and_leave_out_the_one_that_begins_a_session() -> None:
    session = FetchSession()
    session._id, session._epoch = 9, 2**31 - 1
    session.ask({A: 5})
    session.answered(0, 9)
    assert session.ask({A: 5}).epoch == 1
