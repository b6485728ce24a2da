"""Who gets a mail about an event, from the rows at its point of the log."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.recipients import Mailing, concerned, is_only, mailing
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import apply, deltas
from app.domain.rows import Row
from tests.unit.delivery.fakes import record as of_team
from tests.unit.domain.naive_model import Record

OWNER, ANN, BOB, STRANGER, SERVICE = 1, 2, 3, 4, 9
"""A stranger is no member; the service is whom `of_team` names as the actor."""


class Log:
    """Rows, and who was mailed about each event as it was folded."""

    def __init__(self, *records: Record) -> None:
        self.rows: dict[str, Row] = {}
        for record in records:
            self.tell(record)

    def tell(self, record: Record) -> Mailing:
        says = deltas(record.event, record.source)
        before = dict(self.rows)
        self.rows |= apply(self.rows.get, says)
        return mailing(record.event, says, before.get, self.rows.get)

    def mailed(self, record: Record) -> dict[int, str]:
        return {one.user_id: one.reason for one in self.tell(record).recipients}


def team(*members: int) -> Log:
    """A team of the owner's, since second 0, with members since second 1."""
    named = of_team("team.created", 0, ownerId=OWNER, name="Ops")
    return Log(named, *[of_team("team.member_added", 1, userId=user, role="m", offset=user) for user in members])


def task(verb: str, second: int, actor: int = SERVICE, **data: Any) -> Record:
    return of_team(f"task.{verb}", second, actor=actor, taskId=5, **data)


@pytest.mark.parametrize("verb", ["created", "updated", "completed", "deleted"])
def test_a_task_mails_creator_and_assignee(verb: str) -> None:
    log = team(ANN, BOB)
    if verb != "created":
        log.tell(task("created", 2, creatorId=ANN, assigneeId=BOB, title="Write"))
    told = log.tell(task(verb, 3, creatorId=ANN, assigneeId=BOB, title="Write"))
    assert {one.user_id: one.reason for one in told.recipients} == {ANN: "creator", BOB: "assignee"}
    assert (told.team_name, told.task_title) == ("Ops", "Write")


def test_an_event_that_names_nobody_reaches_whom_the_rows_name() -> None:
    log = team(ANN, BOB)
    log.tell(task("created", 2, creatorId=ANN, assigneeId=BOB, title="Write"))
    for second, verb in enumerate(["updated", "completed", "deleted"], start=3):
        told = log.tell(task(verb, second))
        assert [one.user_id for one in told.recipients] == [BOB, ANN]
        assert told.task_title == "Write"


def test_creator_and_assignee_in_one_get_one_mail() -> None:
    assert team(ANN).mailed(task("created", 2, creatorId=ANN, assigneeId=ANN)) == {ANN: "assignee"}


@pytest.mark.parametrize("actor", [ANN, BOB])
def test_nobody_is_mailed_about_an_act_of_their_own(actor: int) -> None:
    assert set(team(ANN, BOB).mailed(task("created", 2, actor=actor, creatorId=ANN, assigneeId=BOB))) == {ANN, BOB} - {actor}


def test_whoever_is_no_member_gets_nothing() -> None:
    assert team(ANN).mailed(task("created", 2, creatorId=STRANGER, assigneeId=ANN)) == {ANN: "assignee"}


def test_members_are_those_of_that_point_of_the_log() -> None:
    log = team()
    assert log.mailed(task("created", 2, creatorId=ANN)) == {}
    assert log.mailed(of_team("team.member_added", 3, userId=ANN, role="m")) == {ANN: "member"}
    assert log.mailed(task("updated", 4, title="x")) == {ANN: "creator"}
    assert log.mailed(of_team("team.member_removed", 5, userId=ANN)) == {ANN: "member"}
    assert log.mailed(task("updated", 6, title="y")) == {}


def test_an_assignee_who_is_cleared_gets_no_more() -> None:
    log = team(ANN, BOB)
    log.tell(task("created", 2, creatorId=ANN, assigneeId=BOB))
    assert log.mailed(task("updated", 3, assigneeId=None)) == {ANN: "creator"}
    assert log.mailed(task("completed", 4)) == {ANN: "creator"}


def test_a_new_assignee_is_the_one_who_is_mailed() -> None:
    log = team(ANN, BOB)
    log.tell(task("created", 2, creatorId=OWNER, assigneeId=ANN))
    assert log.mailed(task("updated", 3, assigneeId=BOB)) == {BOB: "assignee", OWNER: "creator"}


def test_an_update_of_a_task_that_was_never_seen_reaches_whom_it_names() -> None:
    assert team(ANN, BOB).mailed(task("updated", 2, creatorId=ANN)) == {ANN: "creator"}
    assert team(ANN, BOB).mailed(task("updated", 2, title="x")) == {}


def test_the_deletion_of_a_task_that_was_never_seen_reaches_whom_it_names() -> None:
    assert team(ANN, BOB).mailed(task("deleted", 2, creatorId=ANN, assigneeId=BOB)) == {ANN: "creator", BOB: "assignee"}


def test_nobody_hears_of_a_change_to_what_is_gone() -> None:
    log = team(ANN)
    log.tell(task("created", 2, creatorId=ANN))
    log.tell(task("deleted", 5))
    assert log.mailed(task("updated", 4, creatorId=ANN)) == {}
    assert log.mailed(task("updated", 6, creatorId=ANN)) == {}


def test_nobody_hears_of_an_end_that_is_none() -> None:
    log = team(ANN)
    log.tell(task("created", 5, creatorId=ANN))
    assert log.mailed(task("deleted", 4)) == {}
    assert log.mailed(of_team("team.member_removed", 0, userId=ANN)) == {}
    log.tell(of_team("team.created", 8, ownerId=OWNER))
    assert log.mailed(of_team("team.deleted", 7)) == {}


def personal(verb: str, second: int, actor: int, **data: Any) -> Record:
    at = f"2026-11-23T10:00:{second:02d}.000000Z"
    event = UnifiedEvent(
        f"user:{ANN}", f"e{second}", f"task.{verb}", None, actor, at, {"taskId": 5, "teamId": None, "creatorId": ANN, **data}
    )
    return Record(event, Source(f"task.{verb}", 0, second, 1000))


@pytest.mark.parametrize("verb", ["created", "updated", "completed", "deleted"])
def test_a_personal_task_reaches_its_creator_alone_and_only_by_another_hand(verb: str) -> None:
    log = Log()
    if verb != "created":
        log.tell(personal("created", 1, ANN, title="Mine"))
    assert log.mailed(personal(verb, 2, ANN, assigneeId=BOB)) == {}
    log = Log()
    if verb != "created":
        log.tell(personal("created", 1, ANN, title="Mine"))
    told = log.tell(personal(verb, 2, SERVICE, assigneeId=BOB, title="Mine"))
    assert {one.user_id: one.reason for one in told.recipients} == {ANN: "creator"}
    assert (told.team_name, told.task_title) == (None, "Mine")


def test_a_team_mails_its_owner() -> None:
    log = Log()
    assert log.mailed(of_team("team.created", 0, actor=OWNER, ownerId=OWNER)) == {}
    assert log.mailed(of_team("team.updated", 1, name="New")) == {OWNER: "owner"}
    assert log.mailed(of_team("team.updated", 2, actor=OWNER, name="Newer")) == {}
    told = log.tell(of_team("team.deleted", 3))
    assert [one.user_id for one in told.recipients] == [OWNER]
    assert told.team_name == "Newer"


def test_a_team_without_an_owner_is_its_makers() -> None:
    assert Log().mailed(of_team("team.created", 0, actor=OWNER)) == {}


def test_a_new_owner_is_mailed_once_they_are_a_member() -> None:
    log = team(ANN)
    assert log.mailed(of_team("team.updated", 2, ownerId=STRANGER)) == {}
    assert log.mailed(of_team("team.updated", 3, ownerId=ANN)) == {ANN: "owner"}


def test_an_owner_who_left_does_not_hear_of_the_end() -> None:
    log = team(ANN)
    log.tell(of_team("team.member_removed", 2, userId=OWNER))
    assert log.mailed(of_team("team.deleted", 3)) == {}


def test_the_end_of_a_team_that_was_never_seen_reaches_the_owner_whom_it_names() -> None:
    assert Log().mailed(of_team("team.deleted", 3, ownerId=OWNER)) == {OWNER: "owner"}


def test_a_role_reaches_the_member() -> None:
    log = team(ANN)
    assert log.mailed(of_team("team.member_role_updated", 2, userId=ANN, role="admin")) == {ANN: "member"}
    assert log.mailed(of_team("team.member_role_updated", 3, userId=BOB, role="admin")) == {}


def test_leaving_by_oneself_mails_nobody() -> None:
    assert team(ANN).mailed(of_team("team.member_removed", 2, actor=ANN, userId=ANN)) == {}


@pytest.mark.parametrize("actor", [None, ANN])
def test_everyone_is_welcomed(actor: int | None) -> None:
    event = UnifiedEvent("user:2", "e", "user.created", None, actor, "2026-11-23T10:00:00.000000Z", {"userId": ANN})
    assert Log().mailed(Record(event, Source("user.created", 0, 0, 1000))) == {ANN: "welcome"}


def test_nobody_is_welcomed_whose_address_is_taken_away() -> None:
    forgotten = UnifiedEvent(f"user:{ANN}", "e", "user.created", None, None, "2026-11-23T10:00:00.000000Z", {"userId": ANN, "email": None})
    assert Log().mailed(Record(forgotten, Source("user.created", 0, 0, 1000))) == {}


def test_a_type_of_a_later_version_mails_nobody() -> None:
    assert team(ANN).mailed(of_team("team.archived", 2)) == {}


def test_a_repeat_reaches_nobody_who_came_later() -> None:
    log = team(ANN)
    first = task("created", 2, creatorId=OWNER, title="Write")
    assert log.mailed(first) == {OWNER: "creator"}
    log.tell(of_team("team.member_added", 3, userId=BOB, role="m"))
    log.tell(task("updated", 4, assigneeId=BOB))
    assert log.mailed(first) == {OWNER: "creator"}
    again = Record(first.event, Source(first.source.topic, 3, 77, 2000))  # the producer sent it twice
    assert log.mailed(again) == {OWNER: "creator"}


def test_an_event_that_comes_late_reaches_those_of_its_point_of_the_log() -> None:
    log = team(ANN, BOB)
    log.tell(task("created", 2, creatorId=OWNER))
    log.tell(task("updated", 8, assigneeId=BOB))
    assert log.mailed(task("updated", 7, title="x")) == {BOB: "assignee", OWNER: "creator"}


@given(st.permutations(range(5)), st.integers(0, 4))
def test_a_repeat_of_anything_names_nobody_new(order: list[int], repeated: int) -> None:
    events = [
        task("created", 2, creatorId=ANN, assigneeId=OWNER),
        task("updated", 3, assigneeId=BOB),
        of_team("team.member_added", 4, userId=BOB, role="m"),
        task("updated", 5, title="x"),
        of_team("team.updated", 6, ownerId=ANN),
    ]
    log = team(ANN)
    first = {number: log.mailed(events[number]) for number in order}
    # Whoever the row names at the event's own time may have been learned of since, from an event before it that came late.
    late = any(order.index(earlier) > order.index(repeated) for earlier in range(repeated))
    assert late or set(log.mailed(events[repeated])) <= set(first[repeated])


@pytest.mark.parametrize(
    ("named", "expected"),
    [((), True), ((None, 9), True), ((9, 9), True), ((9, 7), False), ((True,), False), ((9.0,), False), (("9",), False), ((0,), False)],
)
def test_a_user_is_the_only_one_named_where_nobody_else_is(named: tuple[Any, ...], expected: bool) -> None:
    assert is_only(9, named) == expected


def test_whom_a_task_concerns_is_read_from_the_event_and_both_rows() -> None:
    event = UnifiedEvent("team:1", "e", "task.updated", 1, 9, "2026-11-23T10:00:00.000000Z", {"assigneeId": 5})
    before, after = Row({}, {"creatorId": ("r", 6), "title": ("r", "x")}), Row({}, {"creatorId": ("r", 7), "assigneeId": ("r", 8)})
    assert [one for one in concerned(event, None, before, after) if one is not None] == [5, 6, 7, 8]
