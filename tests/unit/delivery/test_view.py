"""A view is the fold, seen from one key: it says what people see, and what each event did."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import later_event
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import owner_of
from delivery.view import View
from tests.unit.delivery.fakes import Client, record, rows_of, shared
from tests.unit.domain.naive_model import NaiveModel, Record
from tests.unit.domain.worlds import TASKS, TEAMS, USERS, arrivals, orderly

KEYS = [*(f"team:{team}" for team in TEAMS), *(f"user:{user}" for user in USERS)]


def view_of(records: list[Record], key: str) -> View:
    """The view as its owner seeds it after these records."""
    return View(key, len(records) - 1, rows_of(records, key))


def fold(view: View, records: list[Record]) -> None:
    for offset, one in enumerate(records, view.offset + 1):
        if one.event.key == view.key:
            view.fold(shared(one.event, one.source), offset)


def seen(view: View) -> dict[str, Any]:
    return {"team": view.team(), "members": view.members(), "tasks": view.tasks(), "user": view.user()}


def told(model: NaiveModel, key: str) -> dict[str, Any]:
    kind, _, number = key.partition(":")
    tasks = [state for task in TASKS if (state := model.task(key, task)) is not None]
    if kind == "user":
        return {"team": None, "members": [], "tasks": tasks, "user": model.user(int(number))}
    members = [{"userId": user, "role": role} for user, role in sorted(model.members(int(number)).items())]
    return {"team": model.team(int(number)), "members": members, "tasks": tasks, "user": None}


@given(arrivals(), st.integers(0, 14))
def test_a_view_is_the_fold_wherever_its_seed_was_taken(arrival: tuple[list[Record], list[Record]], seeded: int) -> None:
    history, arrived = arrival
    model = NaiveModel(history)
    for key in KEYS:
        view = view_of(arrived[:seeded], key)
        fold(view, arrived[seeded:])
        assert seen(view) == told(model, key)


@given(arrivals())
def test_it_says_who_joined_and_who_left(arrival: tuple[list[Record], list[Record]]) -> None:
    view = view_of([], "team:1")
    for offset, one in enumerate(arrival[1]):
        if one.event.key != "team:1":
            continue
        before = {user: view.role(user) for user in USERS}
        change = view.fold(shared(one.event, one.source), offset)
        after = {user: view.role(user) for user in USERS}
        assert {user for user in USERS if before[user] is None and after[user]} == ({change.joined} if change.joined else set())
        assert {user for user in USERS if before[user] and after[user] is None} == set(change.left)
        assert view.offset == offset
        assert view.member_ids() == [user for user in USERS if after[user]]


@given(arrivals(), st.integers(0, 14))
def test_a_member_who_puts_state_in_place_and_else_applies_data_has_what_the_server_has(
    arrival: tuple[list[Record], list[Record]], seeded: int
) -> None:
    me, arrived = USERS[0], arrival[1]
    view, client = view_of(arrived[:seeded], "team:1"), Client()
    client.snapshot(view.team(), view.members(), view.tasks())
    for offset, one in enumerate(arrived[seeded:], seeded):
        event = one.event
        if event.key != "team:1":
            continue
        was_member = view.role(me) is not None
        change = view.fold(shared(event, one.source), offset)
        message = {"type": event.type, "data": event.data, "timestamp": event.timestamp, "actorId": event.actor_id}
        if change.carries_state:
            message["state"] = change.state
        client.take(message)
        if change.reset or not was_member:
            client.snapshot(view.team(), view.members(), view.tasks())
        if view.role(me) is not None:
            assert client.holds() == (view.team(), view.members(), view.tasks())


@given(orderly() | arrivals().map(lambda arrival: arrival[1]))
def test_a_later_event_is_told_and_stored_as_any_other_way(records: list[Record]) -> None:
    for key in KEYS:
        view, other = view_of([], key), view_of([], key)
        for offset, one in enumerate(records):
            if one.event.key != key:
                continue
            change = view.fold(shared(one.event, one.source), offset)
            with patch.object(later_event, "TYPES", frozenset()):
                assert other.fold(shared(one.event, one.source), offset) == change
            assert (view.bytes, view._tasks) == (other.bytes, other._tasks)


def test_without_the_state_of_late_events_that_member_would_be_wrong() -> None:
    view, client = view_of([record("team.created", 0, ownerId=1)], "team:1"), Client()
    late = [record("task.deleted", 5, taskId=1, creatorId=1), record("task.updated", 3, taskId=1, creatorId=1, title="x")]
    for offset, one in enumerate(late, 1):
        change = view.fold(shared(one.event, one.source), offset)
        client.take({"type": one.event.type, "data": one.event.data, "timestamp": one.event.timestamp})
    assert (change.carries_state, change.state) == (True, None)
    assert client.tasks
    assert not view.tasks()


@given(arrivals())
def test_the_state_of_an_event_is_the_object_that_it_names(arrival: tuple[list[Record], list[Record]]) -> None:
    history, arrived = arrival
    model = NaiveModel(history)
    views = {key: view_of(arrived, key) for key in KEYS}
    for one in arrived:
        event = one.event
        if event.type == "user.created":
            expected: Any = model.user(event.data["userId"])
        elif event.type.startswith("task."):
            expected = model.task(event.key, event.data["taskId"])
        elif event.type.startswith("team.member_"):
            role = model.role(event.data["teamId"], event.data["userId"])
            expected = None if role is None else {"userId": event.data["userId"], "role": role}
        else:
            expected = model.team(event.data["teamId"])
        assert views[event.key].state_of(event) == expected


def test_a_late_deletion_that_hides_part_of_a_living_team_resets() -> None:
    lives = [record("team.created", 0, ownerId=1), record("team.created", 5, ownerId=1), record("team.member_added", 1, userId=2, role="m")]
    gone = record("team.deleted", 3)
    change = view_of(lives, "team:1").fold(shared(gone.event, gone.source), 3)
    assert (change.reset, change.left, change.carries_state) == (True, (2,), True)


def test_a_deletion_in_order_lets_every_member_go_and_needs_no_reset() -> None:
    lives = [record("team.created", 0, ownerId=1), record("team.member_added", 1, userId=2, role="m")]
    gone = record("team.deleted", 3)
    change = view_of(lives, "team:1").fold(shared(gone.event, gone.source), 2)
    assert (change.reset, sorted(change.left), change.carries_state, change.state) == (False, [1, 2], False, None)


def test_a_users_view_knows_no_team_and_a_teams_view_no_user() -> None:
    created = UnifiedEvent("user:7", "e", "user.created", None, None, "2026-11-23T10:00:00.000000Z", {"userId": 7, "username": "ann"})
    view = View("user:7", -1, [])
    assert not view.fold(shared(created, Source("user.created", 0, 0, 1000)), 0).carries_state
    assert view.user() == {"userId": 7, "username": "ann", "email": None}
    assert (view.team(), view.members(), view.user_id, view.team_id) == (None, [], 7, None)
    assert view_of([record("team.created", 0, ownerId=1)], "team:1").user() is None


@pytest.mark.parametrize(
    ("event_type", "data"),
    [
        ("team.archived", {}),
        ("team.archived", {"teamId": 1}),
        ("task.archived", {}),
        ("task.archived", {"taskId": [1]}),
        ("team.member_suspended", {}),
        ("team.member_suspended", {"userId": {}}),
        ("user.renamed", {}),
        ("sprint.started", {}),
        ("nonsense", {}),
    ],
)
def test_a_type_of_a_later_version_changes_nothing_whatever_its_data(event_type: str, data: dict[str, Any]) -> None:
    view = view_of([record("team.created", 0, ownerId=1), record("task.created", 1, taskId=1, creatorId=1)], "team:1")
    before = seen(view)
    event = UnifiedEvent("team:1", "e", event_type, 1, 7, "2026-11-23T10:00:00.000000Z", data)
    change = view.fold(shared(event, Source(event_type, 0, 0, 1000)), 2)
    assert (change.joined, change.left, change.reset) == (None, (), False)
    assert seen(view) == before


def test_the_owner_of_a_late_creation_is_the_one_whose_membership_it_may_change() -> None:
    late = record("team.created", 1, ownerId=2)
    view = view_of([record("team.member_removed", 5, userId=2)], "team:1")
    change = view.fold(shared(late.event, late.source), 1)
    assert owner_of(late.event) == 2
    assert (change.joined, change.reset) == (None, True)
