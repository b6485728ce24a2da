"""Fetch sessions: whatever a consumer asks for and whatever gets lost, the broker fetches what it asked for last."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v4, FetchRequest_v7, FetchRequest_v11
from hypothesis import given
from hypothesis import strategies as st

from app.kafka.fetch_session import FetchSession, SessionRequest

SIZE = 2**20
NOT_FOUND, INVALID_EPOCH = 70, 71

Places = dict[tuple[str, int], int]


def topics(places: Places) -> list[tuple[str, list[tuple[int, int, int]]]]:
    found: dict[str, list[tuple[int, int, int]]] = {}
    for (topic, partition), offset in places.items():
        found.setdefault(topic, []).append((partition, offset, SIZE))
    return list(found.items())


def request(session: FetchSession, places: Places, version: Any = FetchRequest_v11) -> Any:
    return SessionRequest(FetchRequest(100, 1, 2**25, 0, topics(places), "rack"), session).build(version)


class Broker:
    """Sessions as KIP-227 describes them."""

    def __init__(self) -> None:
        self.sessions: dict[int, tuple[int, Places]] = {}
        self.made = 0

    def fetch(self, wire: Any) -> tuple[int, int, Places]:
        """Error, session id, and the places that records would be read from."""
        asked = {(topic, row[0]): row[2] for topic, rows in wire.topics for row in rows}
        if wire.session_epoch == 0:
            self.sessions.pop(wire.session_id, None)
            self.made += 1
            self.sessions[self.made] = (1, asked)
            return 0, self.made, asked
        if wire.session_id not in self.sessions:
            return NOT_FOUND, 0, {}
        epoch, places = self.sessions[wire.session_id]
        if wire.session_epoch != epoch:
            return INVALID_EPOCH, 0, {}
        places = places | asked
        for topic, partitions in wire.forgotten_topics_data:
            for partition in partitions:
                del places[topic, partition]
        self.sessions[wire.session_id] = (epoch + 1, places)
        return 0, wire.session_id, places


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), st.integers(0, 3), min_size=1),
            st.sampled_from(["", "", "", "answer lost", "request lost", "restart"]),
        ),
        max_size=20,
    )
)
def test_the_broker_reads_what_was_asked_for_whatever_is_lost(steps: list[tuple[Places, str]]) -> None:
    session, broker = FetchSession(), Broker()
    for places, fault in steps:
        if fault == "restart":
            broker.sessions.clear()
        wire = request(session, places)
        if fault != "request lost":
            error, session_id, read = broker.fetch(wire)
            if not error:
                assert read == places
            if fault != "answer lost":
                session.answered(error, session_id)
        session.settle()


def test_a_quiet_fetch_names_nothing() -> None:
    session, broker = FetchSession(), Broker()
    places = {("a", 0): 5, ("a", 1): 7}
    for expected in (2, 0, 0):
        wire = request(session, places)
        assert sum(len(rows) for _topic, rows in wire.topics) == expected
        error, session_id, read = broker.fetch(wire)
        assert read == places
        assert session.answered(error, session_id)
    places["a", 1] = 8
    assert request(session, places).topics == [("a", [(1, -1, 8, -1, SIZE)])]


def test_a_broker_without_room_for_sessions_is_told_everything_each_time() -> None:
    session = FetchSession()
    for _ in range(2):
        wire = request(session, {("a", 0): 5})
        assert (wire.session_id, wire.session_epoch, len(wire.topics)) == (0, 0, 1)
        assert session.answered(0, 0)


@pytest.mark.parametrize("error", [NOT_FOUND, INVALID_EPOCH, 99])
def test_an_error_begins_a_new_session_and_the_answer_does_not_stand(error: int) -> None:
    session = FetchSession()
    request(session, {("a", 0): 5})
    session.answered(0, 9)
    request(session, {("a", 0): 6})
    assert not session.answered(error, 0)
    wire = request(session, {("a", 0): 6})
    assert (wire.session_id, wire.session_epoch, wire.topics) == (0, 0, [("a", [(0, -1, 6, -1, SIZE)])])


def test_epochs_go_round_and_leave_out_the_one_that_begins_a_session() -> None:
    session = FetchSession()
    session._id, session._epoch = 9, 2**31 - 1
    request(session, {("a", 0): 5})
    session.answered(0, 9)
    assert request(session, {("a", 0): 5}).session_epoch == 1


def test_what_is_written_can_be_written_by_every_version_with_sessions_and_before() -> None:
    for version in (FetchRequest_v4, FetchRequest_v7, FetchRequest_v11):
        wire = request(FetchSession(), {("a", 0): 5}, version)
        assert wire.encode()
    old = request(FetchSession(), {("a", 0): 5}, FetchRequest_v4)
    assert old.encode() == FetchRequest(100, 1, 2**25, 0, topics({("a", 0): 5})).build(FetchRequest_v4).encode()
    assert request(FetchSession(), {("a", 0): 5}, FetchRequest_v7).topics == [("a", [(0, 5, -1, SIZE)])]
