"""The fold agent: the unified stream, folded into the table, and into requests for mail."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from faust.types import AgentT, AppT, StreamT

from agents.batch_rows import BatchRows
from agents.deadletter import dead_letter
from agents.recipients import NOBODY, Mailing, concerned, is_only, mailing, mailing_of_later
from agents.requests import address, requests
from app import logs, metrics
from app.domain import later_event
from app.domain.errors import BadRecord, Code
from app.domain.fold import Delta, apply, deltas
from app.domain.positions import check
from app.domain.recent_records import RecentRecords, SharedRecord
from app.domain.rows import Row, personal_task_row_key, task_row_key, team_row_key
from app.domain.topics import UNIFIED
from app.domain.unified import UnifiedRecord
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.sender import Sender
from app.kafka.transport.batches import Batch, BatchSchema, batches
from tables.table import StateTable

log = logs.get(__name__)

SLICE_RECORDS = 64
"""After so many records the loop lets others in: a team beside a flood would wait for the whole batch else."""


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

    async def fold(self, batch: Batch) -> None:
        """Fold a batch; return once its rows are in the changelog and on disk, and its requests for mail in the broker.

        Raises:
            SendFailed: The changelog, a request or a dead letter was not acknowledged.
        """
        await asyncio.gather(*(self._fold(tp.partition, records) for tp, records in batch.parts.items()))

    async def _fold(self, partition: int, records: list[Record]) -> None:
        rows = BatchRows(lambda key: self._table.value(partition, key))
        dead: list[Outgoing] = []
        mail: list[Outgoing] = []
        # Rows that contain a record were written behind its requests: those are in the broker, and the rows are no
        # longer as they were at that point of the log, so they could not be worked out again.
        asked = self._table.contains(partition)
        newest: dict[str, Record] = {}
        now_ms = int(time.time() * 1000)
        for count, record in enumerate(records):
            if count and count % SLICE_RECORDS == 0:
                # A rebalance may come in between, as it may while what follows is sent: writing merges with what is there.
                await asyncio.sleep(0)
            asks = record.offset > asked
            try:
                shared: SharedRecord = record.made or self._recent.read(record.value, record.headers, record.key)
                says = None if shared.unified.event.type in later_event.TYPES else deltas(*shared.unified)
            except ValueError as error:
                bad = error if isinstance(error, BadRecord) else BadRecord(Code.WRONG_TYPE, str(error))
                metrics.DEAD_LETTERS.labels(topic=UNIFIED, code=bad.code.value).inc()
                log.warning("a record is no unified event", topic=UNIFIED, partition=partition, offset=record.offset, code=bad.code.value)
                dead.append(dead_letter(record, bad, now_ms))
                continue
            event = shared.unified.event
            if not event.type.startswith("_"):
                newest[event.key] = record
            if says is None and (wanted := fold_task(shared, rows, asks=asks)) is not None:
                if wanted.recipients:
                    mail += requests(shared.unified, record, wanted, self._log_id())
                continue
            # What parses has the ids that a task's event needs: these say something, at last.
            mail += self._fold_any(shared.unified, deltas(*shared.unified) if says is None else says, record, rows, asks=asks)
        await self._dead_letters.send(dead)
        # Before the rows: see above. A crash between the two works the same requests out again, from the same rows.
        await self._sender.send(mail)
        lasts = {key: f"{record.offset} {check(self._log_id(), key, record.offset, record.headers)}" for key, record in newest.items()}
        await self._table.write(partition, rows.changed(), lasts, records[-1].offset)

    def _fold_any(self, unified: UnifiedRecord, says: list[Delta], record: Record, rows: BatchRows, *, asks: bool) -> list[Outgoing]:
        """Fold what an event says into the rows; give the mails that it asks for."""
        before = {key: rows.row(key) for key, _delta in says}
        now = apply(before.get, says)

        def earlier(key: str) -> Row | None:
            return before[key] if key in before else rows.row(key)

        def later(key: str) -> Row | None:
            return now.get(key) or earlier(key)

        mail = requests(unified, record, mailing(unified.event, says, earlier, later), self._log_id()) if asks else []
        mail += address(unified, later)
        for key, row in now.items():
            rows.put_row(key, row)
        return mail


def fold_task(shared: SharedRecord, rows: BatchRows, *, asks: bool) -> Mailing | None:
    """Fold an event that makes or changes a task of a team that has been heard of before, or a personal one, as nearly all do.

    Nearly all are later than all that is known of their task: it is written into the stored row as it is (`later_event.fold`).

    Args:
        shared: The event.
        rows: The rows that it changes.
        asks: Whether its mails are still to be asked for.

    Returns:
        Who gets a mail; ``None`` where it was not folded, and the rows are as they were.
    """
    event = shared.unified.event
    if event.type not in later_event.TYPES:
        return None
    task_id = event.data["taskId"]
    if event.team_id is None:
        key = personal_task_row_key(int(event.key.removeprefix("user:")), task_id)
        plain = True
    else:
        team = rows.row(team_row_key(event.team_id))
        if team is None or "seen" not in team.marks:
            return None
        key = task_row_key(event.team_id, task_id)
        plain = later_event.leaves(team)
    stored = rows.value(key)
    folded = shared.folded(stored) if plain else None
    if folded is not None:
        rows.put(key, folded.row)
        # Whom it concerns are its creator and assignee: where these are who acted, there is nobody, and nothing to look at.
        return NOBODY if not asks or is_only(event.actor_id, (folded.creator, folded.assignee)) else mailing_of_later(event, rows.row)
    merged = shared.merged(stored)
    if merged.after is not merged.before:
        rows.put_both(key, merged.row, merged.after)
    if not asks or is_only(event.actor_id, concerned(event, merged.before, merged.after)):
        return NOBODY
    return mailing(event, (merged.says,), lambda name: merged.before if name == key else rows.row(name), rows.row)


def register(app: AppT, folding: Folding) -> AgentT[Any]:
    """Add the agent to the application."""

    @app.agent(app.topic(UNIFIED, schema=BatchSchema()), name="fold")
    async def fold_unified(stream: StreamT[Any]) -> None:
        """Fold the unified stream into the table."""
        async for batch in batches(stream):
            await folding.fold(batch)
            batch.ack()

    return fold_unified
