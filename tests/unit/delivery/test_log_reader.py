"""Reading the log behind the ring: one read a partition for all who ask meanwhile, and nothing that may not be delivered."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError

from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.settings import Settings
from delivery import log_reader
from delivery.log_reader import LogReader
from tests.unit.delivery.fakes import LOG, until
from tests.unit.delivery.fakes import record as event_of
from tests.unit.delivery.test_tail import WINDOW, raw, written
from tests.unit.domain.naive_model import Record

TP = TopicPartition(UNIFIED, 0)


def task(number: int, team: int = 1) -> Record:
    return event_of("task.created", 1, team=team, offset=number, taskId=number + 1, creatorId=1)


class Broker:
    """What the broker holds of one partition, and who reads it."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.begin = 0
        self.fails: Exception | None = None
        self.sought: list[int] = []
        self.stopped = 0


class Consumer:
    """As much of aiokafka's consumer as a reader uses."""

    broker: Broker

    def __init__(self, **options: Any) -> None:
        assert options["auto_offset_reset"] == "none"
        self._next = 0

    async def start(self) -> None:
        if self.broker.fails is not None:
            raise self.broker.fails

    def assign(self, tps: list[TopicPartition]) -> None:
        assert tps == [TP]

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self.broker.begin)

    def seek(self, _tp: TopicPartition, offset: int) -> None:
        self.broker.sought.append(offset)
        self._next = offset

    async def position(self, _tp: TopicPartition) -> int:
        return self._next

    async def getmany(self, _tp: TopicPartition, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        assert timeout_ms > 0
        found = [one for one in self.broker.records if one.offset >= self._next][:3]
        self._next = found[-1].offset + 1
        return {TP: found}

    async def stop(self) -> None:
        self.broker.stopped += 1


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    made = Broker()
    monkeypatch.setattr(Consumer, "broker", made, raising=False)
    monkeypatch.setattr(log_reader, "AIOKafkaConsumer", Consumer)
    monkeypatch.setattr(log_reader, "GATHER_SECONDS", 0.0)
    return made


@pytest.fixture
def reader() -> LogReader:
    return LogReader(Settings(_env_file=None, duplicate_window=WINDOW))


async def offsets(reader: LogReader, first: int, upto: int, key: str = "team:1") -> list[int] | None:
    found = await reader.read(LOG, 0, key, first, upto)
    return None if found is None else [entry.offset for entry in found]


async def test_it_gives_the_records_of_one_key_from_the_first_to_before_the_last(reader: LogReader, broker: Broker) -> None:
    broker.records = [written(task(offset, team=1 + offset % 2), offset) for offset in range(30)]
    assert await offsets(reader, 14, 20) == [14, 16, 18]
    assert await offsets(reader, 14, 20, "team:3") == []
    assert broker.stopped == 2


async def test_internal_records_are_left_out(reader: LogReader, broker: Broker) -> None:
    broker.records = [written(task(0), 0), raw(1, b'{"eventId":"x","type":"_note"}'), written(task(2), 2)]
    assert await offsets(reader, 0, 3) == [0, 2]


async def test_a_repeat_is_left_out_even_of_a_record_before_the_range(reader: LogReader, broker: Broker) -> None:
    broker.records = [written(task(offset), offset) for offset in range(20)]
    broker.records[16] = written(task(12), 16)
    broker.records[18] = written(task(17), 18)
    assert await offsets(reader, 15, 20) == [15, 17, 19]
    assert broker.sought == [15 - WINDOW]


async def test_what_has_expired_is_said_and_a_window_that_has_is_not(reader: LogReader, broker: Broker) -> None:
    broker.begin = 12
    broker.records = [written(task(offset), offset) for offset in range(12, 20)]
    assert await offsets(reader, 11, 20) is None
    assert await offsets(reader, 12, 14) == [12, 13]
    assert broker.sought == [12]


async def test_who_asks_meanwhile_shares_one_read_and_gets_their_own(reader: LogReader, broker: Broker) -> None:
    broker.records = [written(task(offset, team=1 + offset % 2), offset) for offset in range(40)]
    asked = (offsets(reader, 20, 26), offsets(reader, 30, 34), offsets(reader, 25, 30, "team:2"))
    assert list(await asyncio.gather(*asked)) == [[20, 22, 24], [30, 32], [25, 27, 29]]
    assert broker.sought == [20 - WINDOW]


async def test_a_log_out_of_reach_is_unavailable_to_all_who_share_the_read_and_not_to_the_next(reader: LogReader, broker: Broker) -> None:
    broker.records = [written(task(0), 0)]
    broker.fails = KafkaConnectionError("no broker")
    failed = await asyncio.gather(offsets(reader, 0, 1), offsets(reader, 0, 1, "team:2"), return_exceptions=True)
    assert [type(one) for one in failed] == [Unavailable, Unavailable]
    broker.fails = None
    assert await offsets(reader, 0, 1) == [0]


async def test_one_that_goes_away_takes_nothing_from_those_who_share_its_read(reader: LogReader, broker: Broker) -> None:
    broker.records = [written(task(offset), offset) for offset in range(5)]
    gone = asyncio.ensure_future(offsets(reader, 0, 5))
    stays = asyncio.ensure_future(offsets(reader, 2, 5))
    await asyncio.sleep(0)
    gone.cancel()
    assert await stays == [2, 3, 4]


async def test_what_expires_while_it_is_read_is_said(reader: LogReader, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def gone(*_args: Any, **_options: Any) -> Any:
        raise OffsetOutOfRangeError({TP: 0})

    broker.records = [written(task(0), 0)]
    monkeypatch.setattr(Consumer, "getmany", gone)
    assert await offsets(reader, 0, 1) is None


async def test_stopping_leaves_nothing_under_way(reader: LogReader, broker: Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    async def for_ever(*_args: Any, **_options: Any) -> Any:
        await asyncio.Event().wait()

    broker.records = [written(task(0), 0)]
    monkeypatch.setattr(Consumer, "getmany", for_ever)
    reading = asyncio.ensure_future(offsets(reader, 0, 1))
    await until(lambda: broker.sought)
    await reader.stop()
    assert broker.stopped == 1
    assert not reader._tasks
    reading.cancel()
