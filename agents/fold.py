"""The fold agent: the unified stream, folded into the table, and into requests for mail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from faust.types import AgentT, AppT, StreamT

from agents.deadletter import dead_letter
from agents.recipients import mailing
from agents.requests import address, requests
from app import logs, metrics
from app.domain.errors import BadRecord, Code
from app.domain.fold import apply, deltas
from app.domain.positions import check
from app.domain.recent_records import RecentRecords
from app.domain.rows import Row
from app.domain.topics import UNIFIED
from app.kafka.deadletters import DeadLetters
from app.kafka.sender import Outgoing, Sender
from app.kafka.transport.batches import Batch, BatchSchema, Record, batches
from tables.table import StateTable

log = logs.get(__name__)

GATHER_SECONDS = 0.04
"""From one batch to the next where little comes and nobody waits for the rows: two requests and a write to disk serve many."""


class Folding:
    """Folds batches of unified records into rows, and asks for the mails about them."""

    def __init__(
        self, table: StateTable, dead_letters: DeadLetters, sender: Sender, log_id: Callable[[], str], recent: RecentRecords
    ) -> None:
        self._table = table
        self._dead_letters = dead_letters
        self._sender = sender
        self._log_id = log_id
        self._recent = recent

    def wanted(self) -> bool:
        """Whether somebody waits for what has not been folded yet."""
        return self._table.wanted

    async def fold(self, batch: Batch) -> None:
        """Fold a batch; return once its rows are in the changelog and on disk, and its requests for mail in the broker.

        Raises:
            SendFailed: The changelog, a request or a dead letter was not acknowledged.
        """
        await asyncio.gather(*(self._fold(tp.partition, records) for tp, records in batch.parts.items()))

    async def _fold(self, partition: int, records: list[Record]) -> None:
        changed: dict[str, Row] = {}
        known: dict[str, Row | None] = {}
        dead: list[Outgoing] = []
        mail: list[Outgoing] = []
        # Rows that contain a record were written behind its requests: those are in the broker, and the rows are no
        # longer as they were at that point of the log, so they could not be worked out again.
        asked = self._table.contains(partition)
        newest: dict[str, Record] = {}
        now_ms = int(time.time() * 1000)

        def stored(key: str) -> Row | None:
            # A team's events come together: most of the rows that one looks at, the one before it looked at too.
            if key not in known:
                known[key] = self._table.row(partition, key)
            return known[key]

        for record in records:
            try:
                unified = self._recent.read(record.value, record.headers, record.key).unified
                says = deltas(unified.event, unified.source)
            except ValueError as error:
                bad = error if isinstance(error, BadRecord) else BadRecord(Code.WRONG_TYPE, str(error))
                metrics.DEAD_LETTERS.labels(topic=UNIFIED, code=bad.code.value).inc()
                log.warning("a record is no unified event", topic=UNIFIED, partition=partition, offset=record.offset, code=bad.code.value)
                dead.append(dead_letter(record, bad, now_ms))
                continue
            if not unified.event.type.startswith("_"):
                newest[unified.event.key] = record
            before = {key: stored(key) for key, _delta in says}
            now = apply(before.get, says)

            def earlier(key: str, before: dict[str, Row | None] = before) -> Row | None:
                return before[key] if key in before else stored(key)

            def later(key: str, now: dict[str, Row] = now, earlier: Callable[[str], Row | None] = earlier) -> Row | None:
                return now.get(key) or earlier(key)

            if record.offset > asked:
                mail += requests(unified, record, mailing(unified.event, says, earlier, later), self._log_id())
            mail += address(unified, later)
            known |= now
            changed |= now
        await self._dead_letters.send(dead)
        # Before the rows: see above. A crash between the two works the same requests out again, from the same rows.
        await self._sender.send(mail)
        lasts = {key: f"{record.offset} {check(self._log_id(), key, record.offset, record.headers)}" for key, record in newest.items()}
        await self._table.write(partition, changed, lasts, records[-1].offset)


def register(app: AppT, folding: Folding) -> AgentT[Any]:
    """Add the agent to the application."""

    @app.agent(app.topic(UNIFIED, schema=BatchSchema()), name="fold")
    async def fold_unified(stream: StreamT[Any]) -> None:
        """Fold the unified stream into the table."""
        async for batch in batches(stream, gather=GATHER_SECONDS, wanted=folding.wanted):
            await folding.fold(batch)
            batch.ack()

    return fold_unified
