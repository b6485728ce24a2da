"""Measures: what is told is fresh, and said by the one whose it is."""

from __future__ import annotations

from time import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.structs import TopicPartition

from app import metrics
from app.errors import Unavailable
from app.kafka.lag import GroupLag, Lag, PartitionLag
from app.kafka.topics import CHANGELOG, GROUP, MAIL_GROUP
from app.settings import Settings
from web.measures import Measures, service, teams

ME, OTHER = "http://127.0.0.1:8086", "http://127.0.0.1:8087"
DAY = 86400.0


class World:
    """A worker, the group as the brokers know it, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(service, "monotonic", lambda: self.now)
        self.workers = {ME: None}
        self.assigned: set[tuple[str, int]] = {("t", 0)}
        self.unread_for = 0.0
        self.group, self.state, self.member = GROUP, "Stable", "somebody"
        self.away = False
        rows = SimpleNamespace(estimated_rows=lambda _partition: 5, sizes=lambda: {"files": 7})
        table: Any = SimpleNamespace(owned=lambda: {0}, rows=rows)
        tail: Any = SimpleNamespace(ring_bytes=1)
        feeds: Any = type("Feeds", (), {"bytes": 2, "__iter__": lambda _self: iter(())})()
        cluster: Any = SimpleNamespace(workers=lambda: self.workers)
        settings = Settings(_env_file=None)
        self.measures = Measures(settings, cluster, table, tail, SimpleNamespace(feeds=feeds), lambda: self.assigned)  # type: ignore[arg-type]
        self.measures._meter = self  # type: ignore[assignment]
        monkeypatch.setattr(teams, "folded", lambda _table: {})

    async def measure(self, _wanted: Any = None) -> Lag:
        if self.away:
            raise Unavailable("away")
        lag = 3 if self.unread_for else 0
        oldest, member = time() - self.unread_for if lag else None, self.member or None
        partitions = tuple(PartitionLag("t", number, 10, 10 + lag, lag, oldest, member) for number in (0, 1))
        records = {TopicPartition(CHANGELOG, 0): 40, TopicPartition(CHANGELOG, 1): 2}
        return Lag((GroupLag(self.group, self.state, 2, partitions),), {"t": 7 * DAY}, records, at=self.now)

    async def sample(self) -> None:
        await self.measures._sample()

    def told(self) -> dict[str, float]:
        """Lag by partition, and the group's members."""
        self.measures.collect()
        lag = {sample.labels["partition"]: sample.value for family in metrics.CONSUMER_LAG.collect() for sample in family.samples}
        members = [sample.value for family in metrics.GROUP_MEMBERS.collect() for sample in family.samples]
        return lag | ({"members": members[0]} if members else {})


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_alone_a_worker_tells_at_once_what_it_owns_and_how_many_members_there_are(world: World) -> None:
    await world.sample()
    assert world.told() == {"0": 0.0, "members": 2.0}
    assert metrics.CHANGELOG_RECORDS._value.get() == 40


async def test_what_nobody_owns_is_told_too(world: World) -> None:
    world.member, world.unread_for = "", 5.0
    await world.sample()
    assert world.told() == {"0": 3.0, "1": 3.0, "members": 2.0}


async def test_who_is_not_the_first_tells_what_it_owns_alone_and_after_the_second_measurement(world: World) -> None:
    world.workers = {"http://127.0.0.1:1": None, ME: None}
    world.member = ""
    await world.sample()
    assert world.told() == {}
    await world.sample()
    assert world.told() == {"0": 0.0}


async def test_who_has_not_heard_itself_speaks_for_nobody(world: World) -> None:
    world.workers = {OTHER: None}
    world.member = ""
    await world.sample()
    assert world.told() == {}


async def test_what_is_old_is_not_told_and_comes_back_with_the_brokers(world: World) -> None:
    await world.sample()
    world.now += service.FRESH_SECONDS
    world.away = True
    await world.sample()
    assert world.told() == {}
    assert metrics.LAG_AGE._value.get() == service.FRESH_SECONDS
    assert world.measures.warnings() == ["lag is not known: the brokers do not answer"]

    world.away = False
    await world.sample()
    assert world.told() == {"0": 0.0, "members": 2.0}
    assert world.measures.warnings() == []


async def test_unread_records_that_have_used_up_nine_tenths_of_their_time_are_warned_of(world: World) -> None:
    world.unread_for = 6 * DAY
    await world.sample()
    assert world.measures.warnings() == []

    world.unread_for = 7 * DAY - 3600
    await world.sample()
    [warning] = world.measures.warnings()
    assert warning.startswith("unread records of t may expire in 3")


async def test_a_measurement_is_shared_by_those_who_ask_meanwhile(world: World) -> None:
    first = await world.measures.lag()
    assert await world.measures.lag() is first
    world.now += 2 * service.REUSE_SECONDS
    assert await world.measures.lag() is not first


async def test_an_outage_is_one_line_and_its_end_another(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    for away in (False, True, True, True, False, False):
        world.away = away
        await world.sample()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_the_lag_of_another_service_is_told_whole_by_the_one_that_speaks(world: World) -> None:
    world.group = MAIL_GROUP
    await world.sample()
    assert world.told() == {"0": 0.0, "1": 0.0, "members": 2.0}

    world.workers = {"http://127.0.0.1:1": None, ME: None}
    assert world.told() == {}
