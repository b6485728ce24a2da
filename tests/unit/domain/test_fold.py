from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import fold
from app.domain.events import Source, UnifiedEvent
from app.domain.ranks import rank
from app.domain.rows import EMPTY, Row, merge
from app.domain.state import deleted_rank, member_role, member_state, task_state, team_state, user_state
from tests.unit.domain.naive_model import NaiveModel, Record
from tests.unit.domain.worlds import TASKS, TEAMS, USERS, arrivals, folded, histories, stored

AT = "2026-11-23T10:00:00.000000Z"


def event(event_type: str, team_id: int | None = 1, key: str = "team:1", actor_id: int | None = 7, **data: Any) -> UnifiedEvent:
    return UnifiedEvent(key, "e", event_type, team_id, actor_id, AT, data)


def said(one: UnifiedEvent, offset: int = 0) -> dict[str, Row]:
    return dict(fold.deltas(one, Source(one.type, 0, offset, 1000)))


@given(arrivals())
def test_any_order_and_any_repetition_comes_to_the_state_of_the_naive_model(arrival: tuple[list[Record], list[Record]]) -> None:
    history, arrived = arrival
    rows, model = folded(arrived), NaiveModel(history)

    for team in TEAMS:
        team_row = rows.get(f"team/{team}")
        deleted = deleted_rank(team_row)
        members = {user: member_role(rows.get(f"member/{team}/{user}"), deleted) for user in USERS}
        assert {user: role for user, role in members.items() if role} == model.members(team)
        assert team_state(team, team_row, any(members.values())) == model.team(team)
        for task in TASKS:
            assert task_state(task, rows.get(f"task/{team}/{task}"), deleted) == model.task(f"team:{team}", task)
    for user in USERS:
        assert user_state(user, rows.get(f"user/{user}")) == model.user(user)
        for task in TASKS:
            assert task_state(task, rows.get(f"task/user:{user}/{task}"), None) == model.task(f"user:{user}", task)


@given(arrivals())
def test_any_order_and_any_repetition_comes_to_the_same_bytes(arrival: tuple[list[Record], list[Record]]) -> None:
    history, arrived = arrival
    assert stored(folded(arrived)) == stored(folded(history))


@given(histories(), st.data())
def test_fold_distributes_over_merge(history: list[Record], data: st.DataObject) -> None:
    """Two writers that have seen different parts of the log, even overlapping ones, merge to what one writer would have."""
    shares = data.draw(
        st.lists(st.sampled_from([(True, False), (False, True), (True, True)]), min_size=len(history), max_size=len(history))
    )
    left = folded([record for record, (is_left, _) in zip(history, shares, strict=True) if is_left])
    right = folded([record for record, (_, is_right) in zip(history, shares, strict=True) if is_right])
    merged = {key: merge(left.get(key, EMPTY), right.get(key, EMPTY)) for key in left | right}
    assert stored(merged) == stored(folded(history))


@given(histories())
def test_a_batch_folds_as_its_events_one_by_one(history: list[Record]) -> None:
    batch = [delta for record in history for delta in fold.deltas(record.event, record.source)]
    assert stored(fold.apply(lambda _: None, batch)) == stored(folded(history))


@given(histories())
def test_what_has_been_folded_already_changes_no_row(history: list[Record]) -> None:
    rows = folded(history)
    for record in history:
        assert fold.apply(rows.get, fold.deltas(record.event, record.source)) == {}


@given(histories())
def test_folding_leaves_stored_rows_as_they_were(history: list[Record]) -> None:
    for before, record in zip([folded(history[:n]) for n in range(len(history))], history, strict=True):
        bytes_before = stored(before)
        fold.apply(before.get, fold.deltas(record.event, record.source))
        assert stored(before) == bytes_before


def test_an_event_of_any_kind_touches_at_most_two_rows() -> None:
    assert set(said(event("team.deleted", teamId=1))) == {"team/1"}
    assert set(said(event("team.created", teamId=1, ownerId=3))) == {"team/1", "member/1/3"}
    assert set(said(event("task.updated", taskId=9, teamId=1))) == {"team/1", "task/1/9"}
    assert set(said(event("team.member_removed", teamId=1, userId=3))) == {"team/1", "member/1/3"}


def test_once_a_team_is_known_its_tasks_write_their_own_rows_only() -> None:
    rows = said(event("team.created", teamId=1, ownerId=3))
    assert set(fold.apply(rows.get, said(event("task.created", taskId=9, teamId=1)).items())) == {"task/1/9"}


def test_a_personal_task_is_kept_with_its_creator_and_no_team() -> None:
    personal = event("task.created", team_id=None, key="user:7", taskId=9, creatorId=7, title="x")
    assert set(said(personal)) == {"task/user:7/9"}


def test_identity_is_no_field_and_an_unknown_member_is_one() -> None:
    row = said(event("task.created", taskId=9, teamId=1, title="x", colour="red", createdAt="yesterday"))["task/1/9"]
    assert set(row.fields) == {"title", "colour"}
    row = said(event("team.created", teamId=1, ownerId=3, colour="red", updatedAt="yesterday"))["team/1"]
    assert set(row.fields) == {"ownerId", "colour"}


def test_unknown_members_of_member_events_are_not_stored() -> None:
    row = said(event("team.member_added", teamId=1, userId=3, role="admin", colour="red"))["member/1/3"]
    assert set(row.fields) == {"role"}


def test_without_an_owner_the_actor_is_the_first_member() -> None:
    for ownerless in (event("team.created", teamId=1, actor_id=5), event("team.created", teamId=1, ownerId=None, actor_id=5)):
        assert fold.owner_of(ownerless) == 5
        assert member_state(5, said(ownerless)["member/1/5"], None) == {"userId": 5, "role": "owner"}


@pytest.mark.parametrize(
    ("event_type", "kind", "mark"),
    [("team.member_added", "added", "added"), ("team.created", "created", "added"), ("team.member_removed", "removed", "removed")],
)
def test_a_candidate_has_the_rank_of_the_event_that_made_it(event_type: str, kind: str, mark: str) -> None:
    source = Source(event_type, 0, 5, 1000)
    record = event("_user.membership", team_id=None, key="user:3", teamId=1, userId=3, kind=kind)
    assert fold.deltas(record, source) == [("candidate/3/1", Row({mark: rank(event_type, AT, source)}, {}))]


@pytest.mark.parametrize("event_type", ["_user.other", "_future", "task.archived"])
def test_types_that_we_do_not_know_say_nothing(event_type: str) -> None:
    assert said(event(event_type, taskId=9)) == {}


@pytest.mark.parametrize(
    "broken",
    [
        event("task.updated", teamId=1),
        event("task.updated", taskId=True),
        event("task.updated", team_id=None, taskId=9),
        event("team.updated", team_id=None),
        event("team.created", actor_id=None, teamId=1),
        event("team.member_added", teamId=1, role="member"),
        event("team.member_role_updated", teamId=1, userId=3),
        event("user.created", team_id=None, key="user:3"),
        event("_user.membership", team_id=None, key="user:3", teamId=1, userId=3, kind="moved"),
        event("_user.membership", team_id=None, key="user:3", userId=3, kind="added"),
    ],
    ids=lambda one: f"{one.type}-{sorted(one.data)}",
)
def test_an_event_without_the_ids_that_its_type_needs_is_refused(broken: UnifiedEvent) -> None:
    with pytest.raises(ValueError, match=r"missing|no integer|none of|invalid literal"):
        fold.deltas(broken, Source(broken.type, 0, 0, 0))


def test_two_tasks_of_one_id_in_two_teams_are_two_tasks() -> None:
    one = event("task.created", taskId=9, teamId=1)
    other = one._replace(key="team:2", team_id=2, data={**one.data, "teamId": 2})
    assert said(one).keys().isdisjoint(said(other))
