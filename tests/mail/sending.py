"""What the fold writes: requests and addresses; and what the service gives up."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from app.domain.requests import Address, Request, encode_address, encode_request
from app.domain.timestamps import from_millis
from app.domain.topics import ADDRESSES, MAIL_DEAD_LETTERS, REQUESTS


def address_of(user: int) -> str:
    return f"u{user}@example.org"


class Fold:
    """Writes as the fold agent does."""

    def __init__(self, bootstrap: str) -> None:
        self._bootstrap = bootstrap
        self._producer: AIOKafkaProducer

    async def __aenter__(self) -> Fold:
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True)
        await self._producer.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._producer.stop()

    async def tell(self, user: int, email: str | None = None, rank: str = "1") -> None:
        """Write a user's address."""
        value = encode_address(Address(user, rank, email or address_of(user), f"User {user}"))
        await self._producer.send_and_wait(ADDRESSES, value, key=b"user:%d" % user)

    async def tell_all(self, users: range) -> None:
        await asyncio.gather(*(self.tell(user) for user in users))

    async def ask(
        self,
        user: int,
        event_id: str,
        *,
        team: int = 1,
        kind: str = "task.created",
        age_seconds: float = 0,
        wait: bool = True,
        headers: list[tuple[str, bytes]] | None = None,
        **more: Any,
    ) -> None:
        """Write a request."""
        at = from_millis(int((time.time() - age_seconds) * 1000))
        event = {"eventId": event_id, "type": kind, "teamId": team, "actorId": 9, "timestamp": at, "data": {"taskId": 5, "teamId": team}}
        given = {"team_name": "Ops", "task_title": "Write it down", **more}
        request = Request(f"team:{team}", "0" * 50, user, "assignee", event=event, **given)
        future = await self._producer.send(
            REQUESTS, encode_request(request, orjson.dumps(event)), key=b"user:%d" % user, headers=headers or []
        )
        if wait:
            await future

    async def raw(self, topic: str, key: bytes | None, value: bytes | None) -> None:
        await self._producer.send_and_wait(topic, value, key=key)

    async def flush(self) -> None:
        await self._producer.flush()


async def records(bootstrap: str, topic: str = MAIL_DEAD_LETTERS) -> list[ConsumerRecord[bytes | None, bytes | None]]:
    """All records of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest", enable_auto_commit=False)
    await consumer.start()
    try:
        tps = [TopicPartition(topic, partition) for partition in consumer.partitions_for_topic(topic) or await _partitions(consumer, topic)]
        consumer.assign(tps)
        ends = await consumer.end_offsets(tps)
        found = []
        for tp in tps:
            await consumer.seek_to_beginning(tp)
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for some in (await consumer.getmany(timeout_ms=200)).values():
                found += some
        return found
    finally:
        await consumer.stop()


async def _partitions(consumer: AIOKafkaConsumer, topic: str) -> set[int]:
    await consumer._client.force_metadata_update()
    await consumer._client.fetch_all_metadata()
    return consumer.partitions_for_topic(topic) or set()


async def letter_for(bootstrap: str, user: int, seconds: float = 20.0) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Headers and event of the first dead letter of a user's mail."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for record in await records(bootstrap):
            if record.key == b"user:%d" % user:
                return dict(record.headers), orjson.loads(record.value or b"null")
        await asyncio.sleep(0.3)
    raise AssertionError(f"no dead letter for user {user} within {seconds} s")
