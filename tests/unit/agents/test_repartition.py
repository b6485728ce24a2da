"""Repartition: where each source record goes, and in which order it is sent."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from agents.repartition import MEMBERSHIP_KINDS, Decoded, Repartition, in_order
from app.domain.events import Source, UnifiedEvent
from app.domain.recent_records import LARGEST_BYTES, RecentRecords
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.domain.unified import parse, usual_headers
from app.errors import SendFailed
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing
from app.kafka.partitioner import partition_of
from app.kafka.record import Record
from app.kafka.sender import Sent
from app.kafka.transport.batches import Batch, Part

NOW = 1_795_428_000_000
HEADERS = [("traceparent", b"00-1-2-01"), ("other", b"x")]


def value(**members: Any) -> bytes:
    return orjson.dumps({"taskId": 1, "teamId": 42, "userId": 9, "actorId": 7, "creatorId": 7, "role": "member", **members})


def record(offset: int, body: bytes | None = None, topic: str = "task.updated", partition: int = 0, headers: Any = ()) -> Record:
    return Record(topic, partition, offset, NOW, 1, b"any", value() if body is None else body, headers)


def at(second: int) -> str:
    return f"2026-11-23T10:00:{second:02d}.000000Z"


def timed(offset: int, second: int, partition: int = 0) -> Record:
    return record(offset, value(timestamp=at(second)), partition=partition)


class Broker:
    """Notes what is sent, and refuses when told to."""

    def __init__(self, refuses: str = "") -> None:
        self.sent: list[Outgoing] = []
        self.refuses = refuses

    async def send(self, records: Sequence[Outgoing], *_more: Any) -> Sent:
        for one in records:
            if self.refuses and self.refuses in f"{one.topic} {(one.value or b'').decode()}":
                raise SendFailed("refused")
            self.sent.append(one)
        return Sent()


def repartition_of(broker: Broker, recent: RecentRecords | None = None) -> Repartition:
    return Repartition(broker, DeadLetters(broker), {UNIFIED: 8}, RecentRecords() if recent is None else recent)  # type: ignore[arg-type]


def batch_of(*parts: list[Record]) -> Batch:
    events = [SimpleNamespace(message=SimpleNamespace(parts=[Part(TP(part[0].topic, part[0].partition), part)])) for part in parts]
    return Batch(events)  # type: ignore[arg-type]


def types(sent: list[Outgoing]) -> list[str]:
    return ["dead" if one.topic.endswith(".deadletter") else orjson.loads(one.value or b"")["type"] for one in sent]


def offsets(sent: list[Outgoing]) -> list[tuple[int, int]]:
    """Source partition and offset of unified records, in the order sent."""
    found = [dict(one.headers) for one in sent if one.topic == UNIFIED]
    return [(int(headers["source-partition"] or b""), int(headers["source-offset"] or b"")) for headers in found]


# --- one record


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_an_event_goes_to_its_key_in_the_unified_stream_where_kafkas_partitioner_puts_it(topic: str) -> None:
    routed = repartition_of(Broker()).route([[record(15, topic=topic, partition=3, headers=HEADERS)]], NOW)
    [sent] = routed.events
    key = b"user:9" if topic == "user.created" else b"team:42"
    assert (sent.topic, sent.key, sent.partition) == (UNIFIED, key, partition_of(key, 8))
    assert list(sent.headers) == [
        ("source-topic", topic.encode()),
        ("source-partition", b"3"),
        ("source-offset", b"15"),
        ("source-timestamp", b"%d" % NOW),
        ("v", b"1"),
        ("traceparent", b"00-1-2-01"),
    ]
    body = orjson.loads(sent.value or b"")
    assert list(body) == ["eventId", "type", "teamId", "actorId", "timestamp", "data"]
    assert (body["type"], body["eventId"]) == (topic, f"{topic}-3-15-{NOW}")
    assert routed.dead == []


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
@pytest.mark.parametrize(
    "more", [{}, {"teamId": None, "creatorId": 5}, {"eventId": "own", "payload": {"labels": [1.0, {"b": 1, "a": True}]}}]
)
def test_those_who_read_an_event_back_get_what_was_decoded(topic: str, more: dict[str, Any]) -> None:
    recent = RecentRecords()
    for sent in repartition_of(Broker(), recent).route([[record(15, value(**more), topic=topic, headers=HEADERS)]], NOW).events:
        assert recent.read(sent.value, sent.headers, sent.key) is sent.made
        assert sent.made.unified == parse(sent.value, sent.headers, sent.key)
        assert (sent.made.key, sent.made.headers) == (sent.key, usual_headers(sent.headers))


def test_what_a_large_event_was_made_from_is_not_kept() -> None:
    large = record(15, value(payload={"title": "x" * LARGEST_BYTES}))
    [sent] = repartition_of(Broker()).route([[large]], NOW).events
    assert sent.made is None


def test_a_personal_task_goes_to_its_creator() -> None:
    [sent] = repartition_of(Broker()).route([[record(0, value(teamId=None, creatorId=5))]], NOW).events
    assert sent.key == b"user:5"


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
def test_beside_what_makes_or_ends_a_membership_stands_where_to_look_for_the_user(topic: str) -> None:
    routed = repartition_of(Broker()).route([[record(15, topic=topic)]], NOW)
    if topic not in MEMBERSHIP_KINDS:
        assert routed.candidates == []
        return
    [beside] = routed.candidates
    user = 7 if topic == "team.created" else 9
    assert (beside.topic, beside.key, beside.partition) == (UNIFIED, b"user:%d" % user, partition_of(b"user:%d" % user, 8))
    assert beside.headers == routed.events[0].headers
    body = orjson.loads(beside.value or b"")
    assert (body["type"], body["data"]) == ("_user.membership", {"teamId": 42, "userId": user, "kind": MEMBERSHIP_KINDS[topic]})
    assert body["timestamp"] == orjson.loads(routed.events[0].value or b"")["timestamp"]


def test_the_owner_of_a_new_team_is_where_to_look_before_its_actor() -> None:
    routed = repartition_of(Broker()).route([[record(0, value(ownerId=5), topic="team.created")]], NOW)
    assert routed.candidates[0].key == b"user:5"


# --- dead letters


@pytest.mark.parametrize(
    ("body", "code"), [(None, "null-value"), (b"", "not-json"), (b"[]", "not-an-object"), (b"\xff", "not-utf8"), (b"{}", "missing-field")]
)
def test_a_dead_letter_carries_everything_and_why_and_whence(body: bytes | None, code: str) -> None:
    bad = Record("task.updated", 3, 15, NOW, 1, b"its-key", body, [("h", b"1"), ("h", b"2")])
    routed = repartition_of(Broker()).route([[bad]], NOW)
    [letter] = routed.dead
    assert routed.events == []
    assert (letter.topic, letter.key, letter.value, letter.partition) == ("task.updated.deadletter", b"its-key", body, None)
    headers = list(letter.headers)
    assert headers[:2] == [("h", b"1"), ("h", b"2")]
    assert [name for name, _ in headers[2:]] == ["error", "error-code", "source-topic", "source-partition", "source-offset", "failed-at"]
    why = dict(headers[2:])
    assert 0 < len(why["error"] or b"") <= 1024
    assert (why["error-code"], why["source-topic"], why["source-partition"], why["source-offset"]) == (
        code.encode(),
        b"task.updated",
        b"3",
        b"15",
    )
    assert why["failed-at"] == b"2026-11-23T10:00:00.000000Z"


def test_a_dead_letter_that_is_read_again_keeps_the_headers_that_it_had() -> None:
    first = repartition_of(Broker()).route([[record(0, b"")]], NOW).dead[0]
    again = Record("task.updated", 0, 9, NOW, 1, b"k", b"", list(first.headers))
    letter = repartition_of(Broker()).route([[again]], NOW).dead[0]
    assert list(letter.headers)[: len(first.headers)] == list(first.headers)


def test_what_is_bad_does_not_hold_up_what_follows() -> None:
    routed = repartition_of(Broker()).route([[record(0), record(1, b"bad"), record(2)]], NOW)
    assert offsets(routed.events) == [(0, 0), (0, 2)]
    assert len(routed.dead) == 1


# --- order

_parts = st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=8), min_size=1, max_size=4)


@given(_parts)
def test_records_of_one_partition_keep_their_order_whatever_their_timestamps(parts: list[list[int]]) -> None:
    source = [[timed(offset, second, partition) for offset, second in enumerate(seconds)] for partition, seconds in enumerate(parts)]
    sent = offsets(repartition_of(Broker()).route(source, NOW).events)
    for partition, seconds in enumerate(parts):
        assert [offset for number, offset in sent if number == partition] == list(range(len(seconds)))
    assert len(sent) == sum(map(len, parts))


def test_across_partitions_the_smaller_event_timestamp_goes_first() -> None:
    parts = [[timed(0, 1), timed(1, 5)], [timed(0, 2, 1), timed(1, 3, 1)], [timed(0, 4, 2)]]
    assert offsets(repartition_of(Broker()).route(parts, NOW).events) == [(0, 0), (1, 0), (1, 1), (2, 0), (0, 1)]


@given(_parts)
def test_across_partitions_that_are_in_order_all_are(parts: list[list[int]]) -> None:
    source = [
        [timed(offset, second, partition) for offset, second in enumerate(sorted(seconds))] for partition, seconds in enumerate(parts)
    ]
    sent = [orjson.loads(one.value or b"")["timestamp"] for one in repartition_of(Broker()).route(source, NOW).events]
    assert sent == sorted(sent)


@given(_parts)
def test_the_order_is_that_of_a_merge_of_heads(parts: list[list[int]]) -> None:
    found = [
        [
            Decoded(UnifiedEvent("", "", "", 1, 1, at(second), {}), Source("t", partition, offset, 0), record(0))
            for offset, second in enumerate(seconds)
        ]
        for partition, seconds in enumerate(parts)
    ]
    assert in_order(found) == list(heapq.merge(*found, key=lambda one: one.event.timestamp))


async def test_a_partition_that_comes_in_several_parts_of_a_batch_keeps_its_order_too() -> None:
    broker = Broker()
    await repartition_of(broker).forward(batch_of([timed(0, 9), timed(1, 9)], [timed(0, 5, 1)], [timed(2, 1), timed(3, 1)]))
    assert [offset for partition, offset in offsets(broker.sent) if partition == 0] == [0, 1, 2, 3]


# --- what is sent when


async def test_where_to_look_is_known_before_the_event_that_makes_a_member() -> None:
    broker = Broker()
    added = record(0, topic="team.member_added")
    await repartition_of(broker).forward(batch_of([added, record(1, b"bad", topic="team.member_added")], [record(0, topic="team.created")]))
    assert types(broker.sent) == ["_user.membership", "_user.membership", "dead", "team.member_added", "team.created"]


@pytest.mark.parametrize(("refuses", "before"), [("_user.membership", 0), ("deadletter", 1), ('"type":"team.member_added"', 2)])
async def test_what_is_not_acknowledged_stops_the_batch_and_nothing_goes_before_its_time(refuses: str, before: int) -> None:
    broker = Broker(refuses)
    with pytest.raises(SendFailed):
        await repartition_of(broker).forward(batch_of([record(0, topic="team.member_added"), record(1, b"bad", topic="team.member_added")]))
    assert len(broker.sent) == before
