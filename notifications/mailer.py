"""The mailer: sends what the outboxes of this worker's partitions have due, over a bounded number of connections."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from time import monotonic, time

from mode import Service

from app import metrics
from app.domain.requests import Request, parse_request
from app.errors import SendFailed
from app.kafka.deadletters import DeadLetters
from app.kafka.outgoing import Outgoing
from app.kafka.sender import Sender
from app.kafka.topics import OUTBOX_CHANGELOG
from notifications import rows
from notifications.journal import Journal
from notifications.letters import dead_letter
from notifications.message import BadAddress, Message, compose
from notifications.outbox import Attempt, Ending, Limits, Outbox, Outcome
from notifications.settings import MailSettings
from notifications.smtp import IDLE_SECONDS, Answer, Connection, Door, Unreachable
from notifications.table import OutboxTable
from notifications.templates import template_of
from tables.changelog import Changelog

ADOPT_SECONDS = 0.2
"""How often partitions are looked for that are new here."""
SWEEP_SECONDS = 30.0
"""Pause between two walks over what is on disk, when everybody who waits is in memory."""
STEP_SECONDS = 0.02
"""Between two pages of a walk."""
LEAVE_SECONDS = 5.0
"""What a partition that goes waits for mails under way; what is later is sent again by the next owner."""
BLOCKED_SECONDS = 10.0
"""How often the mails are looked through that wait for a server that cannot be reached."""


def now_ms() -> int:
    """The time, milliseconds since the epoch."""
    return int(time() * 1000)


@dataclass(slots=True)
class Box:
    """The outbox of one partition, and its journal."""

    partition: int
    journal: Journal
    outbox: Outbox
    open: bool = True


class Mailer(Service):
    """Sends the mails of this worker's partitions."""

    def __init__(self, settings: MailSettings, table: OutboxTable, sender: Sender, dead_letters: DeadLetters) -> None:
        super().__init__()
        self._sender = sender
        self._settings = settings
        self._table = table
        self._changelog = Changelog(settings, sender, OUTBOX_CHANGELOG, rows.merge)
        self._dead_letters = dead_letters
        self._chance = random.Random()  # noqa: S311  (spreads retries, keeps no secret)  # nosec B311
        self._limits = Limits(
            int(settings.mail_max_age * 1000),
            int(settings.mail_retry_hours * 3_600_000),
            int(settings.mail_address_wait * 1000),
            settings.mail_users,
        )
        self._boxes: dict[int, Box] = {}
        self._turn = 0
        self._due = asyncio.Event()
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._next_send = 0.0
        self.door = Door(self._chance)

    # --- partitions

    async def box(self, partition: int) -> Box:
        """The outbox of a partition that is this worker's.

        Raises:
            SendFailed: It is not, or not any more.
        """
        deadline = monotonic() + LEAVE_SECONDS
        while partition not in self._boxes and partition not in self._table.ready():
            if monotonic() > deadline or self.should_stop:
                raise SendFailed(f"the outbox of partition {partition} is not here")
            await asyncio.sleep(0.02)
        found = self._boxes.get(partition)
        if found is None:
            journal = Journal(partition, self._table.rows, self._changelog)
            found = self._boxes[partition] = Box(partition, journal, Outbox(journal, self._limits, self._chance))
            await self.add_runtime_dependency(journal)
        return found

    async def leave(self, seconds: float = LEAVE_SECONDS) -> None:
        """Begin no more mails, and wait, within a bound, for those under way: all partitions go, or may go."""
        gone = list(self._boxes.values())
        self._boxes.clear()
        for box in gone:
            box.open = False
        deadline = monotonic() + seconds
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        for box in gone:
            await box.journal.drain(max(0.1, deadline - monotonic()))
            await box.journal.stop()

    @Service.task
    async def _adopt(self) -> None:
        """Take over the outboxes of partitions whose requests have all been read: nobody else would wake them."""
        while not self.should_stop:
            for partition in self._table.ready() - set(self._boxes):
                await self.box(partition)
            await self.sleep(ADOPT_SECONDS)

    @Service.task
    async def _sweep(self) -> None:
        while not self.should_stop:
            busy = False
            for box in list(self._boxes.values()):
                if not box.open:
                    continue
                forgotten, ended = box.outbox.sweep(now_ms())
                if forgotten:
                    box.journal.note(forgotten)
                busy |= not ended or box.outbox.overflow
                self.wake()
                await asyncio.sleep(0)
            await self.sleep(STEP_SECONDS if busy else SWEEP_SECONDS / 30)

    # --- sending

    def wake(self) -> None:
        """Something may be due."""
        self._due.set()

    async def on_start(self) -> None:
        """Start the connections' loops."""
        for _ in range(self._settings.mail_connections):
            self.add_future(self._send_all(Connection(self._settings.smtp, self._settings.mail_timeout)))

    async def _send_all(self, connection: Connection) -> None:
        try:
            while not self.should_stop:
                if not await self._something_due(connection):
                    continue
                # Before the connection is looked at: while its turn is waited for, the server may close it.
                await self._paced()
                if not await self._connected(connection):
                    continue
                for box in self._in_turn():
                    if await self._one(box, connection):
                        break
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            await self.crash(error)
            raise
        finally:
            await connection.close()

    async def _something_due(self, connection: Connection) -> bool:
        """Wait for a mail that is due; ``False``: look again."""
        due = [at for box in self._boxes.values() if box.open and (at := box.outbox.next_due()) is not None]
        wait = min(due, default=now_ms() + 3_600_000) - now_ms()
        if wait <= 0:
            return True
        self._due.clear()
        try:
            async with asyncio.timeout(min(wait / 1000, IDLE_SECONDS)):
                await self._due.wait()
        except TimeoutError:
            if wait / 1000 > IDLE_SECONDS:
                await connection.close()
        return False

    async def _connected(self, connection: Connection) -> bool:
        if await connection.ready():
            return True
        try:
            await self.door.through(connection)
        except Unreachable:
            await self.sleep(min(max(self.door.wait_seconds, 0.05), 1.0))
            return False
        return True

    async def _paced(self) -> None:
        if self._settings.mail_rate:
            at = max(self._next_send, monotonic())
            self._next_send = at + 1 / self._settings.mail_rate
            await self.sleep(at - monotonic())

    def _in_turn(self) -> list[Box]:
        """The open boxes, another one first each time."""
        boxes = [box for box in self._boxes.values() if box.open]
        self._turn += 1
        cut = self._turn % len(boxes) if boxes else 0
        return boxes[cut:] + boxes[:cut]

    async def _one(self, box: Box, connection: Connection) -> bool:
        """Send the next mail of a box that is due; ``False``: there is none."""
        if not box.open or (found := box.outbox.begin(now_ms())) is None:
            return False
        self._under_way += 1
        self._idle.clear()
        try:
            if isinstance(found, Ending):
                await self._settle(box, found)
            else:
                await self._try(box, found, connection)
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()
        return True

    async def _try(self, box: Box, attempt: Attempt, connection: Connection) -> None:
        request = parse_request(b"user:%d" % attempt.mail.user_id, attempt.mail.request)
        template = template_of(request.type)
        answer = self._composed(request, attempt)
        if isinstance(answer, Message):
            # The intent is in the changelog, and nobody else wrote there since, before the server hears of the mail.
            if not await self._intended(box, attempt):
                answer = Answer(Outcome.DISTURBED)
            else:
                # The outcome of the mail before is written: in doubt after a crash is one mail a connection, and no more.
                await self._written(box, connection)
                if attempt.unsure:
                    metrics.EMAILS.labels(template=template, outcome="unsure").inc()
                answer = await connection.send(answer)
        if answer.outcome is Outcome.LOST:
            metrics.EMAILS.labels(template=template, outcome="unsure").inc()
        if answer.outcome is Outcome.SENT:
            metrics.EMAILS.labels(template=template, outcome="sent").inc()
        elif answer.outcome is not Outcome.DISTURBED:
            self.log.info("mail %s to user %s: %s", attempt.mail.identity, attempt.mail.user_id, answer.error)
        ending = box.outbox.finish(attempt, answer.outcome, answer.error, answer.code, now_ms())
        if answer.outcome in (Outcome.DEFERRED, Outcome.LOST) and ending.dead is None:
            metrics.EMAILS.labels(template=template, outcome="deferred").inc()
        connection.outcome = await self._settle(box, ending)
        self.wake()

    async def _written(self, box: Box, connection: Connection) -> None:
        noted, connection.outcome = connection.outcome, None
        if noted is not None:
            try:
                await noted
            except SendFailed:
                if box.open:
                    raise

    async def _intended(self, box: Box, attempt: Attempt) -> bool:
        try:
            alone = await box.journal.write(attempt.rows)
        except SendFailed:
            if box.open:
                raise
            return False
        return alone and box.open

    def _composed(self, request: Request, attempt: Attempt) -> Message | Answer:
        try:
            return compose(request, attempt.address, self._settings.mail_from, self._settings.public_url, attempt.state.since)
        except BadAddress as error:
            return Answer(Outcome.REFUSED, str(error), "bad-address")

    async def _settle(self, box: Box, ending: Ending) -> asyncio.Future[bool] | None:
        """Write what a mail came to; done when the rows are written."""
        if ending.cancelled is not None:
            request = parse_request(b"user:%d" % ending.cancelled.user_id, ending.cancelled.request)
            metrics.EMAILS.labels(template=template_of(request.type), outcome="cancelled").inc()
        if ending.dead is not None:
            mail, state, code = ending.dead
            letter = dead_letter(mail, state, code, now_ms())
            await self._dead_letters.send([letter.record])
            metrics.EMAILS.labels(template=letter.template, outcome="dead").inc()
        noted = box.journal.note(ending.rows) if ending.rows else None
        if ending.dead is not None:
            box.outbox.buried(ending.dead[0], now_ms())
            self.wake()
        if late := box.journal.late():
            # The partition went while the mail was under way: its new owner learns from the changelog that it was sent.
            await self._sender.send([Outgoing(OUTBOX_CHANGELOG, key, value, partition=box.partition) for key, value in late.items()])
        return noted

    async def settle(self, box: Box, ending: Ending) -> None:
        """Write what an operator's order came to; it is on its way when this returns."""
        await self._settle(box, ending)

    @Service.task
    async def _blocked(self) -> None:
        while not self.should_stop:
            await self.sleep(BLOCKED_SECONDS if self._settings.mail_retry_hours * 3600 > BLOCKED_SECONDS else 0.5)
            if not self.door.closed:
                continue
            for box in list(self._boxes.values()):
                users = box.outbox.waiting()
                for start in range(0, len(users), 200):
                    for ending in box.outbox.unreachable(users[start : start + 200], self.door.error, now_ms()):
                        await self._settle(box, ending)
                    await asyncio.sleep(0)
                    if not box.open:
                        break

    # --- for operators

    def boxes(self) -> list[Box]:
        """The outboxes of this worker."""
        return list(self._boxes.values())
