"""The appender: puts record batches behind each other into partitions, each exactly once, in the order given.

An idempotent producer (KIP-98) for whoever knows what to do when it fails: a batch is sent again, with its sequence number, until every
in-sync replica has it or it is refused. One batch of a partition is under way at a time, so its number is fixed when the one before it
stands, and nothing has to be numbered anew. What must not happen (a number that the broker did not expect, another producer with our id)
fails the batch, and with it the worker, which begins again from what is committed.
"""

from __future__ import annotations

import asyncio
import logging
import struct
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiokafka import errors
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.structs import RecordMetadata, TopicPartition
from faust.exceptions import NotReady

from app.kafka import produce_protocol
from app.kafka.connection import Connection

log = logging.getLogger(__name__)

REQUEST_BYTES = 4 * 2**20
"""Of batches of several partitions in one request, unless one alone is larger."""
REPLICAS_MS = 30_000
"""How long the broker waits for its replicas before it says that they are late."""
LEAST_BACKOFF, MOST_BACKOFF = 0.1, 1.0
"""Seconds until what failed is sent again."""
_GROUP = "append"
"""Name of the connection: a produce request is not to stand behind a fetch that waits."""
_SEQUENCES = 2**31
_DUPLICATE = 46


@dataclass(slots=True, eq=False)
class Batch:
    """Records that leave together."""

    builder: DefaultRecordBatchBuilder
    records: int
    future: asyncio.Future[RecordMetadata]
    built: bytes | bytearray = b""
    """With its number, once it has been sent."""
    doubtful: bool = False
    """Whether it may stand, though nobody has said so."""


@dataclass(slots=True, eq=False)
class _Log:
    """A partition, as this producer writes it."""

    tp: TopicPartition
    waiting: deque[Batch] = field(default_factory=deque)
    sequence: int = 0
    epochs: int = 0
    """How often numbers have begun anew."""
    busy: bool = False
    """Whether the first of those that wait is under way, or about to be sent again."""


class Appender:
    """Appends over one client's connections; starts with the first batch, and has nothing to stop."""

    def __init__(self, client: Callable[[], Any]) -> None:
        """Know where to.

        Args:
            client: Gives the aiokafka client, which knows brokers and leaders; raises NotReady when it is stopped, and nobody waits.
        """
        self._client = client
        self._logs: dict[TopicPartition, _Log] = {}
        self._ready: dict[_Log, None] = {}
        self._id: tuple[int, int] | None = None
        self._introducing: asyncio.Task[None] | None = None
        self._connecting: dict[Any, asyncio.Task[None]] = {}
        self._backoff = LEAST_BACKOFF
        self._flushing = False

    def append(self, topic: str, partition: int, builder: DefaultRecordBatchBuilder, records: int) -> asyncio.Future[RecordMetadata]:
        """Put a batch behind what waits for its partition; it leaves with the next `flush`. Cancelled before it is sent, it is not sent.

        Returns:
            Where its first record is, once it stands (offset -1 where the broker does not know); or it fails with the KafkaError.
        """
        tp = TopicPartition(topic, partition)
        found = self._logs.get(tp)
        if found is None:
            found = self._logs[tp] = _Log(tp)
        batch = Batch(builder, records, asyncio.get_running_loop().create_future())
        found.waiting.append(batch)
        if not found.busy:
            self._ready[found] = None
        return batch.future

    def flush(self) -> None:
        """Send what can be sent, in as few requests as there are leaders: with what others append before the loop turns."""
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_soon(self._flush_all)

    def _flush_all(self) -> None:
        self._flushing = False
        self._go_on()

    def _flush(self) -> None:
        if self._id is None:
            self._introduce()
            return
        client = self._client()
        ready, self._ready = self._ready, {}
        by_leader: defaultdict[Any, list[_Log]] = defaultdict(list)
        for found in ready:
            while found.waiting and found.waiting[0].future.cancelled() and not found.waiting[0].built:
                found.waiting.popleft()
            if found.waiting:
                by_leader[client.cluster.leader_for_partition(found.tp)].append(found)
        for leader, logs in by_leader.items():
            if leader is None or leader == -1:
                for found in logs if leader is None else ():
                    client.add_topic(found.tp.topic)  # one that has been told of topics asks for no others
                self._again(logs)
                continue
            connection = client._conns.get((leader, _GROUP))
            if connection is None or not connection.connected():
                self._ready |= dict.fromkeys(logs)
                self._connect(leader)
            else:
                self._send(connection, logs)

    # --- one request

    def _send(self, connection: Connection, logs: list[_Log]) -> None:
        batches: defaultdict[str, list[tuple[int, bytes | bytearray]]] = defaultdict(list)
        size = 0
        sent: list[_Log] = []
        for at, found in enumerate(logs):
            batch = found.waiting[0]
            built = batch.built or self._build(found, batch)
            if sent and size + len(built) > REQUEST_BYTES:
                self._request(connection, batches, sent)
                self._send(connection, logs[at:])
                return
            size += len(built)
            found.busy = True
            sent.append(found)
            batches[found.tp.topic].append((found.tp.partition, built))
        self._request(connection, batches, sent)

    def _build(self, found: _Log, batch: Batch) -> bytes | bytearray:
        producer_id, epoch = self._id or (-1, -1)
        batch.builder.set_producer_state(producer_id, epoch + found.epochs, found.sequence)
        batch.built = batch.builder.build()
        return batch.built

    def _request(self, connection: Connection, batches: dict[str, list[tuple[int, bytes | bytearray]]], sent: list[_Log]) -> None:
        try:
            if not connection.speaks(produce_protocol.API_KEY, produce_protocol.VERSION):
                raise errors.UnsupportedVersionError("the broker is too old: writing needs Kafka 2.1 or later")
            answer = connection.ask(produce_protocol.API_KEY, produce_protocol.VERSION, produce_protocol.encode(REPLICAS_MS, batches))
        except errors.KafkaError as error:
            self._failed(sent, error)
        else:
            answer.add_done_callback(partial(self._answered, sent))

    def _answered(self, sent: list[_Log], answer: asyncio.Future[memoryview]) -> None:
        if answer.cancelled():
            self._failed(sent, errors.KafkaConnectionError("the connection was given up"))
            return
        error = answer.exception()
        if error is not None:
            self._failed(sent, error)
            return
        try:
            parts = produce_protocol.decode(answer.result())
        except struct.error as unreadable:
            self._failed(sent, errors.KafkaConnectionError(f"an answer cannot be read: {unreadable}"))
            return
        self._backoff = LEAST_BACKOFF
        unsure = {found.tp: found for found in sent}
        late = []
        for part in parts:
            found = unsure.pop(TopicPartition(part.topic, part.partition), None)
            if found is None:
                continue
            if part.error_code in {0, _DUPLICATE}:
                self._stands(found, part)
            elif (kind := errors.for_code(part.error_code)).retriable:
                log.warning("%s-%s does not take records now: %s", part.topic, part.partition, kind.__name__)
                late.append(found)
            else:
                self._refused(found, kind(f"{part.topic}-{part.partition}"))
        self._again([*late, *unsure.values()])
        if self._ready:
            self._go_on()

    # --- what came of it

    def _stands(self, found: _Log, part: produce_protocol.Part) -> None:
        batch = found.waiting.popleft()
        found.sequence = (found.sequence + batch.records) % _SEQUENCES
        self._next(found)
        if not batch.future.done():
            kept = part.timestamp == -1
            batch.future.set_result(
                RecordMetadata(part.topic, part.partition, found.tp, part.offset, part.timestamp, 0 if kept else 1, None)
            )

    def _refused(self, found: _Log, error: BaseException) -> None:
        batch = found.waiting.popleft()
        if batch.doubtful:
            # Its number may be known to the broker as its own: another batch with that number would be taken for a repeat, and dropped.
            found.epochs, found.sequence = found.epochs + 1, 0
        self._next(found)
        if not batch.future.done():
            batch.future.set_exception(error)

    def _next(self, found: _Log) -> None:
        found.busy = False
        if found.waiting:
            self._ready[found] = None

    def _failed(self, sent: list[_Log], error: BaseException) -> None:
        """Nothing is known of a request: it is sent again, as it was, unless that cannot help."""
        if isinstance(error, errors.KafkaError) and not error.retriable:
            for found in sent:
                self._refused(found, error)
            asyncio.get_running_loop().call_soon(self._go_on)
            return
        log.warning("writing to %s failed: %r", ", ".join(sorted({found.tp.topic for found in sent})), error)
        self._again(sent)

    def _again(self, logs: list[_Log]) -> None:
        if not logs:
            return
        for found in logs:
            found.busy = True
            found.waiting[0].doubtful = bool(found.waiting[0].built)
        with suppress(NotReady):
            self._client().force_metadata_update()
        asyncio.get_running_loop().call_later(self._backoff, self._retry, logs)
        self._backoff = min(MOST_BACKOFF, 2 * self._backoff)

    def _retry(self, logs: Iterable[_Log]) -> None:
        for found in logs:
            self._next(found)
        self._go_on()

    def _go_on(self) -> None:
        """Send what can be sent, unless the client has stopped: then nobody waits for it."""
        with suppress(NotReady):
            self._flush()

    # --- before the first request

    def _introduce(self) -> None:
        if self._introducing is None:
            self._introducing = asyncio.create_task(self._take_id())

    async def _take_id(self) -> None:
        """Ask for a producer's id, until there is one, it is refused, or the client has stopped."""
        try:
            while self._id is None:
                try:
                    client = self._client()
                    answer = await client.send(client.get_random_node(), InitProducerIdRequest(None, 0))
                    if answer.error_code:
                        raise errors.for_code(answer.error_code)
                    self._id = answer.producer_id, answer.producer_epoch
                except errors.KafkaError as error:
                    if not error.retriable:
                        self._refuse_all(error)
                        return
                    log.warning("no producer id: %r", error)
                    await asyncio.sleep(self._backoff)
                    self._backoff = min(MOST_BACKOFF, 2 * self._backoff)
        except NotReady:
            return
        finally:
            self._introducing = None
        self._backoff = LEAST_BACKOFF
        self._go_on()

    def _refuse_all(self, error: errors.KafkaError) -> None:
        """Nothing can be sent without an id."""
        for found in list(self._ready):
            while found.waiting:
                self._refused(found, error)
        self._ready.clear()

    def _connect(self, leader: Any) -> None:
        if leader not in self._connecting:
            self._connecting[leader] = asyncio.create_task(self._open(leader))

    async def _open(self, leader: Any) -> None:
        try:
            connection = await self._client()._get_conn(leader, group=_GROUP)
        except NotReady:
            return
        finally:
            del self._connecting[leader]
        if connection is None:
            ready, self._ready = self._ready, {}
            self._again([found for found in ready if found.waiting])
        else:
            self._go_on()
