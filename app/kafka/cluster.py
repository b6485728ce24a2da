"""The cluster: which workers there are, who owns what and who is online where, told over a small compacted topic."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from itertools import islice
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from mode import Service

from app.errors import SendFailed
from app.kafka.client import connection
from app.kafka.directory import BEAT_SECONDS, Directory, Worker, key_of, parse_key
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.roll import Roll
from app.kafka.sender import Sender
from app.kafka.topics import CLUSTER
from app.settings import Settings

SEND_SECONDS = 10.0
LEAVE_SECONDS = 1.0
LOOK_SECONDS = 0.5
"""How often what is owned is looked at: a change of it is told at once."""
BATCH_RECORDS = 500
"""Records of users that are written, or read, before others get their turn: about 10 ms."""
PAUSE_SECONDS = 0.05


class Cluster(Service):
    """Tells of this worker, and listens to what the others tell."""

    def __init__(
        self, settings: Settings, sender: Sender, version: str, owned: Callable[[], tuple[set[int], set[int]]], **kwargs: Any
    ) -> None:
        """Know what to tell.

        Args:
            settings: Where the brokers are, and how this worker is reached.
            sender: Sends it.
            version: Of this program.
            owned: Partitions that this worker owns, and those that it is a standby for.
            **kwargs: For `mode.Service`.
        """
        super().__init__(**kwargs)
        self._settings = settings
        self._sender = sender
        self._version = version
        self._owned = owned
        self._run = secrets.token_hex(4)
        self._directory = Directory(settings.url, self._run)
        self._roll = Roll()
        self._next: int | None = None
        self._leaving = False
        self._warned = False

    # --- asking

    @property
    def settled(self) -> bool:
        """Whether all that others had told before this worker came is known."""
        return self._directory.settled

    def workers(self) -> dict[str, Worker]:
        """The workers that are there, by URL; this one is among them once it has been heard."""
        return self._directory.workers()

    def silent(self) -> list[str]:
        """URLs of workers that stopped telling of themselves a while ago, and did not say that they leave."""
        return self._directory.silent()

    def owner(self, partition: int) -> str | None:
        """URL of the worker that last said that it owns a partition."""
        return self._directory.owner(partition)

    def elsewhere(self) -> tuple[set[int], set[int]]:
        """Users who came online on other workers, and who went, since this was asked before."""
        return self._directory.elsewhere()

    # --- telling

    def come(self, user_id: int) -> None:
        """Tell the others that a user is online here."""
        self._roll.come(user_id)

    def go(self, user_id: int) -> None:
        """Tell the others that a user is not online here any more."""
        self._roll.go(user_id)

    async def leave(self) -> None:
        """Tell that this worker goes, so that nobody waits for its lease to end. It is the last that the others hear of it."""
        self._leaving = True
        try:
            await self._sender.send([self._outgoing(self._settings.url.encode(), None)], LEAVE_SECONDS)
        except SendFailed as error:
            self.log.info("the other workers will notice by themselves that this one is gone: %s", error)

    def _outgoing(self, key: bytes, value: bytes | None) -> Outgoing:
        return Outgoing(CLUSTER, key, value, partition=0)  # named, since choosing one by the key costs more than all the rest

    @Service.task
    async def _beat(self) -> None:
        told: object = None
        told_at = 0.0
        loop = asyncio.get_running_loop()
        while not self.should_stop and not self._leaving:
            owned = self._owned()
            if owned != told or loop.time() - told_at >= BEAT_SECONDS:
                partitions, standbys = owned
                value = {
                    "version": self._version,
                    "role": self._settings.role,
                    "partitions": sorted(partitions),
                    "standbys": sorted(standbys),
                    "run": self._run,
                }
                try:
                    beat = self._outgoing(self._settings.url.encode(), orjson.dumps(value))
                    await self._sender.send([beat], SEND_SECONDS)
                    told, told_at = owned, loop.time()
                except SendFailed as error:
                    self.log.warning("the other workers cannot be told of this one: %s", error)
            await self.sleep(LOOK_SECONDS)

    @Service.task
    async def _call_the_roll(self) -> None:
        """Write who came and went, a batch at a time."""
        value = orjson.dumps({"run": self._run})
        while not self.should_stop and not self._leaving:
            batch = self._roll.take(BATCH_RECORDS)
            if not batch:
                await self.sleep(LOOK_SECONDS)
                continue
            records = [self._outgoing(key_of(self._settings.url, user_id), value if here else None) for user_id, here in batch]
            try:
                sent = await self._sender.send(records, SEND_SECONDS)
            except SendFailed as error:
                self._roll.refused(batch)
                self.log.warning("the other workers cannot be told who is online here: %s", error)
                await self.sleep(1.0)
            else:
                self._roll.written(batch, [one.offset for one in sent])
                await self.sleep(PAUSE_SECONDS)

    @Service.task
    async def _clear_up(self) -> None:
        """Take out of the topic what tells of nobody any more."""
        while not self.should_stop:
            await self.sleep(BEAT_SECONDS)
            # A user of an earlier run who is here again has a new record, or is about to: that one is not taken out.
            keys = (key for key in self._directory.left_over() if not self._is_here(*parse_key(key)))
            records = [self._outgoing(key, None) for key in islice(keys, BATCH_RECORDS)]
            try:
                await self._sender.send(records, SEND_SECONDS)
            except SendFailed as error:
                self.log.info("what is left of workers that are gone stays for now: %s", error)

    def _is_here(self, url: str, user_id: int | None) -> bool:
        return url == self._settings.url and user_id is not None and user_id in self._roll

    # --- hearing

    @Service.task
    async def _listen(self) -> None:
        tp = TopicPartition(CLUSTER, 0)
        while not self.should_stop:
            consumer = AIOKafkaConsumer(
                enable_auto_commit=False, auto_offset_reset="earliest", fetch_max_wait_ms=500, **connection(self._settings)
            )
            try:
                await consumer.start()
                consumer.assign([tp])
                if self._next is None:
                    await consumer.seek_to_beginning(tp)
                else:
                    consumer.seek(tp, self._next)
                while not self.should_stop:
                    found = await consumer.getmany(tp, timeout_ms=1000, max_records=BATCH_RECORDS)
                    for record in found.get(tp, ()):
                        self._hear(record)
                    await asyncio.sleep(0)  # what has been fetched is given without a pause
            except (KafkaError, OSError) as error:
                self.log.warning("the other workers cannot be heard: %r", error)
            finally:
                await consumer.stop()
            await self.sleep(1.0)

    def _hear(self, record: Record) -> None:
        self._next = record.offset + 1
        key = record.key or b""
        try:
            self._directory.hear(key, record.value, record.timestamp)
            url, user_id = parse_key(key)
        except ValueError as error:
            self.log.warning("record %d of %s is skipped: %s", record.offset, CLUSTER, error)
            return
        if url != self._settings.url:
            return
        if user_id is not None and record.value is None:
            self._roll.heard_removal(user_id, record.offset)
        elif user_id is None:
            self._look_at_namesake()

    def _look_at_namesake(self) -> None:
        """Say once when another process speaks in this one's name."""
        me = self._directory.workers().get(self._settings.url)
        if me is not None and me.run != self._run and self.settled and not self._warned:
            self._warned = True
            self.log.warning("another worker says that it is at %s: each needs a CANONICAL_URL of its own", self._settings.url)
