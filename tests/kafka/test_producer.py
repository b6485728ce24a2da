"""Events that services write, on a real broker."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.domain.decode import decode
from app.domain.events import Source
from app.kafka.embedded_broker import EmbeddedKafka
from app.kafka.partitioner import partition_of
from app.kafka.topics import ensure
from app.producer import Delivered, Events, InvalidEvent, SendFailed
from app.settings import Settings


@pytest.fixture(scope="module")
def settings(broker: EmbeddedKafka) -> Settings:
    settings = Settings(_env_file=None, kafka_brokers=(broker.bootstrap,), replication_factor=1)
    asyncio.run(ensure(settings))
    return settings


@pytest.fixture(scope="module")
def partitions(settings: Settings) -> int:
    """Of the topic that the tests look at; other suites may have made it."""
    return asyncio.run(ensure(settings))["task.created"]


@pytest.fixture
async def events(settings: Settings) -> AsyncIterator[Events[Delivered]]:
    async with Events(settings) as events:
        yield events


async def record_at(settings: Settings, report: Delivered) -> ConsumerRecord[bytes, bytes]:
    """The record that a report names."""
    tp = TopicPartition(report.topic, report.partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=list(settings.kafka_brokers))
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, report.offset)
        found = await consumer.getmany(tp, timeout_ms=10_000, max_records=1)
        return found[tp][0]
    finally:
        await consumer.stop()


def event_id_of(record: ConsumerRecord[bytes, bytes]) -> str:
    """The id that the service gives the event of a record."""
    return decode(record.value, record.headers, Source(record.topic, record.partition, record.offset, record.timestamp)).event.event_id


async def test_the_report_has_the_event_id_that_the_service_will_give(settings: Settings, events: Events[Delivered]) -> None:
    report = await events.task_created(task_id=1, team_id=70042, actor_id=7, title="T")
    record = await record_at(settings, report)
    assert record.timestamp_type == 1  # the broker's
    assert report.event_id == event_id_of(record)
    assert record.key == b"task:1"


async def test_an_own_event_id_is_the_reports(settings: Settings, events: Events[Delivered]) -> None:
    report = await events.task_created(task_id=1, team_id=70042, actor_id=7, event_id="mine")
    assert report.event_id == "mine" == event_id_of(await record_at(settings, report))


async def test_events_of_a_team_share_the_partition_that_java_would_choose_for_its_key(events: Events[Delivered], partitions: int) -> None:
    reports = [await events.task_created(task_id=task, team_id=team, actor_id=7) for team in (70042, 70043, 70044) for task in (1, 2, 3)]
    assert [report.partition for report in reports] == [
        partition_of(f"team:{team}".encode(), partitions) for team in (70042, 70043, 70044) for _ in range(3)
    ]
    assert len({report.partition for report in reports}) > 1


async def test_a_batch_on_a_topic_with_producers_times_gets_the_right_ids(settings: Settings) -> None:
    # One record's time is another than its neighbour's in the same batch; a topic that is not ours may keep both.
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.kafka_brokers))
    await admin.start()
    try:
        await admin.create_topics([NewTopic("foreign", 1, 1, topic_configs={"message.timestamp.type": "CreateTime"})])
    finally:
        await admin.close()
    async with Events(settings, wait=False, linger_ms=300) as events:
        first = await events.send_value("foreign", b"{}")
        begun = time.time_ns() // 1_000_000
        while time.time_ns() // 1_000_000 == begun:  # noqa: ASYNC110  (the clock sets no event)
            await asyncio.sleep(0)
        second = await events.send_value("foreign", b"{}")
    for report in (first.result(), second.result()):
        record = await record_at(settings, report)
        assert report.event_id == f"foreign-0-{record.offset}-{record.timestamp}"
    assert first.result().event_id.split("-")[-1] != second.result().event_id.split("-")[-1]


async def test_headers_are_written(settings: Settings, events: Events[Delivered]) -> None:
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    report = await events.team_deleted(team_id=70999, actor_id=7, headers=[("traceparent", trace)])
    assert list((await record_at(settings, report)).headers) == [("traceparent", trace)]


async def test_what_is_refused_is_not_in_the_log(settings: Settings, events: Events[Delivered]) -> None:
    before = await events.task_created(task_id=1, team_id=70042, actor_id=7)
    with pytest.raises(InvalidEvent):
        await events.task_created(task_id=0, team_id=70042, actor_id=7)
    assert (await events.task_created(task_id=1, team_id=70042, actor_id=7)).offset == before.offset + 1


async def test_not_waiting_reports_each_event_in_order(settings: Settings) -> None:
    heard: list[Delivered | SendFailed] = []
    async with Events(settings, wait=False, linger_ms=5, on_delivery=heard.append) as events:
        futures = [await events.task_updated(task_id=1, team_id=70077, actor_id=7, title=str(n)) for n in range(1000)]
        assert events.in_flight > 0
    reports = [future.result() for future in futures]
    first = reports[0].offset
    assert [report.offset for report in reports] == list(range(first, first + 1000))
    assert heard == reports
    assert orjson.loads((await record_at(settings, reports[500])).value or b"")["payload"] == {"title": "500"}


async def test_not_more_than_max_in_flight_are_under_way(settings: Settings) -> None:
    most = 0
    async with Events(settings, wait=False, max_in_flight=10) as events:
        for n in range(200):
            await events.task_updated(task_id=1, team_id=70077, actor_id=7, title=str(n))
            most = max(most, events.in_flight)
    assert most == 10


@pytest.mark.parametrize("options", [{"acks": 1}, {"acks": "all", "idempotent": False}, {"compression": "zstd"}, {"compression": "snappy"}])
async def test_each_way_of_writing_writes(settings: Settings, options: dict[str, Any]) -> None:
    async with Events(settings, **options) as events:
        report = await events.team_created(team_id=70042, actor_id=7, name="N")
    assert report.event_id == event_id_of(await record_at(settings, report))


async def test_an_address_is_enough(broker: EmbeddedKafka, settings: Settings) -> None:
    async with Events(broker.bootstrap) as events:
        assert (await events.user_created(user_id=5, username="A")).topic == "user.created"


async def test_an_unknown_topic_is_said_within_seconds(events: Events[Delivered]) -> None:
    started = time.monotonic()
    with pytest.raises(SendFailed, match=r"no\.such\.topic: .*do not know"):
        await events.send_value("no.such.topic", b"x")
    assert time.monotonic() - started < 10


async def test_what_the_broker_refuses_is_raised_by_the_flush_once(settings: Settings) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.kafka_brokers))
    await admin.start()
    try:
        await admin.create_topics([NewTopic("narrow", 1, 1, topic_configs={"max.message.bytes": "1000"})])
    finally:
        await admin.close()
    async with Events(settings, wait=False) as events:
        report = await events.send_value("narrow", b"x" * 5000)
        with pytest.raises(SendFailed, match="1 events were not delivered"):
            await events.flush()
        assert isinstance(report.exception(), SendFailed)
        await events.flush()


async def test_the_end_of_the_block_raises_what_failed(settings: Settings) -> None:
    with pytest.raises(SendFailed, match="not delivered"):
        async with Events(settings, wait=False) as events:
            await events.send_value("narrow", b"x" * 5000)


async def test_an_error_in_the_block_is_not_hidden_by_a_failed_send(settings: Settings) -> None:
    async def failing() -> None:
        async with Events(settings, wait=False) as events:
            await events.send_value("narrow", b"x" * 5000)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
