"""The tail: reads the log, tells repeats and internal records from what clients get, and is stopped by nothing that stands in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, OffsetOutOfRangeError

from app.domain.events import Source, UnifiedEvent, encode
from app.domain.recent_records import RecentRecords, SharedRecord
from app.domain.topics import UNIFIED
from app.domain.unified import UnifiedRecord, headers_for
from app.kafka.appended import Appended
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.settings import Settings
from delivery import tail as tails
from delivery.entry import Entry
from delivery.ring import Ring
from delivery.tail import Tail
from tests.unit.delivery.fakes import record as event_of
from tests.unit.delivery.fakes import until
from tests.unit.domain.naive_model import Record as Folded

TP = TopicPartition(UNIFIED, 0)
WINDOW = 10


def written(one: Folded, offset: int, headers: Any = None) -> Any:
    key, value = one.event.key.encode(), encode(one.event)
    return Record(UNIFIED, 0, offset, 5000, 1, key, value, headers_for(one.source) if headers is None else headers)


def raw(offset: int, value: bytes | None, key: bytes | None = b"team:1", headers: Any = ()) -> Any:
    return Record(UNIFIED, 0, offset, 5000, 1, key, value, headers)


def task(number: int) -> Folded:
    return event_of("task.created", 1, offset=number, taskId=number + 1, creatorId=1)


def candidate(number: int, data: Any) -> Folded:
    event = UnifiedEvent("user:7", f"e{number}", "_user.membership", 1, 7, "2026-11-23T10:00:00.000000Z", data)
    return Folded(event, Source("team.member_added", 0, number, 1000))


class Log:
    """What the broker holds, and every consumer of it."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.begin = 0
        self.fails: list[Exception] = []
        self.consumers = 0
        self.stopped = 0
        self.arrived = asyncio.Event()

    def append(self, *records: Any) -> None:
        self.records += records
        self.arrived.set()

    @property
    def end(self) -> int:
        return self.records[-1].offset + 1 if self.records else self.begin


class Consumer:
    """As much of aiokafka's consumer as a tail uses."""

    log: Log

    def __init__(self, **options: Any) -> None:
        assert options["auto_offset_reset"] == "none"
        assert options["enable_auto_commit"] is False
        assert "group_id" not in options
        self.at = 0
        self._fetcher: Any = SimpleNamespace(lanes=())

    async def start(self) -> None:
        self.log.consumers += 1

    async def stop(self) -> None:
        self.log.stopped += 1

    def assign(self, tps: list[TopicPartition]) -> None:
        assert tps == [TP]
        assert [lane.pause for lane in self._fetcher.lanes] == [tails.PAUSE], "what is fetched is fetched with its pause from the start"

    async def beginning_offsets(self, _tps: Any) -> dict[TopicPartition, int]:
        return {TP: self.log.begin}

    async def end_offsets(self, _tps: Any) -> dict[TopicPartition, int]:
        return {TP: self.log.end}

    def seek(self, _tp: TopicPartition, offset: int) -> None:
        self.at = offset

    def highwater(self, _tp: TopicPartition) -> int:
        return self.log.end

    async def getmany(self, **_options: Any) -> dict[TopicPartition, list[Any]]:
        if self.log.fails:
            raise self.log.fails.pop(0)
        found = [record for record in self.log.records if record.offset >= self.at]
        if not found:
            self.log.arrived.clear()
            await self.log.arrived.wait()
            return {}
        self.at = found[-1].offset + 1
        return {TP: found}


class Reader:
    """Notes what it is handed."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.candidates: list[tuple[int, int]] = []
        self.resets = 0
        self.flushed = 0
        """How many entries had come the last time that the others got a turn."""

    def on_entry(self, entry: Entry, record: SharedRecord | None) -> None:
        assert record is None or record.unified == entry.record()
        self.entries.append(entry)

    def on_candidate(self, user_id: int, team_id: int) -> None:
        self.candidates.append((user_id, team_id))

    def flush(self) -> None:
        self.flushed = len(self.entries)

    def reset(self) -> None:
        self.resets += 1

    @property
    def offsets(self) -> list[int]:
        """Of what clients get."""
        return [entry.offset for entry in self.entries if not entry.skipped]


class World:
    def __init__(self) -> None:
        self.log = Log()
        self.reader = Reader()
        self.tail = Tail(Settings(_env_file=None, duplicate_window=WINDOW, ring_bytes=10_000_000), {UNIFIED: 1}, self.reader)

    async def read_to_the_end(self) -> None:
        await until(lambda: self.tail.offsets() == {0: self.log.end})
        assert self.reader.flushed == len(self.reader.entries), "what was handed on is flushed before anybody else runs"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    made = World()

    async def identify(_settings: Settings, names: Any) -> dict[str, str]:
        return dict.fromkeys(names, "00000000000000ab")

    monkeypatch.setattr(tails, "AIOKafkaConsumer", type("Of", (Consumer,), {"log": made.log}))
    monkeypatch.setattr(tails, "identify", identify)
    monkeypatch.setattr(tails, "RECONNECT_SECONDS", 0.0)
    yield made
    await made.tail.stop()


async def test_what_is_in_the_log_is_handed_on_once_and_in_order_and_held_in_the_ring(world: World) -> None:
    world.log.append(*(written(task(number), number) for number in range(5)))
    await world.tail.start()
    await world.read_to_the_end()
    world.log.append(written(task(5), 5))
    await world.read_to_the_end()
    assert world.reader.offsets == [0, 1, 2, 3, 4, 5]
    assert [entry.offset for entry in world.tail.ring(0).after("team:1", 3) or ()] == [4, 5]
    assert world.tail.next(0) == 6
    assert world.tail.caught_up
    assert world.reader.entries[0].log == "00000000000000ab"
    assert world.reader.entries[0].timestamp == 1000, "the source record's own time"


async def test_a_repeat_within_the_window_reaches_no_client_and_one_beyond_it_does(world: World) -> None:
    world.log.append(written(task(0), 0), written(task(0), WINDOW), written(task(0), 2 * WINDOW), written(task(0), 3 * WINDOW + 1))
    await world.tail.start()
    await world.read_to_the_end()
    assert world.reader.offsets == [0, 3 * WINDOW + 1]


async def test_a_tail_that_begins_within_the_log_knows_every_repeat_of_what_it_delivers(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tails, "LOOK_BACK_RECORDS", 3, raising=False)
    numbers = [*range(90), 89, 90, 91, 86, 92]
    world.log.append(*(written(task(number), offset) for offset, number in enumerate(numbers)))
    await world.tail.start()
    await world.read_to_the_end()
    first = world.tail.ring(0).start
    assert first > 0
    assert world.reader.offsets == [offset for offset in (*range(first, 90), 91, 92, 94) if offset >= first]


async def test_internal_records_reach_no_client_and_tell_where_to_look_for_a_user(world: World) -> None:
    world.log.append(
        written(candidate(0, {"teamId": 4, "userId": 7, "kind": "added"}), 0),
        written(Folded(UnifiedEvent("team:1", "x", "_later", 1, 7, "2026-11-23T10:00:00.000000Z", {}), Source("s", 0, 1, 1)), 1),
    )
    await world.tail.start()
    await world.read_to_the_end()
    assert world.reader.candidates == [(7, 4)]
    assert world.reader.entries == []


POISON = [
    raw(0, None),
    raw(0, b""),
    raw(0, b"\xff"),
    raw(0, b"[]"),
    raw(0, b"{}", None),
    raw(0, b"{}", b"\xff"),
    raw(0, b'{"type":5}'),
    raw(0, b"[" * 2000),
    raw(0, b'{"type":"_user.membership"}'),
    raw(0, b'{"type":"_user.membership","data":[]}'),
    raw(0, b'{"type":"_user.membership","data":{"userId":"x","teamId":1}}'),
    raw(0, b'{"type":"_user.membership","data":{"userId":null,"teamId":1}}'),
    written(task(0), 0, [("source-timestamp", None)]),
    written(task(0), 0, [(name, None) for name, _ in headers_for(task(0).source)]),
    written(task(0), 0, [("source-timestamp", b"1" * 5000)]),
    written(task(0), 0, [("source-timestamp", "١".encode())]),
]


@pytest.mark.parametrize("poison", POISON, ids=range(len(POISON)))
async def test_nothing_that_stands_in_the_log_stops_the_tail(world: World, poison: Any) -> None:
    world.log.append(poison, written(task(1), 1))
    await world.tail.start()
    await until(lambda: 1 in world.reader.offsets)
    assert not world.tail.crashed


async def test_a_broker_that_goes_and_comes_back_is_read_on_from_where_it_was(world: World) -> None:
    world.log.append(*(written(task(number), number) for number in range(3)))
    await world.tail.start()
    await world.read_to_the_end()
    world.log.fails.append(KafkaConnectionError())
    world.log.append(written(task(0), 3), written(task(3), 4))
    await until(lambda: world.log.consumers > 1)
    await world.read_to_the_end()
    assert world.reader.offsets == [0, 1, 2, 4], "and what was a repeat is one still"
    assert world.reader.resets == 0


async def test_a_log_that_no_longer_holds_what_comes_next_begins_anew_for_everybody(world: World) -> None:
    world.log.append(written(task(0), 0))
    await world.tail.start()
    await world.read_to_the_end()
    world.log.fails.append(OffsetOutOfRangeError({TP: 1}))
    world.log.begin = 50
    world.log.records.clear()
    world.log.append(written(task(50), 50))
    await until(lambda: world.reader.resets == 1)
    await world.read_to_the_end()
    assert world.reader.offsets == [0, 50]
    assert world.tail.ring(0).start == 50


async def test_a_record_is_waited_for_until_it_has_been_handed_on(world: World) -> None:
    world.log.append(written(task(0), 0))
    await world.tail.start()
    await world.read_to_the_end()
    waiting = asyncio.ensure_future(world.tail.wait_for(0, 1, 5))
    await asyncio.sleep(0)
    assert not waiting.done()
    world.log.append(written(task(1), 1))
    assert await waiting
    assert await world.tail.wait_for(0, 1, 0)
    assert not await world.tail.wait_for(0, 2, 0.01)
    assert not await world.tail.wait_for(1, 0, 0.01)


async def test_who_waits_before_the_tail_has_begun_is_answered_as_soon_as_it_has(world: World) -> None:
    waiting = asyncio.ensure_future(world.tail.wait_for(0, -1, 0.5))
    await asyncio.sleep(0)
    await world.tail.start()
    await until(lambda: world.tail.offsets() == {0: 0})
    assert await waiting, "an empty log has been read up to its end, without waiting for a record to come"


async def test_what_this_worker_wrote_is_handed_on_as_what_is_read_back() -> None:
    one = event_of("task.updated", 5, taskId=1, title="x")
    made = RecentRecords().note(
        encode(one.event), tuple(value for _, value in headers_for(one.source)), b"team:1", UnifiedRecord(one.event, one.source)
    )
    sent = Outgoing(UNIFIED, b"team:1", encode(one.event), headers_for(one.source), 0, made=made)
    [ours] = Appended.of(TopicPartition(UNIFIED, 0), 7, 5000, [sent]).records
    [theirs] = Appended.of(TopicPartition(UNIFIED, 0), 7, 5000, [sent._replace(made=None)]).records
    found = []
    for record in (ours, theirs):
        reader = Reader()
        tail = Tail(Settings(), {UNIFIED: 1}, reader)
        tail._partitions[0] = tails._Partition(0, 0, 0, Ring(10_000, 0), 100)
        tail._hand_on(tail._partitions[0], record)
        [entry] = reader.entries
        entry.finish(carries_state=False, state=None)
        found.append(
            {name: getattr(entry, name) for name in ("key", "offset", "value", "timestamp", "headers", "check", "frame", "skipped")}
        )
    assert found[0] == found[1]
    assert ours.made is made
    assert theirs.made is None
