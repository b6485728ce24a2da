"""The inline consumer: a service on the loop of its agents, in which fetching and going back to what is committed never overlap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import faust
import pytest
from aiokafka.errors import KafkaConnectionError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP

from app.kafka.lane import REST_MS, Lane
from app.kafka.record import Record
from app.kafka.transport.driver import Consumer, Transport
from app.kafka.transport.inline import FETCH_BYTES, UNPOSITIONED, InlineConsumer

LIMIT_SECONDS = 5
A, B, LOG = TP("source", 0), TP("source", 1), TP("changelog", 0)
LANES = (Lane(),)


class Kafka:
    """As much of aiokafka's consumer as is used here."""

    def __init__(self, committed: dict[TP, int | None] | None = None) -> None:
        self._committed = committed or {}
        self.did: list[tuple[str, TP, int | None]] = []
        self.ran: list[str] = []
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.refuses: Exception | None = None
        self._fetcher = SimpleNamespace(lanes=())

    async def start(self) -> None:
        self.loops.add(asyncio.get_running_loop())
        if self.refuses is not None:
            raise self.refuses
        self.ran.append("start")

    async def stop(self) -> None:
        self.loops.add(asyncio.get_running_loop())
        self.ran.append("stop")

    def assignment(self) -> set[TopicPartition]:
        return {TopicPartition(tp.topic, tp.partition) for tp in self._committed}

    async def committed(self, tp: TopicPartition) -> int | None:
        return self._committed[TP(tp.topic, tp.partition)]

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.did.append(("seek", TP(tp.topic, tp.partition), offset))

    async def seek_to_beginning(self, *tps: TopicPartition) -> None:
        assert tps, "none means all of them to aiokafka, changelogs too"
        self.did += [("start", TP(tp.topic, tp.partition), None) for tp in tps]


@pytest.fixture
async def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> faust.App:
    app = faust.App("unit", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))
    cast(Any, app).lanes = LANES
    monkeypatch.setattr(type(app.tables), "changelog_topics", {LOG.topic})
    return app


@pytest.fixture
async def thread(app: faust.App) -> InlineConsumer:
    async def nothing(*_args: Any) -> None:
        """Not called."""

    transport = Transport(app.conf.broker_consumer, app)
    return Consumer(transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing)._thread


def stands_on(thread: InlineConsumer, committed: dict[TP, int | None]) -> Kafka:
    kafka = Kafka(committed)
    cast(Any, thread)._consumer = kafka
    return kafka


# --- a service


@pytest.fixture
async def kafka(thread: InlineConsumer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Kafka]:
    """What the service starts and stops; behind it no task is left."""
    made = Kafka()
    monkeypatch.setattr(thread, "_create_consumer", lambda loop: made)
    yield made
    async with asyncio.timeout(LIMIT_SECONDS):
        await thread.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_it_starts_and_stops_on_the_loop_that_it_is_on(thread: InlineConsumer, kafka: Kafka) -> None:
    await thread.start()
    await thread.stop()
    assert kafka.ran == ["start", "stop"]
    assert kafka.loops == {asyncio.get_running_loop()}


async def test_it_starts_once(thread: InlineConsumer, kafka: Kafka) -> None:
    assert await thread.maybe_start()
    assert not await thread.maybe_start()
    assert kafka.ran == ["start"]


async def test_it_stops_once(thread: InlineConsumer, kafka: Kafka) -> None:
    await thread.start()
    await thread.stop()
    await thread.stop()
    assert kafka.ran == ["start", "stop"]


async def test_it_stops_though_it_never_started(thread: InlineConsumer, kafka: Kafka) -> None:
    await thread.stop()
    assert kafka.ran == []


async def test_it_has_no_thread(thread: InlineConsumer, kafka: Kafka) -> None:
    await thread.start()
    assert thread._thread is None
    assert thread.thread_loop is thread.parent_loop is asyncio.get_running_loop()
    assert kafka.ran == ["start"]


async def test_brokers_out_of_reach_are_told_to_who_starts_it(thread: InlineConsumer, kafka: Kafka) -> None:
    kafka.refuses = KafkaConnectionError("nobody there")
    with pytest.raises(KafkaConnectionError):
        await thread.start()


async def test_its_lanes_are_set_before_anything_is_fetched(thread: InlineConsumer, kafka: Kafka) -> None:
    await thread.start()
    assert kafka._fetcher.lanes == LANES


async def test_a_crash_is_its_own_and_of_those_above(thread: InlineConsumer) -> None:
    error = ValueError("no commit")
    await thread.crash(error)
    assert thread.crashed
    assert thread.crash_reason is error


async def test_calls_are_made_here(thread: InlineConsumer) -> None:
    async def call(one: int, *, two: int) -> tuple[int, int, asyncio.Task[Any] | None]:
        return one, two, asyncio.current_task()

    assert await thread.call_thread(call, 1, two=2) == (1, 2, asyncio.current_task())


async def test_what_is_no_coroutine_is_called_too(thread: InlineConsumer) -> None:
    assert await thread.call_thread(cast(Any, lambda one: one + 1), 1) == 2


async def test_what_a_call_raises_comes_to_who_calls(thread: InlineConsumer) -> None:
    async def call() -> None:
        raise KafkaConnectionError

    with pytest.raises(KafkaConnectionError):
        await thread.call_thread(call)


async def test_faust_is_told_nothing_of_how_events_pass(thread: InlineConsumer, caplog: pytest.LogCaptureFixture) -> None:
    thread.verify_event_path(10**9, A)
    assert not caplog.records


async def test_it_fetches_with_our_wait_and_no_more_than_is_soon_worked_on(thread: InlineConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = SimpleNamespace(_fetch_max_wait_ms=1500, _fetch_max_bytes=50 * 2**20)
    monkeypatch.setattr(faust_driver.AIOKafkaConsumerThread, "_create_worker_consumer", lambda _self, _transport: made)
    found = thread._create_worker_consumer(cast(Any, thread.transport))
    assert (found._fetch_max_wait_ms, found._fetch_max_bytes) == (REST_MS, FETCH_BYTES)


# --- going to what is committed


async def test_it_goes_to_what_is_committed_offset_zero_too_and_to_the_logs_start_where_nothing_is(thread: InlineConsumer) -> None:
    kafka = stands_on(thread, {A: 0, B: 12, TP("source", 2): None})
    assert await thread.seek_to_committed() == {A: 0, B: 12}
    assert sorted(kafka.did) == [("seek", A, 0), ("seek", B, 12), ("start", TP("source", 2), None)]


async def test_it_leaves_changelogs_where_they_are(thread: InlineConsumer) -> None:
    kafka = stands_on(thread, {A: 3, LOG: 7, TP("changelog", 1): None})
    assert await thread.seek_to_committed() == {A: 3}
    assert kafka.did == [("seek", A, 3)]


async def test_without_a_source_nothing_is_moved(thread: InlineConsumer) -> None:
    kafka = stands_on(thread, {LOG: None})
    assert await thread.seek_to_committed() == {}
    assert kafka.did == []


# --- fetching


def finds(monkeypatch: pytest.MonkeyPatch) -> tuple[asyncio.Event, asyncio.Event]:
    """Fetches find a record; a fetch has begun, and it may end."""
    began, ends = asyncio.Event(), asyncio.Event()

    async def fetch(_self: Any, *_args: Any, **_more: Any) -> dict[TP, list[Any]]:
        began.set()
        await ends.wait()
        return {A: [Record(A.topic, A.partition, 5, 1500, 1, None, b"x", ())]}

    monkeypatch.setattr(faust_driver.AIOKafkaConsumerThread, "_fetch_records", fetch)
    return began, ends


async def test_what_is_fetched_says_how_often_positions_had_been_set(thread: InlineConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    _began, ends = finds(monkeypatch)
    ends.set()
    stands_on(thread, {A: 0})
    before = await thread._fetch_records(None, set())
    await thread.seek_to_committed()
    after = await thread._fetch_records(None, set())
    assert [record.offset for record in after[A]] == [5]
    assert (before.epoch, after.epoch) == (UNPOSITIONED, 1)
    assert after.epoch == thread.epoch


async def test_going_back_waits_for_the_fetch_that_is_under_way(thread: InlineConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ends = finds(monkeypatch)
    kafka = stands_on(thread, {A: 0})
    fetching = asyncio.ensure_future(thread._fetch_records(None, set()))
    await began.wait()
    seeking = asyncio.ensure_future(thread.seek_to_committed())
    for _ in range(5):
        await asyncio.sleep(0)
    assert kafka.did == []
    ends.set()
    fetched = await fetching
    await seeking
    assert kafka.did == [("seek", A, 0)]
    assert fetched.epoch < thread.epoch, "so it is known as one from before"


async def test_a_fetch_waits_until_positions_are_set(thread: InlineConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    began, ends = finds(monkeypatch)
    ends.set()
    kafka = stands_on(thread, {A: 0})
    asked, answers = asyncio.Event(), asyncio.Event()

    async def committed(_tp: TopicPartition) -> int:
        asked.set()
        await answers.wait()
        return 7

    monkeypatch.setattr(kafka, "committed", committed)
    seeking = asyncio.ensure_future(thread.seek_to_committed())
    await asked.wait()
    fetching = asyncio.ensure_future(thread._fetch_records(None, set()))
    for _ in range(5):
        await asyncio.sleep(0)
    assert not began.is_set()
    answers.set()
    await seeking
    assert (await fetching).epoch == thread.epoch


async def test_a_fetch_that_fails_or_is_cancelled_lets_go_of_its_turn(thread: InlineConsumer, monkeypatch: pytest.MonkeyPatch) -> None:
    began, _ends = finds(monkeypatch)
    stands_on(thread, {A: 0})
    fetching = asyncio.ensure_future(thread._fetch_records(None, set()))
    await began.wait()
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    async with asyncio.timeout(LIMIT_SECONDS):
        await thread.seek_to_committed()
