"""Brokers that answer fetches as Kafka does, with sessions and over logs in memory, behind a client of aiokafka's shape."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter, defaultdict, deque
from io import BytesIO
from types import SimpleNamespace
from typing import Any, NamedTuple

from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import TopicPartition

NOT_FOUND, INVALID_EPOCH = 70, 71
OUT_OF_RANGE, UNKNOWN_TOPIC, NOT_LEADER, UNAUTHORIZED, STORAGE = 1, 3, 6, 29, 56
PLAIN, CONTROL, COMPACTED, CORRUPT = "plain", "control", "compacted", "corrupt"

LOSE_REQUEST, LOSE_ANSWER, LATE_ANSWER, CUT_ANSWER = "request lost", "answer lost", "answer late", "answer cut"

Places = dict[TopicPartition, int]


class Batch(NamedTuple):
    """A batch as it is in a log."""

    first: int
    next: int
    """Offset behind the last one, whether or not that record is still there."""
    offsets: list[int]
    """Of the records to be seen."""
    encoded: bytes


def batch(first: int, count: int, kind: str = PLAIN) -> Batch:
    """A batch of so many records; of a compacted one all but the first third are gone."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 2**30)
    kept = count // 3 if kind == COMPACTED else count
    for at in range(kept):
        builder.append(at, 1500, b"k", b"%d" % (first + at), [("h", b"1")])
    built = bytearray(builder.build())
    struct.pack_into(">q", built, 0, first)
    if kind == CONTROL:
        built[22] |= 0x20
    struct.pack_into(">i", built, 23, count - 1)
    struct.pack_into(">I", built, 17, calc_crc32c(bytes(built[21:])))
    if kind == CORRUPT:
        built[17] ^= 0xFF
    seen = [first + at for at in range(kept)] if kind != CONTROL else []
    return Batch(first, first + count, seen, bytes(built))


class Log:
    """A partition's."""

    def __init__(self) -> None:
        self.start = 0
        self.batches: list[Batch] = []

    @property
    def end(self) -> int:
        return self.batches[-1].next if self.batches else self.start

    def append(self, count: int, kind: str = PLAIN) -> None:
        self.batches.append(batch(self.end, count, kind))

    def offsets(self) -> list[int]:
        """Of the records to be seen."""
        return [offset for one in self.batches for offset in one.offsets]

    def read(self, offset: int, most: int) -> bytes:
        found = b""
        for one in self.batches:
            if one.next > offset:
                if found and len(found) + len(one.encoded) > most:
                    break
                found += one.encoded
        return found


class Session(NamedTuple):
    epoch: int
    places: Places
    told: Places
    """The end of each log that was told last."""


class Broker:
    """One of them."""

    def __init__(self, cluster: Cluster, node: int) -> None:
        self.cluster = cluster
        self.node = node
        self.sessions: dict[int, Session] = {}
        self.made = 0

    def restart(self) -> None:
        """Forget every session."""
        self.sessions.clear()

    def begin(self, request: Any) -> tuple[int, int]:
        """Take what a request names: error, and the session's id."""
        changed = {TopicPartition(topic, row[0]): row[2] for topic, rows in request.topics for row in rows}
        if request.session_epoch == 0:
            self.sessions.pop(request.session_id, None)
            self.made += 1
            self.sessions[self.made] = Session(1, changed, {})
            return 0, self.made
        known = self.sessions.get(request.session_id)
        if known is None:
            return NOT_FOUND, 0
        if known.epoch != request.session_epoch:
            return INVALID_EPOCH, 0
        places = known.places | changed
        for topic, numbers in request.forgotten_topics_data:
            for number in numbers:
                del places[TopicPartition(topic, number)]
        told = {tp: end for tp, end in known.told.items() if tp in places and tp not in changed}
        self.sessions[request.session_id] = Session(known.epoch + 1, places, told)
        return 0, request.session_id

    def read(self, session_id: int, most: int) -> tuple[bool, dict[str, list[Any]], Places]:
        """Whether there is anything to say, what, and the ends that are told with it."""
        session = self.sessions[session_id]
        rows: dict[str, list[Any]] = defaultdict(list)
        ends = dict(session.told)
        news = False
        for tp, offset in session.places.items():
            code, log = self.cluster.error(self.node, tp, offset), self.cluster.logs[tp]
            records = b"" if code else log.read(offset, most)
            if code or records or session.told.get(tp) != log.end:
                rows[tp.topic].append((tp.partition, code, log.end, log.end, log.start, None, -1, records))
                news = news or bool(code or records)
                ends[tp] = log.end
        return news, rows, ends


class Connection:
    """To a broker, which does what it is asked one after the other."""

    def __init__(self, cluster: Cluster, node: int) -> None:
        self.cluster = cluster
        self.broker = cluster.brokers[node]
        self._open = True
        self._waiting: deque[tuple[Any, asyncio.Future[bytes]]] = deque()
        self._begun: Any = None
        """What is being done: request, future, session's id, and the clock that ends it."""

    def connected(self) -> bool:
        return self._open

    def speaks(self, api_key: int, version: int) -> bool:
        return (api_key, version) == (1, 11) and self.cluster.modern

    def ask(self, api_key: int, version: int, body: bytes) -> asyncio.Future[bytes]:
        if not self._open:
            raise KafkaConnectionError("closed")
        assert self.speaks(api_key, version)
        self.cluster.fetches += 1
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((FetchRequest_v11.decode(BytesIO(body)), future))
        asyncio.get_running_loop().call_soon(self._go_on)
        return future

    def close(self, error: Exception | None = None) -> None:
        self._open = False
        if self._begun is not None:
            self._begun[3].cancel()
        for future in [*([self._begun[1]] if self._begun else []), *(future for _request, future in self._waiting)]:
            if not future.done():
                future.set_exception(error or KafkaConnectionError("closed"))
        self._begun = None
        self._waiting.clear()

    def _go_on(self) -> None:
        if self._begun is not None or not self._waiting or not self._open or self.cluster.held:
            return
        request, future = self._waiting.popleft()
        if self.cluster.fates and self.cluster.fates[0] == LOSE_REQUEST:
            self.cluster.fates.popleft()
            self.close()
            if not future.done():
                future.set_exception(KafkaConnectionError("closed"))
            return
        error, session_id = self.broker.begin(request)
        if error or self.cluster.fails:
            self._begun = request, future, session_id, asyncio.get_running_loop().call_soon(lambda: None)
            self._answer(error or self.cluster.fails.popleft(), 0, {})
            return
        clock = asyncio.get_running_loop().call_later(request.max_wait_time / 1000, self.look, True)
        self._begun = request, future, session_id, clock
        self.look(False)

    def look(self, late: bool) -> None:
        """Answer, if there is anything to say, or it is time."""
        if self._begun is None or self.cluster.held:
            return
        request, _future, session_id, _clock = self._begun
        if session_id not in self.broker.sessions:
            self._answer(NOT_FOUND, 0, {})
            return
        most = max([row[4] for _topic, rows in request.topics for row in rows], default=2**20)
        news, rows, ends = self.broker.read(session_id, most)
        if news or late:
            self.broker.sessions[session_id] = self.broker.sessions[session_id]._replace(told=ends)
            self._answer(0, session_id if self.cluster.remembers else 0, rows)

    def _answer(self, error: int, session_id: int, rows: dict[str, list[Any]]) -> None:
        _request, future, _id, clock = self._begun
        clock.cancel()
        self._begun = None
        fate = self.cluster.fates.popleft() if self.cluster.fates else ""
        answer: bytes = FetchResponse_v11(0, error, session_id, list(rows.items())).encode()
        if fate in {LOSE_ANSWER, LATE_ANSWER}:
            failed: Exception = RequestTimedOutError() if fate == LATE_ANSWER else KafkaConnectionError("closed")
            if not future.done():
                future.set_exception(failed)
            self.close()
        elif not future.done():
            future.set_result(answer[: len(answer) // 2] if fate == CUT_ANSWER else answer)
        asyncio.get_running_loop().call_soon(self._go_on)


class Cluster:
    """Brokers, and the client that knows them. A partition's leader is its number's remainder, unless it has moved."""

    def __init__(self, nodes: int = 2) -> None:
        self.brokers = {node: Broker(self, node) for node in range(nodes)}
        self.logs: defaultdict[TopicPartition, Log] = defaultdict(Log)
        self.fates: deque[str] = deque()
        """What becomes of the next answers."""
        self.fails: deque[int] = deque()
        """Error codes of the next answers as a whole."""
        self.errors: defaultdict[TopicPartition, deque[int]] = defaultdict(deque)
        """Error codes that the next fetches of a partition meet."""
        self.moved: dict[TopicPartition, int | None] = {}
        self.known: dict[TopicPartition, int | None] = {}
        """Leaders that have moved, as far as the client has heard."""
        self.out_of_reach = 0
        self.connect_seconds = 0.0
        self.held = False
        self.remembers = True
        """Whether brokers have room for sessions."""
        self.modern = True
        self.fetches = 0
        self.lookups: Counter[TopicPartition] = Counter()
        self.breaks: Exception | None = None
        """What asking for a connection raises, which it never should."""
        # --- as of aiokafka's client
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 300_000
        self._conns: dict[Any, Connection] = {}
        self.refreshed = 0
        self.cluster = SimpleNamespace(
            leader_for_partition=lambda tp: self.known.get(tp, tp.partition % nodes),
            broker_metadata=lambda node: node,
            _last_successful_refresh_ms=0.0,
        )

    # --- the client

    def force_metadata_update(self) -> asyncio.Future[bool]:
        self.refreshed += 1
        future: asyncio.Future[bool] = self._loop.create_future()
        self._loop.call_later(0.001, self._refresh, future)
        return future

    def _refresh(self, future: asyncio.Future[bool]) -> None:
        self.known = dict(self.moved)
        self.cluster._last_successful_refresh_ms += 1.0
        if not future.done():
            future.set_result(True)

    async def _maybe_wait_metadata(self) -> None:
        """Nothing to wait for."""

    async def _get_conn(self, node: int, *, group: Any) -> Connection | None:
        await asyncio.sleep(0)
        if self.breaks is not None:
            raise self.breaks
        if self.out_of_reach:
            self.out_of_reach -= 1
            return None
        connection = self._conns.get((node, group))
        if connection is None or not connection.connected():
            await asyncio.sleep(self.connect_seconds)
            connection = self._conns[node, group] = Connection(self, node)
        return connection

    async def send(self, _node: int, request: Any) -> Any:
        """Tell the first or last offset of partitions."""
        await asyncio.sleep(0)
        topics = []
        for topic, rows in request._topics:
            found = []
            for number, timestamp in rows:
                tp = TopicPartition(topic, number)
                self.lookups[tp] += 1
                log = self.logs[tp]
                found.append((number, 0, -1, log.start if timestamp == -2 else log.end))
            topics.append((topic, found))
        return SimpleNamespace(API_VERSION=1, topics=topics)

    # --- the brokers

    def error(self, node: int, tp: TopicPartition, offset: int) -> int:
        if self.moved.get(tp, tp.partition % len(self.brokers)) != node:
            return NOT_LEADER
        if self.errors[tp]:
            return self.errors[tp].popleft()
        return 0 if self.logs[tp].start <= offset <= self.logs[tp].end else OUT_OF_RANGE

    def look(self) -> None:
        """Whatever waits at a broker looks whether there is anything to say."""
        for connection in list(self._conns.values()):
            connection.look(False)
            connection._go_on()

    def append(self, tp: TopicPartition, count: int = 1, kind: str = PLAIN) -> None:
        self.logs[tp].append(count, kind)
        self.look()

    def drop(self) -> None:
        """Close every connection."""
        for connection in self._conns.values():
            connection.close()

    def hold(self) -> None:
        """Answer nothing."""
        self.held = True

    def go_on(self) -> None:
        self.held = False
        self.look()
