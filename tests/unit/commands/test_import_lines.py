"""Lines of an import file: entities that existed before, as events."""

from __future__ import annotations

import orjson
import pytest

from app.commands.import_lines import LONG_AGO, BadLine, event_of
from app.domain.errors import Code


def line(**members: object) -> bytes:
    return orjson.dumps(members)


def test_a_team_becomes_its_creation_by_its_owner() -> None:
    topic, value = event_of(line(kind="team", teamId=42, ownerId=7, name="N", createdAt="2020-01-02T03:04:05Z"))
    assert topic == "team.created"
    assert value == {
        "eventType": "team.created",
        "eventId": "import-team-42",
        "teamId": 42,
        "actorId": 7,
        "ownerId": 7,
        "timestamp": "2020-01-02T03:04:05Z",
        "payload": {"name": "N"},
    }


@pytest.mark.parametrize(
    ("entity", "topic", "event_id"),
    [
        (line(kind="member", teamId=42, userId=8, role="admin"), "team.member_added", "import-member-42-8"),
        (line(kind="user", userId=8, username="A", email="a@example.org"), "user.created", "import-user-8"),
        (line(kind="task", taskId=1, teamId=42, creatorId=7, title="T"), "task.created", "import-task-42-1"),
        (line(kind="task", taskId=1, creatorId=7), "task.created", "import-own-task-7-1"),
    ],
)
def test_each_kind_has_its_event_with_an_id_that_is_always_the_same(entity: bytes, topic: str, event_id: str) -> None:
    assert event_of(entity)[0] == topic
    assert event_of(entity)[1]["eventId"] == event_id
    assert event_of(entity) == event_of(entity)


def test_what_does_not_say_when_it_was_made_was_made_before_everything_else() -> None:
    assert event_of(line(kind="user", userId=8))[1]["timestamp"] == LONG_AGO


def test_unknown_members_are_kept() -> None:
    assert event_of(line(kind="task", taskId=1, teamId=2, actorId=3, labels=["x"], completed=True))[1]["payload"] == {
        "labels": ["x"],
        "completed": True,
    }


def test_every_fault_of_a_line_is_told() -> None:
    with pytest.raises(BadLine) as caught:
        event_of(line(kind="task", taskId="1", teamId=2, creatorId=3, title=4, createdAt="then"))
    assert {fault.field for fault in caught.value.faults} == {"taskId", "payload.title", "timestamp"}


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"{", Code.NOT_JSON),
        (b"[]", Code.NOT_AN_OBJECT),
        (b"\xff", Code.NOT_UTF8),
        (line(teamId=1), Code.WRONG_TYPE),
        (line(kind=["team"]), Code.WRONG_TYPE),
        (line(kind="project", id=1), Code.WRONG_TYPE),
        (line(kind="team", teamId=1), Code.MISSING_FIELD),
    ],
)
def test_what_is_no_entity_is_refused(bad: bytes, code: Code) -> None:
    with pytest.raises(BadLine) as caught:
        event_of(bad)
    assert [fault.code for fault in caught.value.faults] == [code]
