"""The agent: requests and addresses, into the outboxes."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
from faust.types import AgentT, AppT, StreamT

from app import metrics
from app.domain.errors import BadRecord, Code, refuse
from app.domain.requests import parse_address, parse_request
from app.domain.topics import ADDRESSES, REQUESTS
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.sender import Sender
from app.kafka.transport.batches import Batch, BatchSchema, batches
from notifications.letters import REPLAY, unreadable
from notifications.mailer import Box, Mailer
from notifications.outbox import Taken
from notifications.templates import template_of

ORDER = "order"
"""Header of a record that is no request but an operator's order, and its verb: ``retry`` or ``cancel``."""
VERBS = ("retry", "cancel")


class Intake:
    """Takes batches into the outboxes."""

    def __init__(self, mailer: Mailer, sender: Sender, dead_letters: DeadLetters) -> None:
        self._mailer = mailer
        self._sender = sender
        self._dead_letters = dead_letters

    async def take(self, batch: Batch) -> None:
        """Take a batch; return once what came of it is in the changelog and on disk.

        Raises:
            SendFailed: It is not; the batch is read again.
        """
        parts = sorted(batch.parts.items(), key=lambda part: part[0].topic != ADDRESSES)
        await asyncio.gather(*(self._take(tp.topic, tp.partition, records) for tp, records in parts))

    async def _take(self, topic: str, partition: int, records: list[Record]) -> None:
        box = await self._mailer.box(partition)
        now = int(time.time() * 1000)
        dead: list[Outgoing] = []
        users: dict[int, None] = {}
        repairs: list[Outgoing] = []
        for record in records:
            try:
                if topic == ADDRESSES:
                    users |= self._learn(box, record, repairs)
                else:
                    users |= await self._accept(box, record, now)
            except BadRecord as bad:
                metrics.DEAD_LETTERS.labels(topic=topic, code=bad.code.value).inc()
                dead.append(unreadable(record, bad, now))
        await self._dead_letters.send(dead)
        await self._sender.send(repairs)
        await box.journal.write({})
        for user_id in users:
            box.outbox.wake(user_id, now)
        self._mailer.wake()

    def _learn(self, box: Box, record: Record, repairs: list[Outgoing]) -> dict[int, None]:
        address = parse_address(record.key, record.value)
        rows, newer = box.outbox.learn(address, record.value or b"")
        if newer is not None:
            # A late writer put an older address over it: whoever reads the compacted topic next would believe that one.
            repairs.append(Outgoing(ADDRESSES, record.key, newer))
        if rows:
            box.journal.write(rows)
        return {address.user_id: None}

    async def _accept(self, box: Box, record: Record, now: int) -> dict[int, None]:
        headers = dict(record.headers)
        if ORDER in headers:
            await self._order(box, record, headers[ORDER], now)
            return {}
        request = parse_request(record.key, record.value)
        replay = (headers.get(REPLAY) or b"").decode(errors="replace")
        taken, rows = box.outbox.accept(now, record.offset, request, record.value or b"", replay)
        if taken in (Taken.DUPLICATE, Taken.EXPIRED):
            metrics.EMAILS.labels(template=template_of(request.type), outcome=taken.value).inc()
        if rows:
            box.journal.write(rows)
        return {request.recipient: None}

    async def _order(self, box: Box, record: Record, verb: bytes | None, now: int) -> None:
        try:
            body = orjson.loads(record.value or b"")
            user_id, identity, name = int(body["recipient"]), str(body["id"]), (verb or b"").decode()
        except (ValueError, KeyError, TypeError):
            refuse(Code.WRONG_TYPE, "the order cannot be read")
        if name not in VERBS:
            refuse(Code.WRONG_TYPE, "the order is not known")
        await self._mailer.settle(box, box.outbox.order(user_id, identity, name, now))


def register(app: AppT, intake: Intake) -> AgentT[Any]:
    """Add the agent to the application."""

    @app.agent(app.topic(REQUESTS, ADDRESSES, schema=BatchSchema()), name="outbox")
    async def fill_outboxes(stream: StreamT[Any]) -> None:
        """Take requests and addresses into the outboxes."""
        async for batch in batches(stream):
            await intake.take(batch)
            batch.ack()

    return fill_outboxes
