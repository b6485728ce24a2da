from __future__ import annotations

from typing import Any

from hypothesis import example, given

from app.domain import fold
from app.domain.events import Source, UnifiedEvent
from app.domain.rows import Row
from app.domain.state import (
    State,
    apply_data,
    created_resets,
    deleted_rank,
    deleted_resets,
    effect,
    member_role,
    member_state,
    task_state,
    team_state,
    tells_all,
    user_state,
)
from tests.unit.domain.naive_model import Record
from tests.unit.domain.worlds import TASKS, USERS, arrivals, folded

TEAM, USER = 1, 1
Held = dict[tuple[str, int], State]


def at(second: int) -> str:
    return f"2026-11-23T10:00:0{second}.000000Z"


def record(event_type: str, second: int, actor_id: int = 7, offset: int = 0, **data: Any) -> Record:
    data = {"teamId": TEAM, **data}
    return Record(UnifiedEvent(f"team:{TEAM}", "e", event_type, TEAM, actor_id, at(second), data), Source(event_type, 0, offset, 1000))


def task(*records: Record) -> State | None:
    rows = folded(list(records))
    return task_state(9, rows.get(f"task/{TEAM}/9"), deleted_rank(rows.get(f"team/{TEAM}")))


def team(*records: Record) -> State | None:
    rows = folded(list(records))
    deleted = deleted_rank(rows.get(f"team/{TEAM}"))
    has_members = any(member_role(row, deleted) for key, row in rows.items() if key.startswith(f"member/{TEAM}/"))
    return team_state(TEAM, rows.get(f"team/{TEAM}"), has_members)


def role(*records: Record) -> str | None:
    rows = folded(list(records))
    return member_role(rows.get(f"member/{TEAM}/3"), deleted_rank(rows.get(f"team/{TEAM}")))


def snapshot(rows: dict[str, Row]) -> Held:
    """All that a member of the team sees."""
    team_row = rows.get(f"team/{TEAM}")
    deleted = deleted_rank(team_row)
    held: dict[tuple[str, int], State | None] = {
        ("member", user): member_state(user, rows.get(f"member/{TEAM}/{user}"), deleted) for user in USERS
    }
    held["team", TEAM] = team_state(TEAM, team_row, any(held.values()))
    held |= {("task", task): task_state(task, rows.get(f"task/{TEAM}/{task}"), deleted) for task in TASKS}
    return {key: state for key, state in held.items() if state is not None}


def named(event: UnifiedEvent) -> tuple[str, int]:
    """What the event is about."""
    if event.type.startswith("task."):
        return "task", event.data["taskId"]
    if event.type.startswith("team.member_"):
        return "member", event.data["userId"]
    return "team", TEAM


def take(held: Held, event: UnifiedEvent) -> None:
    """What an honest client, who has never heard of ranks, does with an event."""
    key = named(event)
    if event.type == "team.deleted":
        held.clear()
    elif event.type.endswith(("deleted", "removed")):
        held.pop(key, None)
    elif key[0] == "member":
        held[key] = {"userId": key[1], "role": event.data["role"]}
    elif key[0] == "task":
        made = {"title": None, "description": None, "completed": None, "priority": None, "due": None, "assigneeId": None, "createdAt": None}
        held[key] = {**made, **held.get(key, {}), **event.data, "updatedAt": event.timestamp}
        held[key].pop("teamId")
        if event.type == "task.created":
            held[key]["createdAt"] = event.timestamp
    else:
        held[key] = {"teamId": TEAM, "name": None, "description": None, "ownerId": None, **held.get(key, {}), "updatedAt": event.timestamp}
        held[key] |= {name: event.data[name] for name in ("name", "description", "ownerId") if name in event.data}
        if event.type == "team.created":
            owner: int = event.data.get("ownerId") or event.actor_id or 0
            held["member", owner] = {"userId": owner, "role": "owner"}


def follow(arrived: list[Record], *, told: bool = True) -> tuple[Held, Held]:
    """What a member holds at the end, and what the server has; ``told`` = states and resets are sent."""
    rows: dict[str, Row] = {}
    held: Held = {}
    for one in arrived:
        event = one.event
        if event.team_id != TEAM:
            continue
        before, row_before = snapshot(rows), rows.get(f"team/{TEAM}")
        rows.update(fold.apply(rows.get, fold.deltas(event, one.source)))
        after = snapshot(rows)
        key = named(event)
        if ("member", USER) not in after:
            held = {}  # left
            continue
        if ("member", USER) not in before:
            held = dict(after)  # joined, with a snapshot
            continue
        carries_state = effect(event, before.get(key), after.get(key))
        if carries_state and told:
            held.pop(key, None)
            if key in after:
                held[key] = after[key]
        else:
            take(held, event)
        resets = False
        if event.type == "team.created":
            owner = ("member", fold.owner_of(event))
            roles = [seen[owner]["role"] if owner in seen else None for seen in (before, after)]
            resets = created_resets(carries_state, *roles)
        elif event.type == "team.deleted":
            resets = deleted_resets(deleted_rank(row_before), deleted_rank(rows[f"team/{TEAM}"]), after.get(("team", TEAM)))
        if resets and told:
            held = dict(after)
    return held, snapshot(rows) if ("member", USER) in snapshot(rows) else {}


@given(arrivals())
@example(
    (
        [],
        [
            record("team.created", 3, ownerId=1),
            record("task.updated", 1, taskId=1),
            record("team.member_added", 1, userId=3, role="guest"),
            record("team.deleted", 2),
        ],
    )
)
def test_a_client_that_puts_state_in_place_and_else_applies_data_has_what_the_server_has(
    arrival: tuple[list[Record], list[Record]],
) -> None:
    held, has = follow(arrival[1])
    assert held == has


def test_that_client_would_be_wrong_without_state() -> None:
    late = [record("team.created", 0, ownerId=USER), record("task.deleted", 3, taskId=1), record("task.updated", 2, taskId=1, creatorId=1)]
    held, has = follow(late, told=False)
    assert held != has


def test_events_that_come_in_order_carry_no_state() -> None:
    in_order = [
        record("team.created", 0, ownerId=USER, name="a"),
        record("team.updated", 1, description="b", colour="red"),
        record("team.member_added", 2, userId=3, role="guest"),
        record("team.member_role_updated", 3, userId=3, role="admin"),
        record("task.created", 4, taskId=1, creatorId=1, title="x", labels=["y"]),
        record("task.updated", 5, taskId=1, creatorId=1, labels=None, assigneeId=3),
        record("task.completed", 5, taskId=1, creatorId=1, completed=True),
        record("task.deleted", 6, taskId=1, creatorId=1),
        record("task.created", 7, taskId=1, creatorId=1),
        record("team.member_removed", 8, userId=3),
        record("team.deleted", 9),
    ]
    rows: dict[str, Row] = {}
    for one in in_order:
        before = snapshot(rows)
        rows.update(fold.apply(rows.get, fold.deltas(one.event, one.source)))
        after = snapshot(rows)
        assert not effect(one.event, before.get(named(one.event)), after.get(named(one.event))), one.event.type
    assert not created_resets(carries_state=False, owner_before=None, owner_after="owner")
    assert not deleted_resets(None, "1", None)


def test_an_outranked_update_carries_state_and_an_outranked_revival_carries_null() -> None:
    held: State = {"taskId": 9, "title": "new"}
    late = record("task.updated", 1, taskId=9, title="old").event
    assert effect(late, held, held)
    assert effect(late, None, None)
    assert apply_data("task.deleted", held, {"taskId": 9}, at(1)) is None


def test_values_that_python_calls_equal_differ_for_a_client() -> None:
    late = record("task.updated", 2, taskId=9, flag=1).event
    assert effect(late, {"taskId": 9, "flag": True, "updatedAt": at(2)}, {"taskId": 9, "flag": True, "updatedAt": at(2)})


def test_an_update_of_a_task_never_seen_shows_it_and_carries_state_for_clients_that_would_drop_it() -> None:
    update = record("task.updated", 1, taskId=9, title="x")
    shown = task(update)
    assert shown == {
        "taskId": 9,
        "title": "x",
        "description": None,
        "completed": None,
        "priority": None,
        "due": None,
        "creatorId": None,
        "assigneeId": None,
        "createdAt": None,
        "updatedAt": at(1),
    }
    assert effect(update.event, None, shown)


def test_a_deleted_task_stays_deleted_through_updates_and_comes_back_clean_when_created_again() -> None:
    old, gone = record("task.created", 1, taskId=9, title="old", due="d"), record("task.deleted", 2, taskId=9)
    update, again = record("task.updated", 3, taskId=9, title="new"), record("task.created", 4, taskId=9)
    assert task(gone) is None
    assert task(old, gone, update) is None
    back = task(old, gone, again)
    assert back is not None
    assert (back["title"], back["due"], back["createdAt"]) == (None, None, at(4))
    back = task(again, update, gone, old)
    assert back is not None
    assert (back["title"], back["due"]) == ("new", None)


def test_a_deleted_team_hides_its_older_tasks_and_members() -> None:
    there, gone = record("task.created", 1, taskId=9), record("team.deleted", 2)
    assert task(there) is not None
    assert task(there, gone) is None
    assert task(record("task.updated", 3, taskId=9), gone) is None
    assert task(record("task.created", 3, taskId=9), gone) is not None
    assert role(record("team.member_added", 1, userId=3, role="member"), gone) is None
    assert role(record("team.member_added", 3, userId=3, role="member"), gone) == "member"


def test_what_a_task_was_told_before_its_team_was_deleted_stays_hidden_when_it_is_created_again() -> None:
    back = task(record("task.updated", 1, taskId=9, due="old"), record("team.deleted", 2), record("task.created", 3, taskId=9, title="x"))
    assert back is not None
    assert (back["title"], back["due"]) == ("x", None)


def test_at_one_instant_a_deletion_is_the_last_word() -> None:
    assert task(record("task.deleted", 1, taskId=9), record("task.created", 1, taskId=9, offset=99)) is None
    assert role(record("team.member_removed", 1, userId=3), record("team.member_added", 1, userId=3, role="member", offset=99)) is None


def test_a_payloads_own_times_are_not_taken_for_ours_and_clients_are_told() -> None:
    created = record("task.created", 1, taskId=9, createdAt="yesterday")
    shown = task(created)
    assert shown is not None
    assert shown["createdAt"] == at(1)
    assert effect(created.event, None, shown)


def test_a_team_exists_from_its_first_event_of_any_kind() -> None:
    nothing_but_the_id = {"teamId": TEAM, "name": None, "description": None, "ownerId": None, "updatedAt": None}
    assert team() is None
    assert team(record("task.updated", 1, taskId=9)) == nothing_but_the_id
    assert team(record("team.member_removed", 1, userId=3)) == nothing_but_the_id


def test_a_deleted_team_exists_again_when_created_later_or_when_it_has_a_member() -> None:
    gone = record("team.deleted", 2)
    assert team(gone) is None
    assert team(gone, record("team.updated", 3, name="x")) is None
    assert team(gone, record("team.created", 1, ownerId=3, name="x")) is None
    assert team(gone, record("team.created", 3, ownerId=3)) is not None
    assert team(gone, record("team.created", 3, ownerId=3), record("team.member_removed", 4, userId=3)) is not None
    old_name = record("team.updated", 1, name="old")
    assert team(old_name, gone, record("team.member_added", 3, userId=3, role="member")) == {
        "teamId": TEAM,
        "name": None,
        "description": None,
        "ownerId": None,
        "updatedAt": None,
    }


def test_a_change_of_owner_or_of_role_makes_no_member() -> None:
    assert role(record("team.updated", 1, ownerId=3)) is None
    assert role(record("team.member_role_updated", 1, userId=3, role="admin")) is None


def test_a_role_given_before_the_membership_was_known_counts_once_it_is() -> None:
    promoted, added = record("team.member_role_updated", 2, userId=3, role="admin"), record("team.member_added", 1, userId=3, role="member")
    removed = record("team.member_removed", 3, userId=3)
    assert role(promoted, added) == "admin"
    assert role(promoted, added, removed) is None
    assert role(promoted, added, removed, record("team.member_added", 4, userId=3, role="guest")) == "guest"


def test_a_team_created_late_resets_when_its_owners_membership_is_not_what_the_data_says() -> None:
    assert created_resets(carries_state=False, owner_before=None, owner_after=None)
    assert created_resets(carries_state=True, owner_before=None, owner_after="owner")
    assert created_resets(carries_state=True, owner_before="admin", owner_after="admin"), "some clients apply the data"
    assert created_resets(carries_state=False, owner_before="owner", owner_after="admin")
    assert not created_resets(carries_state=True, owner_before="owner", owner_after="owner")
    assert not created_resets(carries_state=False, owner_before=None, owner_after="owner")


def test_a_team_deleted_late_resets_only_when_it_hides_something_of_a_team_that_lives_on() -> None:
    alive: State = {"teamId": TEAM}
    assert deleted_resets(None, "1", alive)
    assert not deleted_resets("2", "2", alive)
    assert not deleted_resets(None, "1", None)


def test_a_user_is_known_by_user_created() -> None:
    created = UnifiedEvent("user:3", "e", "user.created", None, None, at(1), {"userId": 3, "email": "a@example.org"})
    rows = folded([Record(created, Source("user.created", 0, 0, 1000))])
    assert user_state(3, rows["user/3"]) == {"userId": 3, "username": None, "email": "a@example.org"}
    assert user_state(3, None) is None


def test_a_user_created_late_carries_the_user_as_it_is_and_one_in_order_carries_nothing() -> None:
    def created(second: int, **data: Any) -> Record:
        event = UnifiedEvent("user:3", "e", "user.created", None, None, at(second), {"userId": 3, **data})
        return Record(event, Source("user.created", 0, second, 1000))

    def carried(before: list[Record], one: Record) -> State | None:
        row, now = (folded(records).get("user/3") for records in (before, [*before, one]))
        held, after = user_state(3, row), user_state(3, now)
        return after if effect(one.event, held, after) else None

    new, late = created(5, username="new", email="n@example.org"), created(2, username="old", email="o@example.org")
    assert carried([], new) is None
    assert carried([late], new) is None, "its data says it all"
    assert carried([new], late) == {"userId": 3, "username": "new", "email": "n@example.org"}
    partly = created(2, username="old", email="o@example.org")
    assert carried([created(5, username="new")], partly) == {"userId": 3, "username": "new", "email": "o@example.org"}
    assert carried([created(2, username="old")], created(5, email="n@example.org")) is None, "what it does not name stays"


def test_applying_a_user_event_puts_what_it_names_in_place() -> None:
    first = apply_data("user.created", None, {"userId": 3, "username": "ann", "phone": "x"}, at(1))
    assert first == {"userId": 3, "username": "ann", "email": None}
    assert apply_data("user.created", first, {"userId": 3, "email": "a@example.org"}, at(2)) == {
        "userId": 3,
        "username": "ann",
        "email": "a@example.org",
    }


def test_an_event_later_than_all_that_is_known_of_its_task_tells_all() -> None:
    created, updated, late = record("task.created", 1, taskId=9), record("task.updated", 3, taskId=9), record("task.updated", 2, taskId=9)
    key = f"task/{TEAM}/9"
    none, first, second, third = (folded(records).get(key) for records in ([], [created], [created, updated], [created, updated, late]))
    assert first is not None
    assert second is not None
    assert third is not None
    assert tells_all(created.event, none, first, None)
    assert tells_all(updated.event, first, second, None)
    assert not tells_all(late.event, second, third, None)
    assert not tells_all(updated.event, none, second, None)
    assert not tells_all(updated.event, first, second, at(0))
    assert not tells_all(record("task.updated", 3, taskId=9, updatedAt="x").event, first, second, None)
    assert not tells_all(record("task.deleted", 3, taskId=9).event, first, second, None)


@given(arrivals())
def test_an_event_that_tells_all_has_an_effect_and_needs_no_state(arrival: tuple[list[Record], list[Record]]) -> None:
    rows: dict[str, Row] = {}
    for one in arrival[1]:
        event = one.event
        says = fold.deltas(event, one.source)
        before = dict(rows)
        rows.update(fold.apply(rows.get, says))
        key, task_id = says[0][0], event.data.get("taskId")
        if task_id is None:
            continue
        deleted = None if event.team_id is None else deleted_rank(rows.get(f"team/{event.team_id}"))
        if tells_all(event, before.get(key), rows[key], deleted):
            then, now = task_state(task_id, before.get(key), deleted), task_state(task_id, rows[key], deleted)
            assert not effect(event, then, now)
            assert then != now
