"""What services write: values, keys, times, and what is refused before it is sent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest

from app.domain.decode import decode, faults
from app.domain.errors import Code
from app.domain.events import Source
from app.domain.topics import SOURCE_TOPICS
from app.errors import Unavailable
from app.kafka.partitioner import partition_of
from app.producer import ABSENT, Events, InvalidEvent
from app.producing.values import Stamps, encode_checked, record_key, routing_key, timestamp_text, value_of
from app.producing.writer import Delivered, Record
from tests.ports import free_port

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


class _Recorded:
    """Stands where the connection is: keeps what would be written."""

    timeout_seconds = 5.0

    def __init__(self) -> None:
        self.records: list[Record] = []

    async def write(self, record: Record) -> asyncio.Future[Delivered]:
        self.records.append(record)
        report = asyncio.get_running_loop().create_future()
        report.set_result(Delivered(record.topic, 0, 0, "id"))
        return report


@pytest.fixture
def events() -> Events[Delivered]:
    events = Events()
    events._writer = _Recorded()  # type: ignore[assignment]
    return events


def written(events: Events[Delivered]) -> list[Record]:
    return events._writer.records  # type: ignore[attr-defined, no-any-return]


def value(events: Events[Delivered]) -> dict[str, Any]:
    found = orjson.loads(written(events)[-1].value or b"")
    assert isinstance(found, dict)
    return found


class TestPartition:
    """The hashes are those of Apache Kafka's own test of Utils.murmur2."""

    @pytest.mark.parametrize(
        ("key", "murmur2"),
        [
            (b"21", -973932308),
            (b"foobar", -790332482),
            (b"a-little-bit-long-string", -985981536),
            (b"a-little-bit-longer-string", -1486304829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
            (b"abc", 479470107),
        ],
    )
    def test_is_the_one_that_java_chooses(self, key: bytes, murmur2: int) -> None:
        for partitions in (1, 7, 8, 2**31 - 1):
            assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


class TestMethods:
    async def test_every_source_topic_has_one_and_writes_what_the_service_takes(self, events: Events[Delivered]) -> None:
        await events.task_created(task_id=1, team_id=42, actor_id=7, creator_id=7, assignee_id=8, title="T", priority=3, due="2026-12-01")
        await events.task_updated(task_id=1, team_id=42, actor_id=7, description=None)
        await events.task_completed(task_id=1, team_id=42, actor_id=7)
        await events.task_deleted(task_id=1, team_id=42, actor_id=7)
        await events.team_created(team_id=42, actor_id=7, owner_id=7, name="N")
        await events.team_updated(team_id=42, actor_id=7, description="D")
        await events.team_deleted(team_id=42, actor_id=7)
        await events.member_added(team_id=42, user_id=8, actor_id=7)
        await events.member_removed(team_id=42, user_id=8, actor_id=7)
        await events.member_role_updated(team_id=42, user_id=8, actor_id=7, role="admin")
        await events.user_created(user_id=8, email="a@example.org", username="A")
        assert {record.topic for record in written(events)} == set(SOURCE_TOPICS)
        for record in written(events):
            assert faults(record.topic, record.value) == []
            # The team's (or user's) events stay in order, for they share the partition that the service routes them to.
            event = decode(record.value, (), Source(record.topic, 0, 0, 2_000_000_000_000)).event
            assert record.routing == event.key.encode()

    async def test_what_is_not_given_is_not_written_and_none_clears(self, events: Events[Delivered]) -> None:
        await events.task_updated(task_id=1, team_id=42, actor_id=7, assignee_id=None, title=None, description=ABSENT)
        assert value(events)["assigneeId"] is None
        assert value(events)["payload"] == {"title": None}
        assert "creatorId" not in value(events)

    async def test_an_assignee_that_is_not_given_stays(self, events: Events[Delivered]) -> None:
        await events.task_updated(task_id=1, team_id=42, actor_id=7, title="T")
        assert "assigneeId" not in value(events)

    async def test_completed_can_be_taken_back(self, events: Events[Delivered]) -> None:
        await events.task_completed(task_id=1, team_id=42, actor_id=7, completed=False)
        assert value(events)["payload"] == {"completed": False}

    async def test_extra_members_reach_the_payload_and_never_replace_named_ones(self, events: Events[Delivered]) -> None:
        await events.task_created(task_id=1, team_id=42, actor_id=7, title="T", extra={"labels": ["a"], "title": "X"})
        assert value(events)["payload"] == {"labels": ["a"], "title": "T"}

    async def test_an_own_event_id_and_time_are_written(self, events: Events[Delivered]) -> None:
        zone = timezone(timedelta(hours=2))
        await events.team_deleted(team_id=42, actor_id=7, event_id="mine-1", timestamp=NOON.astimezone(zone))
        assert value(events)["eventId"] == "mine-1"
        assert value(events)["timestamp"] == "2026-11-23T12:00:00.000000Z"
        assert written(events)[0].event_id == "mine-1"

    async def test_a_time_without_a_zone_is_refused(self, events: Events[Delivered]) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            await events.team_deleted(team_id=42, actor_id=7, timestamp=NOON.replace(tzinfo=None))

    async def test_a_name_that_no_event_has_is_refused(self, events: Events[Delivered]) -> None:
        with pytest.raises(TypeError, match="titel"):
            await events.task_created(task_id=1, team_id=42, actor_id=7, titel="T")  # type: ignore[call-arg]

    async def test_the_keys_name_the_entity(self, events: Events[Delivered]) -> None:
        await events.task_created(task_id=9, team_id=42, actor_id=7)
        await events.member_added(team_id=42, user_id=8, actor_id=7)
        await events.user_created(user_id=8)
        assert [record.key for record in written(events)] == [b"task:9", b"team:42", b"user:8"]

    async def test_a_personal_task_is_routed_to_its_creator(self, events: Events[Delivered]) -> None:
        await events.task_deleted(task_id=9, actor_id=8, creator_id=7)
        assert written(events)[0].routing == b"user:7"

    async def test_a_personal_task_without_a_creator_is_refused(self, events: Events[Delivered]) -> None:
        with pytest.raises(InvalidEvent, match="creatorId"):
            await events.task_deleted(task_id=9, actor_id=8)
        assert written(events) == []


class TestRefusal:
    async def test_every_fault_is_told(self, events: Events[Delivered]) -> None:
        with pytest.raises(InvalidEvent) as caught:
            await events.user_created(user_id=-1, email="no address", timestamp="yesterday", event_id="\n")
        assert {fault.code for fault in caught.value.faults} == {Code.OUT_OF_RANGE, Code.WRONG_TYPE, Code.BAD_TIMESTAMP}
        assert {fault.field for fault in caught.value.faults} == {"userId", "payload.email", "timestamp", "eventId"}
        assert all(fault.message in str(caught.value) for fault in caught.value.faults)

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2**64, "\ud800", object(), {1: 2}])
    async def test_what_json_lacks_is_refused_and_never_written_as_null(self, events: Events[Delivered], bad: object) -> None:
        with pytest.raises(InvalidEvent) as caught:
            await events.task_created(task_id=1, team_id=42, actor_id=7, extra={"deep": [{"x": bad}]})
        assert [fault.code for fault in caught.value.faults] == [Code.UNENCODABLE]

    async def test_a_topic_that_is_no_source_topic_is_refused(self, events: Events[Delivered]) -> None:
        with pytest.raises(ValueError, match=r"team\.events"):
            await events.send("team.events", {})

    async def test_a_record_without_key_and_value_is_refused(self, events: Events[Delivered]) -> None:
        with pytest.raises(ValueError, match="key or a value"):
            await events.send_value("task.created", None)


class TestTimes:
    def test_are_written_in_utc_with_six_digits(self) -> None:
        assert timestamp_text(datetime(2026, 1, 1, 1, 30, 0, 7, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T23:30:00.000007Z"

    def test_of_one_producer_only_go_up(self) -> None:
        stamps = Stamps()
        texts = [stamps.next(moment) for moment in (NOON, NOON, NOON - timedelta(milliseconds=500), NOON + timedelta(seconds=1))]
        assert texts == sorted(set(texts))

    def test_follow_a_clock_that_was_set_right(self) -> None:
        stamps = Stamps()
        stamps.next(NOON)
        assert stamps.next(NOON - timedelta(hours=1)) == timestamp_text(NOON - timedelta(hours=1))


class TestValues:
    def test_a_value_is_checked_as_it_will_be_read(self) -> None:
        built = value_of("team.created", {"teamId": 1, "actorId": 2}, {"name": "N"}, timestamp=timestamp_text(NOON))
        assert orjson.loads(encode_checked("team.created", built)) == built

    @pytest.mark.parametrize("topic", [topic for topic in SOURCE_TOPICS if topic != "user.created"])
    def test_whatever_has_a_team_is_routed_by_it(self, topic: str) -> None:
        assert routing_key(topic, {"teamId": 5, "taskId": 1, "creatorId": 9, "userId": 9}) == "team:5"

    def test_a_team_of_0_is_none(self) -> None:
        personal = {"teamId": 0, "taskId": 1, "creatorId": 9}
        assert (record_key("task.created", personal), routing_key("task.created", personal)) == ("task:1", "user:9")


class TestOptions:
    def test_idempotence_needs_all_acks(self) -> None:
        with pytest.raises(ValueError, match="acks='all'"):
            Events(acks=1, idempotent=True)

    def test_an_unknown_option_is_refused(self) -> None:
        with pytest.raises(TypeError, match="lingering"):
            Events(lingering=3)  # type: ignore[call-overload]

    async def test_no_broker_is_said_at_the_start(self) -> None:
        address = f"127.0.0.1:{free_port()}"
        with pytest.raises(Unavailable, match=address):
            await Events(address).start()

    async def test_sending_before_the_start_is_a_mistake(self) -> None:
        with pytest.raises(RuntimeError, match="not started"):
            await Events().team_deleted(team_id=1, actor_id=1)


def test_a_service_needs_neither_faust_nor_pydantic() -> None:
    program = "import sys, app.producer; print(sorted({'faust', 'mode', 'pydantic', 'rich', 'uvloop'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
