"""Lag: what a measurement says of ages and of the time that is left."""

from __future__ import annotations

import asyncio
from time import monotonic

import pytest

from app.errors import Unavailable
from app.kafka import lag as module
from app.kafka.lag import Lag, LagMeter, PartitionLag
from app.settings import Settings


def partition(topic: str, lag: int, oldest: float | None) -> PartitionLag:
    return PartitionLag(topic, 0, 10, 10 + lag, lag, oldest, None)


def test_where_all_is_read_nothing_is_old() -> None:
    assert partition("t", 0, None).seconds(1000.0) == 0.0


def test_unread_records_are_as_old_as_the_oldest_of_them() -> None:
    assert partition("t", 3, 940.0).seconds(1000.0) == 60.0
    assert partition("t", 3, 1001.0).seconds(1000.0) == 0.0


def test_an_age_that_is_not_known_is_not_made_up() -> None:
    assert partition("t", 3, None).seconds(1000.0) is None


def test_headroom_is_what_the_oldest_unread_record_of_a_topic_has_left() -> None:
    lag = Lag((), {"t": 100.0, "for ever": None}, {})
    found = [partition("t", 1, 940.0), partition("t", 1, 990.0), partition("for ever", 1, 1.0), partition("unknown", 1, 1.0)]

    assert lag.headroom(found, 1000.0) == {"t": 40.0}
    assert lag.headroom([partition("t", 0, None)], 1000.0) == {"t": 100.0}
    assert lag.headroom([partition("t", 1, 800.0)], 1000.0) == {"t": -100.0}
    assert lag.headroom([partition("t", 0, None), partition("t", 1, None)], 1000.0) == {}


async def test_brokers_that_accept_and_say_nothing_are_out_of_reach_within_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEASURE_SECONDS", 0.3)
    asked = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    host, port = silent.sockets[0].getsockname()
    meter = LagMeter(Settings(kafka_brokers=(f"{host}:{port}",), _env_file=None))
    began = monotonic()
    with pytest.raises(Unavailable):
        await meter.measure()
    assert monotonic() - began < 3
    assert asked.is_set()
    silent.close()
