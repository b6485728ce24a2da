"""Brokers that take record batches as Kafka does, behind a client of aiokafka's shape; what is asked meets the fates that a test says."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from io import BytesIO
from types import SimpleNamespace
from typing import Any

from aiokafka.errors import KafkaConnectionError, KafkaError, RequestTimedOutError
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.structs import TopicPartition

OK, NOT_LEADER, TIMED_OUT, TOO_LARGE = 0, 6, 7, 10
NOT_ENOUGH_REPLICAS, NOT_ENOUGH_REPLICAS_AFTER_APPEND = 19, 20
UNAUTHORIZED = 29
OUT_OF_ORDER, DUPLICATE, OLD_EPOCH = 45, 46, 47
KNOWN_BATCHES = 5
"""Of a producer and a partition, which the broker knows again."""

LOSE_REQUEST, LOSE_ANSWER, LATE_ANSWER, CUT_ANSWER, SILENT = "request lost", "answer lost", "answer late", "answer cut", "left out"

Fate = str | int
"""What becomes of a request: lost somehow, or an error code for its first partition; those of Kafka that say so have it in the log."""


class Known:
    """What a broker knows of a producer in a partition."""

    def __init__(self) -> None:
        self.epoch = -1
        self.next = 0
        self.batches: deque[tuple[int, int, int]] = deque(maxlen=KNOWN_BATCHES)
        """First number, how many, and the offset of the first."""


class Connection:
    """To a broker. It answers a little later, in order."""

    def __init__(self, brokers: Brokers, node: int) -> None:
        self._brokers = brokers
        self._node = node
        self._open = True
        self._waiting: list[asyncio.Future[bytes]] = []

    def connected(self) -> bool:
        return self._open

    def speaks(self, api_key: int, version: int) -> bool:
        return (api_key, version) == (0, 7) and self._brokers.modern

    def ask(self, api_key: int, version: int, body: bytes) -> asyncio.Future[bytes]:
        if not self._open:
            raise KafkaConnectionError("closed")
        assert self.speaks(api_key, version)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        request = ProduceRequest_v7.decode(BytesIO(body))
        self._brokers.begin(request)
        asyncio.get_running_loop().call_soon(self._brokers.when_running, self._answer, request, future)
        return future

    def close(self, error: Exception | None = None) -> None:
        self._open = False
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_exception(error or KafkaConnectionError("closed"))

    def _answer(self, request: Any, future: asyncio.Future[bytes]) -> None:
        self._brokers.end(request)
        fate = self._brokers.fate()
        if future.done() or fate == LOSE_REQUEST:
            self.close()
            return
        answer = self._brokers.take(self._node, request, fate)
        if fate == LOSE_ANSWER:
            self.close()
        elif fate == LATE_ANSWER:
            self.close(RequestTimedOutError())
        else:
            self._waiting.remove(future)
            future.set_result(answer[: len(answer) // 2] if fate == CUT_ANSWER else answer)


class Brokers:
    """Two brokers, and the client that knows them. A partition's leader is its number's remainder, unless it has moved."""

    def __init__(self, fates: Iterable[Fate] = (), partitions: int = 3) -> None:
        self.fates = deque(fates)
        self.partitions = partitions
        self.logs: defaultdict[TopicPartition, list[tuple[bytes | None, bytes | None, Any]]] = defaultdict(list)
        """Key, value and headers of every record."""
        self.times: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        self.requests: list[list[TopicPartition]] = []
        self.sizes: list[int] = []
        """Bytes of batches in each request."""
        self.under_way: Counter[TopicPartition] = Counter()
        self.refuses: dict[TopicPartition, int] = {}
        self.moved: dict[TopicPartition, int | None] = {}
        self.out_of_reach = 0
        """How many connections fail before one stands."""
        self.introductions: deque[int | KafkaError] = deque()
        """Error codes, or errors, that asking for a producer's id meets first."""
        self.introduced = 0
        self.tells = True
        """Whether a batch that is known again is told its offset."""
        self.broker_time = -1
        """That the topics give records; -1: they keep their own."""
        self.modern = True
        self.stopped = False
        self.topics: set[str] = set()
        self.refreshed = 0
        self._known: defaultdict[TopicPartition, Known] = defaultdict(Known)
        self._held: list[Any] | None = None
        # --- as of aiokafka's client
        self._conns: dict[Any, Connection] = {}
        self.cluster = SimpleNamespace(leader_for_partition=self._leader, partitions_for_topic=lambda _topic: set(range(partitions)))

    # --- the client

    def client(self) -> Any:
        if self.stopped:
            from faust.exceptions import NotReady

            raise NotReady
        return self

    async def _wait_on_metadata(self, _topic: str) -> set[int]:
        return set(range(self.partitions))

    def _leader(self, tp: TopicPartition) -> int | None:
        return self.moved.get(tp, tp.partition % 2)

    def get_random_node(self) -> int:
        return 0

    def add_topic(self, topic: str) -> asyncio.Future[bool]:
        self.topics.add(topic)
        return self.force_metadata_update()

    def force_metadata_update(self) -> asyncio.Future[bool]:
        self.refreshed += 1
        return asyncio.get_running_loop().create_future()

    async def send(self, _node: int, _request: Any) -> Any:
        await asyncio.sleep(0)
        self.introduced += 1
        trouble = self.introductions.popleft() if self.introductions else 0
        if isinstance(trouble, KafkaError):
            raise trouble
        return SimpleNamespace(error_code=trouble, producer_id=77, producer_epoch=0)

    async def _get_conn(self, node: int, *, group: Any) -> Connection | None:
        await asyncio.sleep(0)
        if self.out_of_reach:
            self.out_of_reach -= 1
            return None
        connection = self._conns.get((node, group))
        if connection is None or not connection.connected():
            connection = self._conns[node, group] = Connection(self, node)
        return connection

    # --- the brokers

    def hold(self) -> None:
        """Take requests, and do nothing about them."""
        self._held = []

    def go_on(self) -> None:
        """Do what there is to do."""
        held, self._held = self._held or [], None
        for do, *given in held:
            do(*given)

    def when_running(self, *todo: Any) -> None:
        """Do something now, or when the brokers go on."""
        if self._held is None:
            todo[0](*todo[1:])
        else:
            self._held.append(todo)

    def fate(self) -> Fate:
        return self.fates.popleft() if self.fates else OK

    def begin(self, request: Any) -> None:
        tps = list(self._tps(request))
        self.requests.append(tps)
        self.sizes.append(sum(len(batch) for _topic, rows in request.topics for _number, batch in rows))
        self.under_way.update(tps)
        assert max(self.under_way.values()) == 1, "one batch of a partition at a time"

    def end(self, request: Any) -> None:
        self.under_way.subtract(self._tps(request))

    @staticmethod
    def _tps(request: Any) -> Iterable[TopicPartition]:
        return (TopicPartition(topic, number) for topic, rows in request.topics for number, _batch in rows)

    def take(self, node: int, request: Any, fate: Fate) -> bytes:
        """Append what a request brings; the answer."""
        assert (request.transactional_id, request.required_acks) == (None, -1)
        answers: defaultdict[str, list[Any]] = defaultdict(list)
        for topic, rows in request.topics:
            for number, built in rows:
                code = fate if isinstance(fate, int) else OK
                fate = OK if isinstance(fate, int) else fate
                tp = TopicPartition(topic, number)
                if self._leader(tp) != node:
                    code = NOT_LEADER
                code = code or self.refuses.get(tp, OK)
                offset = -1
                if code in {OK, TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND}:
                    failed, offset = self._append(tp, DefaultRecordBatch(bytes(built)))
                    code = failed or code
                if fate == SILENT:
                    fate = OK
                    continue
                answers[topic].append((number, code, offset, self.broker_time if offset >= 0 else -1, 0))
        encoded: bytes = ProduceResponse_v7(list(answers.items()), 0).encode()
        return encoded

    def _append(self, tp: TopicPartition, batch: Any) -> tuple[int, int]:
        """Error code and offset of the first record."""
        assert batch.validate_crc()
        assert batch.producer_id == 77
        known, log = self._known[tp], self.logs[tp]
        found = list(batch)
        records = [(record.key, record.value, record.headers) for record in found]
        first, count = batch.base_sequence, len(records)
        if batch.producer_epoch < known.epoch:
            return OLD_EPOCH, -1
        if batch.producer_epoch > known.epoch:
            if known.epoch >= 0 and first != 0:
                return OUT_OF_ORDER, -1
            known.epoch, known.next = batch.producer_epoch, first
            known.batches.clear()
        for one, many, offset in known.batches:
            if (one, many) == (first, count):
                return (OK, offset) if self.tells else (DUPLICATE, -1)
        if first != known.next:
            return OUT_OF_ORDER, -1
        offset = len(log)
        log += records
        self.times[tp] += [record.timestamp for record in found]
        known.next += count
        known.batches.append((first, count, offset))
        return OK, offset

    # --- what a test looks at

    def values(self, tp: TopicPartition) -> list[bytes | None]:
        """Of the records of a partition."""
        return [value for _key, value, _headers in self.logs[tp]]


def built(*values: bytes) -> DefaultRecordBatchBuilder:
    """A batch of records with these values, as a sender makes it."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 2**30)
    for at, value in enumerate(values):
        builder.append(at, 1500, b"k", value, [])
    return builder
