"""The tail: reads ``team.events`` outside any group, and hands each new record to whoever delivers it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import Any, Protocol

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from mode import Service

from app import metrics
from app.domain.fold import MEMBERSHIP
from app.domain.recent_records import SharedRecord
from app.domain.topics import UNIFIED
from app.domain.unified import usual_headers
from app.errors import Unavailable
from app.kafka.appended import Appended
from app.kafka.client import connection
from app.kafka.lane import REST_MS, Lane, Pause
from app.kafka.log_id import UNKNOWN
from app.kafka.record import Record
from app.kafka.topics import identify
from app.settings import Settings
from delivery.entry import Entry, entry_from, entry_made, type_of
from delivery.ring import Ring
from delivery.window import DuplicateWindow, identities

PAUSE = Pause(least_ms=2, per_kib_ms=0.25, most_ms=5)
"""Between two fetches: what workers send within that comes together."""
READ_SECONDS = 1.0
POLL_RECORDS = 1000
LOOK_BACK_RECORDS = 10_000
"""Records of a partition that a tail takes into its ring when it starts, for the clients of the worker that went."""
RECONNECT_SECONDS = 1.0
ASK_SECONDS = 5.0
BEHIND_SECONDS = 10.0
BEHIND_FOR_SECONDS = 30.0
SLICE_SECONDS = 0.02
"""After so long the loop lets others in, however much is waiting."""


class Reader(Protocol):
    """Who takes what the tail reads."""

    def on_entry(self, entry: Entry, record: SharedRecord | None) -> None:
        """Take the next record that clients may get; ``record``: it, parsed, if it was."""

    def on_candidate(self, user_id: int, team_id: int) -> None:
        """Take word of a team in which to look for a user."""

    def flush(self) -> None:
        """Deliver what was taken: others get a turn now."""

    def reset(self) -> None:
        """Forget everything: what comes next does not follow what came before."""


class _Partition:
    """One partition as this reader sees it."""

    __slots__ = ("deliver_from", "next", "ring", "target", "window")

    def __init__(self, start: int, deliver_from: int, target: int, ring: Ring, window: int) -> None:
        self.next = start
        self.deliver_from = deliver_from
        self.target = target
        self.ring = ring
        self.window = DuplicateWindow(window)


class Tail(Service):
    """Follows a set of partitions; today all of them."""

    def __init__(
        self, settings: Settings, topics: Mapping[str, int], reader: Reader, alone: Callable[[], bool] = lambda: False, **kwargs: Any
    ) -> None:
        """Know what to read.

        Args:
            settings: where the brokers are, and how much is kept.
            topics: how many partitions each topic has.
            reader: takes what is read.
            alone: says whether nobody but this worker should be writing ``team.events``.
            kwargs: the service's.
        """
        super().__init__(**kwargs)
        self._settings = settings
        self._topics = topics
        self._reader = reader
        self._partitions: dict[int, _Partition] = {}
        self._moved = asyncio.Event()
        self._consumer: AIOKafkaConsumer | None = None
        self._behind_since: float | None = None
        self._late_since: float | None = None
        self._lane = Lane(PAUSE, alone=alone)
        self.caught_up = False
        """Whether the end that the log had when we started has been reached."""
        self.log_id = UNKNOWN
        """Which log this is, 16 hex digits."""

    def next(self, partition: int) -> int:
        """The offset that is read next: everything before it has been handed on.

        Raises:
            KeyError: The partition is none of ours, or the tail has not started.
        """
        return self._partitions[partition].next

    def on_appended(self, appended: Appended) -> None:
        """Take what this worker wrote itself: it need not be fetched."""
        if self._consumer is not None:
            self._consumer._fetcher.bring(appended)

    @property
    def waiting(self) -> int:
        """How many of the records that this worker wrote wait to be handed on."""
        return 0 if self._consumer is None else int(self._consumer._fetcher.brought)

    def offsets(self) -> dict[int, int]:
        """`next` of every partition."""
        return {number: partition.next for number, partition in self._partitions.items()}

    def ring(self, partition: int) -> Ring:
        """The newest records of a partition."""
        return self._partitions[partition].ring

    @property
    def ring_bytes(self) -> int:
        """What the rings of all partitions hold."""
        return sum(partition.ring.bytes for partition in self._partitions.values())

    async def wait_for(self, partition: int, offset: int, seconds: float) -> bool:
        """Wait until the record at ``offset`` has been handed on; whether that happened within ``seconds``."""
        try:
            async with asyncio.timeout(seconds):
                while partition not in self._partitions or self._partitions[partition].next <= offset:
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def end(self, partition: int) -> int:
        """The log's end now, asked of the broker.

        Raises:
            Unavailable: It does not answer.
        """
        consumer, tp = self._consumer, TopicPartition(UNIFIED, partition)
        try:
            if consumer is None:
                raise Unavailable("the log is out of reach")
            async with asyncio.timeout(ASK_SECONDS):
                return int((await consumer.end_offsets([tp]))[tp])
        except (KafkaError, TimeoutError) as error:
            raise Unavailable("the log is out of reach") from error

    @property
    def behind_too_long(self) -> bool:
        """Whether this worker has been more than `BEHIND_SECONDS` behind for `BEHIND_FOR_SECONDS`."""
        return self._late_since is not None and monotonic() - self._late_since > BEHIND_FOR_SECONDS

    @property
    def lag_seconds(self) -> float:
        """How far behind the log, by the broker's time of the record read last; 0 at its end."""
        return 0.0 if self._behind_since is None else max(0.0, time() - self._behind_since)

    @Service.task
    async def _follow(self) -> None:
        while not self.should_stop:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False,
                auto_offset_reset="none",
                fetch_max_wait_ms=REST_MS,
                max_partition_fetch_bytes=2**20,
                fetch_max_bytes=2**20,
                **connection(self._settings),
            )
            try:
                await self._identify()
                await consumer.start()
                consumer._fetcher.lanes = (self._lane,)
                await self._begin(consumer)
                self._consumer = consumer
                while not self.should_stop:
                    await self._read(consumer)
            except OffsetOutOfRangeError as error:
                self._reset(f"the log no longer holds what comes next ({error})")
            except (KafkaError, OSError) as error:
                self.log.warning("the log is out of reach: %r", error)
            finally:
                self._consumer = None
                await consumer.stop()
            await self.sleep(RECONNECT_SECONDS)

    async def _identify(self) -> None:
        found = (await identify(self._settings, (UNIFIED,)))[UNIFIED]
        if self._partitions and found != self.log_id:
            self._reset(f"topic {UNIFIED} was made anew")
        self.log_id = found

    def _reset(self, why: str) -> None:
        """Records that we had not read are gone. Nobody may be left to think that nothing happened in between."""
        self.log.error("%s: everybody starts anew", why)
        self._partitions.clear()
        self.caught_up = False
        self._reader.reset()

    async def _begin(self, consumer: AIOKafkaConsumer) -> None:
        tps = [TopicPartition(UNIFIED, number) for number in range(self._topics[UNIFIED])]
        consumer.assign(tps)
        if not self._partitions:
            begin, end = await consumer.beginning_offsets(tps), await consumer.end_offsets(tps)
            for tp in tps:
                deliver_from = max(begin[tp], end[tp] - LOOK_BACK_RECORDS)
                # A whole window before the first record that may be delivered: only then every repeat is known as one.
                start = max(begin[tp], deliver_from - self._settings.duplicate_window)
                ring = Ring(self._settings.ring_bytes // len(tps), deliver_from, self.log_id)
                self._partitions[tp.partition] = _Partition(start, deliver_from, end[tp], ring, self._settings.duplicate_window)
            self._check_caught_up()
        for tp in tps:
            consumer.seek(tp, self._partitions[tp.partition].next)
        self._moved.set()
        self._moved.clear()

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        found: dict[TopicPartition, list[Record]] = await consumer.getmany(timeout_ms=int(READ_SECONDS * 1000), max_records=POLL_RECORDS)
        until = monotonic() + SLICE_SECONDS
        newest = 0
        for tp, records in found.items():
            for record in records:
                self._hand_on(self._partitions[tp.partition], record)
                if monotonic() > until:
                    self._reader.flush()
                    await asyncio.sleep(0)
                    until = monotonic() + SLICE_SECONDS
            newest = max(newest, records[-1].timestamp)
        self._reader.flush()
        behind = any((consumer.highwater(TopicPartition(UNIFIED, n)) or 0) > p.next for n, p in self._partitions.items())
        self._behind_since = newest / 1000 if behind and newest else self._behind_since if behind else None
        metrics.TAIL_LAG.set(self.lag_seconds)
        if self.lag_seconds <= BEHIND_SECONDS:
            self._late_since = None
        elif self._late_since is None:
            self._late_since = monotonic()
        if found:
            self._check_caught_up()
            self._moved.set()
            self._moved.clear()

    def _check_caught_up(self) -> None:
        self.caught_up = self.caught_up or all(p.next >= p.target for p in self._partitions.values())

    def _hand_on(self, partition: _Partition, record: Record) -> None:
        offset = record.offset
        partition.next = offset + 1
        key, value = record.key or b"", record.value or b""
        made: SharedRecord | None = record.made
        usual = usual_headers(record.headers) if made is None else made.headers
        distance = partition.window.distance(offset, identities(key, value, record.headers, usual))
        if distance is not None:
            metrics.REPEAT_DISTANCE.observe(distance)
        if offset < partition.deliver_from:
            return
        kind = type_of(value) if made is None else made.unified.event.type
        if kind.startswith("_"):
            if kind == MEMBERSHIP:
                self._hand_on_candidate(record)
            return
        entry = entry_from(self.log_id, record, usual) if made is None else entry_made(self.log_id, record, made)
        entry.skipped = distance is not None  # folded like any other, since the table folds it too; never delivered
        partition.ring.append(entry)
        self._reader.on_entry(entry, made)

    def _hand_on_candidate(self, record: Record) -> None:
        try:
            data = orjson.loads(record.value or b"")["data"]
            self._reader.on_candidate(int(data["userId"]), int(data["teamId"]))
        except (ValueError, KeyError, TypeError):
            place = {"topic": UNIFIED, "partition": record.partition, "offset": record.offset}
            self.log.warning("a record of type %s is skipped: it cannot be read", MEMBERSHIP, extra=place)
