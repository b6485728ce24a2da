from __future__ import annotations

from typing import Any, get_args

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.events import MAX_ID
from delivery.listener import GapReason, LeftReason
from delivery.presence import MAX_ONLINE, Changed, Count, Online
from tests.unit.web.sockets.document import schema_of
from web.sockets import messages
from web.sockets.messages import MAX_MEMBERS, PART_BYTES, ErrorCode, team_snapshot, user_snapshot

POSITION = "000000000000002a-0123456789abcdef-fedcba9876543210"
TEAM = {"teamId": 42, "name": "n", "description": None, "ownerId": 7, "updatedAt": "2026-11-23T10:00:00.123456Z"}
USER = {"userId": 7, "username": "u", "email": "u@example.org"}


def task(task_id: int, title: str | None = None) -> dict[str, Any]:
    fields = dict.fromkeys(("description", "completed", "priority", "due", "creatorId", "assigneeId", "createdAt", "updatedAt"))
    return {"taskId": task_id, "title": title, **fields}


def member(user_id: int) -> dict[str, Any]:
    return {"userId": user_id, "role": "member"}


def said(message: bytes, schema: str) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(message)
    assert schema_of(found) == schema
    return found


def test_welcome() -> None:
    assert said(messages.welcome("s-1", 7, {43, 42}, 25, "0.1.0"), "Welcome") == {
        "type": "welcome",
        "session": "s-1",
        "userId": 7,
        "teams": [42, 43],
        "heartbeat": 25,
        "version": "0.1.0",
    }


@pytest.mark.parametrize("command_id", [0, -5, MAX_ID, "", "x" * 64])
def test_replies_carry_the_commands_id(command_id: int | str) -> None:
    assert said(messages.reply_ok(command_id), "Reply") == {"type": "reply", "id": command_id, "ok": True}
    assert said(messages.pong(command_id), "Pong") == {"type": "pong", "id": command_id}


def test_the_reply_to_subscribe_says_where_it_begins_and_which_teams_it_does_not_get() -> None:
    found = said(messages.reply_subscribed(2, {42: POSITION, "me": POSITION}, {9, 5}), "Reply")
    assert found == {"type": "reply", "id": 2, "ok": True, "positions": {"42": POSITION, "me": POSITION}, "refused": [5, 9]}


@pytest.mark.parametrize("code", ErrorCode)
def test_refusals(code: ErrorCode) -> None:
    assert said(messages.reply_error("a", code, "why"), "Reply") == {
        "type": "reply",
        "id": "a",
        "ok": False,
        "error": {"code": code.value, "message": "why"},
    }
    assert said(messages.error(code, "why"), "Error") == {"type": "error", "code": code.value, "message": "why"}


@pytest.mark.parametrize("reason", get_args(GapReason))
def test_gaps(reason: GapReason) -> None:
    assert said(messages.team_gap(42, reason), "Gap") == {"type": "gap", "teamId": 42, "reason": reason}
    assert said(messages.user_gap(7, reason), "Gap") == {"type": "gap", "userId": 7, "reason": reason}


@pytest.mark.parametrize("reason", get_args(LeftReason))
def test_joined_and_left(reason: LeftReason) -> None:
    assert said(messages.joined(43), "Joined") == {"type": "joined", "teamId": 43}
    assert said(messages.left(43, reason), "Left") == {"type": "left", "teamId": 43, "reason": reason}


@pytest.mark.parametrize("seconds", [0, 12])
def test_delayed(seconds: int) -> None:
    assert said(messages.delayed(seconds), "Delayed") == {"type": "delayed", "seconds": seconds}


def test_presence_lists_who_is_online_and_then_who_came_and_went() -> None:
    assert said(messages.presence(Online(42, (7, 8))), "Presence") == {"type": "presence", "teamId": 42, "online": [7, 8]}
    assert said(messages.presence(Changed(42, (9,), ())), "Presence") == {"type": "presence", "teamId": 42, "joined": [9], "left": []}


def test_presence_of_very_many_is_a_number() -> None:
    assert said(messages.presence(Count(42, MAX_ONLINE + 1)), "Presence") == {"type": "presence", "teamId": 42, "count": 1001}


# --- snapshots


def test_a_small_team_is_one_part() -> None:
    parts = team_snapshot(42, POSITION, TEAM, [member(8), member(7)], [task(2), task(1)])
    assert [said(part, "TeamSnapshot") for part in parts] == [
        {
            "type": "snapshot",
            "teamId": 42,
            "position": POSITION,
            "part": 1,
            "parts": 1,
            "team": TEAM,
            "members": [member(7), member(8)],
            "tasks": [task(1), task(2)],
        }
    ]


def test_a_user_has_no_members() -> None:
    parts = user_snapshot(7, POSITION, USER, [task(1)])
    assert [said(part, "UserSnapshot") for part in parts] == [
        {"type": "snapshot", "userId": 7, "position": POSITION, "part": 1, "parts": 1, "user": USER, "tasks": [task(1)]}
    ]


def test_what_nobody_has_heard_of_is_null() -> None:
    assert said(user_snapshot(7, POSITION, None, [])[0], "UserSnapshot")["user"] == {"userId": 7, "username": None, "email": None}
    assert said(team_snapshot(42, POSITION, None, [], [])[0], "TeamSnapshot")["team"] == {**dict.fromkeys(TEAM), "teamId": 42}


@pytest.mark.parametrize(("count", "listed"), [(MAX_MEMBERS, True), (MAX_MEMBERS + 1, False)])
def test_of_very_many_members_each_part_has_the_number(count: int, listed: bool) -> None:
    parts = team_snapshot(42, POSITION, TEAM, [member(number) for number in range(1, count + 1)], [task(1), task(2)], max_bytes=400)
    for part in parts:
        found = said(part, "TeamSnapshot")
        assert ("members" in found, found.get("membersTotal")) == (listed, None if listed else count)
    assert len(parts) > 1


def test_a_long_task_has_a_part_of_its_own() -> None:
    parts = [said(part, "TeamSnapshot") for part in team_snapshot(42, POSITION, TEAM, [], [task(1), task(2, "x" * PART_BYTES), task(3)])]
    assert [[one["taskId"] for one in part["tasks"]] for part in parts] == [[1], [2], [3]]


def test_a_long_task_at_the_start_is_behind_no_empty_part() -> None:
    parts = [said(part, "TeamSnapshot") for part in team_snapshot(42, POSITION, TEAM, [], [task(1, "x" * PART_BYTES)])]
    assert [[one["taskId"] for one in part["tasks"]] for part in parts] == [[1]]


@pytest.mark.parametrize("length", [PART_BYTES, PART_BYTES // 8])
def test_a_long_team_is_said_once(length: int) -> None:
    team = {**TEAM, "description": "x" * length}
    parts = [said(part, "TeamSnapshot") for part in team_snapshot(42, POSITION, team, [], [task(1, "x" * (PART_BYTES - 1000))])]
    assert [part.get("team") for part in parts] == [team, None]
    assert [part["tasks"] for part in parts] == [[], [task(1, "x" * (PART_BYTES - 1000))]]


def test_members_too_go_behind_a_team_that_fills_its_part() -> None:
    team = {**TEAM, "description": "x" * PART_BYTES}
    parts = [said(part, "TeamSnapshot") for part in team_snapshot(42, POSITION, team, [member(7)], [task(1)])]
    assert [part.get("team") for part in parts] == [team, None]
    assert (parts[1]["members"], parts[1]["tasks"]) == ([member(7)], [task(1)])


def test_a_short_team_is_in_every_part() -> None:
    parts = team_snapshot(42, POSITION, TEAM, [], [task(number, "x" * 1000) for number in range(1, 1001)])
    assert len(parts) == 5
    assert all(said(part, "TeamSnapshot")["team"] == TEAM for part in parts)


def test_parts_are_as_full_as_they_can_be() -> None:
    parts = team_snapshot(42, POSITION, TEAM, [], [task(number, "x" * 1000) for number in range(1, 1001)])
    longest_task = len(orjson.dumps(task(1000, "x" * 1000))) + 1
    assert all(PART_BYTES - longest_task - 16 <= len(part) <= PART_BYTES for part in parts[:-1])


@pytest.mark.parametrize(("count", "max_bytes"), [*((39, max_bytes) for max_bytes in range(800, 860)), (MAX_MEMBERS, 100_000)])
def test_no_part_is_longer_than_it_may_be(count: int, max_bytes: int) -> None:
    members, tasks = [member(number) for number in range(1, count + 1)], [task(number) for number in range(1, 20)]
    parts = team_snapshot(42, POSITION, TEAM, members, tasks, max_bytes=max_bytes)
    assert len(parts) > 1
    assert max(map(len, parts)) <= max_bytes


IDS = st.integers(1, MAX_ID)
TASKS = st.dictionaries(IDS, st.text(st.characters(codec="utf-8"), max_size=300) | st.none(), max_size=30)


@settings(deadline=None)  # a busy machine is not what is tested
@given(IDS, st.frozensets(IDS, max_size=30), TASKS, st.text(st.characters(codec="utf-8"), max_size=300), st.integers(300, 2000))
def test_parts_joined_are_the_whole(team_id: int, users: frozenset[int], titles: dict[int, str | None], name: str, max_bytes: int) -> None:
    team = {**TEAM, "teamId": team_id, "name": name}
    tasks = [task(task_id, title) for task_id, title in titles.items()]
    encoded = team_snapshot(team_id, POSITION, team, [member(user) for user in users], tasks, max_bytes=max_bytes)
    parts = [said(part, "TeamSnapshot") for part in encoded]

    assert [one for part in parts for one in part["members"]] == [member(user) for user in sorted(users)]
    assert [one for part in parts for one in part["tasks"]] == sorted(tasks, key=lambda one: int(one["taskId"]))
    assert [(part["part"], part["parts"], part["position"]) for part in parts] == [
        (number, len(parts), POSITION) for number in range(1, len(parts) + 1)
    ]
    assert parts[0]["team"] == team
    for raw, part in zip(encoded, parts, strict=True):
        assert raw == orjson.dumps(part)
        assert len(raw) <= max_bytes or len(part["members"]) + len(part["tasks"]) <= 1
