"""What is written so that a person is forgotten."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson

from app.commands.forgetting import Known, plan
from app.domain.decode import decode, faults
from app.domain.events import Source
from app.domain.fold import apply, deltas
from app.domain.rows import Row, encode

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
NOW_MS = 1_795_428_000_000


def rows_of(*events: tuple[str, dict[str, Any]], onto: dict[str, Row] | None = None) -> dict[str, Row]:
    """Fold source values, as the service would."""
    rows = dict(onto or {})
    for offset, (topic, value) in enumerate(events):
        source = Source(topic, 0, offset, NOW_MS + 1000 + offset)
        rows |= apply(rows.get, deltas(decode(orjson.dumps(value), (), source).event, source))
    return rows


def user(**payload: object) -> tuple[str, dict[str, Any]]:
    return "user.created", {"userId": 7, "timestamp": "2026-11-23T09:00:00Z", "payload": payload}


TASK = ("task.created", {"taskId": 1, "creatorId": 7, "actorId": 7, "timestamp": "2026-11-23T09:00:00Z", "payload": {"title": "secret"}})


def test_every_event_is_valid_and_an_act_of_the_person() -> None:
    made = plan(Known(7, [42, 43], rows_of(user(email="a@example.org", username="Ann"), TASK)), NOW, "forget-7-1")
    assert [topic for topic, _ in made.events] == ["team.member_removed", "team.member_removed", "task.deleted", "user.created"]
    for topic, value in made.events:
        assert faults(topic, orjson.dumps(value)) == []
        assert value.get("actorId", 7) == 7
    assert len({value["eventId"] for _, value in made.events}) == 4


def test_the_rows_tell_nothing_afterwards() -> None:
    before = rows_of(user(email="a@example.org", username="Ann", phone="555", address={"city": "X"}), TASK)
    made = plan(Known(7, [], before), NOW, "f")
    after = rows_of(*made.events, onto=before)
    text = b"".join(encode(row) for row in after.values())
    assert all(word not in text for word in (b"Ann", b"example.org", b"555", b"city", b"secret"))
    assert plan(Known(7, [], after), NOW, "f").events == []


def test_it_wins_over_rows_that_are_newer_than_the_clock() -> None:
    topic, value = user(username="Ann")
    before = rows_of((topic, value | {"timestamp": "2026-11-23T10:04:00Z"}))
    [(_, written)] = plan(Known(7, [], before), NOW, "f").events
    assert written["timestamp"] == "2026-11-23T10:04:00.000001Z"
    assert b"Ann" not in encode(rows_of(("user.created", written), onto=before)["user/7"])


def test_more_fields_than_one_event_may_carry() -> None:
    first, second = ({f"{letter}{n}": "x" for n in range(60)} for letter in "ab")
    before = rows_of(user(**first), user(**second))
    made = plan(Known(7, [], before), NOW, "f")
    assert all(faults(topic, orjson.dumps(value)) == [] for topic, value in made.events)
    assert b'"x"' not in encode(rows_of(*made.events, onto=before)["user/7"])


def test_of_somebody_unknown_there_is_nothing_to_forget() -> None:
    assert plan(Known(7, [], {}), NOW, "f").events == []
