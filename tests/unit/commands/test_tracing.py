"""What a trace looks for, and what it takes for the same event."""

from __future__ import annotations

from typing import Any

import click
import pytest

from app.commands import snapshot_file
from app.commands.keys import key_of, user_id_of
from app.commands.snapshot_file import Snapshot
from app.commands.team_activity import Activity
from app.commands.tracing import _same, is_of, outcome, source_of_default
from app.domain.events import Source, UnifiedEvent, encode
from app.domain.rows import Row
from app.domain.unified import UnifiedRecord, headers_for
from app.errors import TeamcastError
from app.kafka.record import Record
from notifications.rows import State, Status

MS = 1_795_428_000_000


def record(event_id: str, source: Source, offset: int = 0, key: str = "team:42", **data: Any) -> Record:
    event = UnifiedEvent(key, event_id, "task.updated", 42, 7, "2026-11-23T10:00:00.000000Z", {"taskId": 1, "teamId": 42, **data})
    return Record("team.events", 3, offset, MS, 1, key.encode(), encode(event), headers_for(source))


def match(one: Record, event_id: str) -> UnifiedRecord:
    found = is_of(event_id, None)(one)
    assert found is not None
    return found


def test_an_id_of_the_usual_form_names_its_record() -> None:
    assert source_of_default(f"team.member_added-3-17-{MS}") == Source("team.member_added", 3, 17, MS)


@pytest.mark.parametrize("event_id", ["mine", "task.created-3-17", "my-topic-1-2-3", "task.created-a-1-2", "task.created-1-2--3", ""])
def test_others_are_a_producers_own(event_id: str) -> None:
    assert source_of_default(event_id) is None


def test_a_record_is_found_by_its_events_id() -> None:
    assert is_of('m"ine', None)(record('m"ine', Source("task.updated", 0, 1, MS))) is not None
    assert is_of("mine", None)(record("other", Source("task.updated", 0, 1, MS), title="mine")) is None


def test_a_record_is_found_by_its_place_whatever_the_event_calls_itself() -> None:
    source = Source("task.updated", 2, 5, MS)
    assert is_of(f"task.updated-2-5-{MS}", source)(record("mine", source)) is not None


def test_a_record_of_a_topic_that_was_made_anew_is_another_event() -> None:
    named = Source("task.updated", 2, 5, MS - 1)
    assert is_of(f"task.updated-2-5-{MS - 1}", named)(record("mine", Source("task.updated", 2, 5, MS))) is None


def test_a_repeat_has_the_same_source_or_the_same_own_id_and_content() -> None:
    one = record("mine", Source("task.updated", 0, 1, MS), 5, title="x")
    again = record("mine", Source("task.updated", 0, 9, MS), 6, title="x")
    other = record("mine", Source("task.updated", 0, 9, MS), 7, title="y")
    assert _same((one, match(one, "mine")), (again, match(again, "mine")))
    assert not _same((one, match(one, "mine")), (other, match(other, "mine")))


@pytest.mark.parametrize(("text", "key"), [("42", "team:42"), ("team:42", "team:42"), ("user:7", "user:7")])
def test_keys(text: str, key: str) -> None:
    assert key_of(text) == key


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "user:", "9007199254740992", "42 "])
def test_what_is_no_id(text: str) -> None:
    with pytest.raises(click.UsageError):
        key_of(text)
    with pytest.raises(click.UsageError):
        user_id_of(text)


def test_busy_teams_are_counted_and_users_streams_are_not() -> None:
    found = Activity()
    for key, count in (("team:1", 1), ("team:2", 3), ("user:7", 9)):
        for offset in range(count):
            found.add(record("e", Source("task.updated", 0, offset, MS), offset, key))
    assert list(found.hottest()) == [2, 1]
    assert (found.teams[2].events, found.teams[2].last_ms, found.teams[2].partition) == (3, MS, 3)


class TestSnapshotFiles:
    def test_come_back_as_they_were(self, tmp_path: Any) -> None:
        snapshot = Snapshot(
            "team:42", "ab" * 8, 7, 5, "cd" * 8, "2026-11-23T10:00:00Z", {"team/42": Row({"seen": ""}, {"name": ("r", "ä")})}
        )
        (tmp_path / "s.json").write_bytes(snapshot_file.dump(snapshot))
        assert snapshot_file.load(str(tmp_path / "s.json")) == snapshot

    @pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format":1}', b'{"format":1,"rows":[]}', b'{"format":2}', b"\xff"])
    def test_what_is_none(self, tmp_path: Any, content: bytes) -> None:
        (tmp_path / "s.json").write_bytes(content)
        with pytest.raises(TeamcastError, match=r"snapshot"):
            snapshot_file.load(str(tmp_path / "s.json"))


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (State(1, Status.SENT, attempts=1), "taken by the mail server at the first try"),
        (State(1, Status.SENT, attempts=3), "taken by the mail server after 3 tries"),
        (State(1, Status.DEAD, attempts=2, error="550 no"), "given up after 2 tries: 550 no"),
        (State(1, Status.WAITING, error="no address yet"), "waits: no address yet"),
        (State(1, Status.EXPIRED), "not sent: the event was too old"),
    ],
)
def test_what_became_of_a_mail_is_said_in_words(state: State, told: str) -> None:
    assert outcome(state) == told
