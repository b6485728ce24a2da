"""The mailer: outboxes in memory, a real mail server, and what bounds the way between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic, time
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import pytest
from aiosmtpd.smtp import AuthResult

from app.errors import SendFailed
from notifications import mailer as mailers
from notifications import outbox
from notifications.mailer import Box, Mailer
from notifications.outbox import Outbox, Values
from notifications.settings import MailSettings
from tests.mail.server import MailServer
from tests.unit.notifications.world import LIMITS, Rows, address, request

SECRET = "s3cret-s3cret"


class Written(Rows):
    """A journal whose rows are on disk at once."""

    def write(self, rows: Values) -> asyncio.Future[bool]:  # type: ignore[override]
        super().write(rows)
        written: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        written.set_result(True)
        return written

    note = write

    def late(self) -> Values:
        return {}

    async def drain(self, _seconds: float) -> None:
        """Nothing is under way."""

    async def stop(self) -> None:
        """Nothing runs."""


class Post:
    """A mailer with one partition."""

    def __init__(self, **settings: Any) -> None:
        table = Mock(ready=set)
        self.dead = AsyncMock()
        self.mailer = Mailer(MailSettings(**settings), table, Mock(), cast(Any, Mock(send=self.dead)))
        self.outbox = Outbox(Written(), LIMITS, self.mailer._chance)
        self.mailer._boxes[0] = Box(0, cast(Any, self.outbox._rows), self.outbox)
        self._seq = 0

    def ask(self, user: int, event_id: str) -> None:
        now = int(time() * 1000)
        made, value = request(user, event_id, at=now)
        self._seq += 1
        _taken, rows = self.outbox.accept(now, self._seq, made, value)
        known, _newer = self.outbox.learn(*address(user))
        self.outbox._rows.write(rows | known)  # type: ignore[attr-defined]
        self.outbox.wake(user, now)
        self.mailer.wake()


@asynccontextmanager
async def post(server: MailServer, **settings: Any) -> AsyncIterator[Post]:
    async with asyncio.timeout(20):
        made = Post(**{"smtp_url": server.url, "mail_timeout": 5, **settings})
        await made.mailer.start()
        try:
            yield made
        finally:
            await made.mailer.leave(1.0)
            await made.mailer.stop()


async def test_no_more_connections_are_open_than_are_allowed_and_they_are_used_again() -> None:
    async with MailServer(fault=lambda _recipient, _tries: "slow:0.02") as server, post(server, mail_connections=3) as made:
        for number in range(30):
            made.ask(1 + number % 10, f"e{number}")
        await server.until(lambda: len(server.mails) == 30)
        assert (server.most_connections, server.accepted) == (3, 3)


async def test_a_users_mails_go_one_after_another_over_whichever_connection() -> None:
    async with MailServer() as server, post(server, mail_connections=5) as made:
        for number in range(20):
            made.ask(1, f"e{number}")
        await server.until(lambda: len(server.mails) == 20)
        assert server.to("u1@example.org") == [f"e{number}" for number in range(20)]


async def test_no_more_mails_go_in_a_second_than_are_allowed() -> None:
    async with MailServer() as server, post(server, mail_connections=10, mail_rate=20) as made:
        began = monotonic()
        for number in range(15):
            made.ask(1 + number, "e")
        await server.until(lambda: len(server.mails) == 15)
        # 14 pauses of 50 ms lie between the first and the last; however long the first one took to connect.
        assert monotonic() - began >= 0.69


async def test_a_wrong_password_holds_the_mails_back_and_kills_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailers, "BLOCKED_SECONDS", 0.02)
    good = False

    def check(*_given: Any) -> AuthResult:
        return AuthResult(success=good, handled=False)

    server = MailServer(options={"authenticator": check, "auth_require_tls": False})
    async with server, post(server, smtp_url=server.url.replace("//", f"//ann:{SECRET}@")) as made:
        for number in range(20):
            made.ask(1 + number, "e")
        await server.until(lambda: made.mailer.door.closed)
        assert "535" in made.mailer.door.error
        assert SECRET not in made.mailer.door.error
        assert server.mails == []
        good = True
        made.mailer.door._closed_until = 0.0
        await server.until(lambda: len(server.mails) == 20)
        made.dead.assert_not_called()


async def test_a_server_that_wants_a_password_that_is_not_set_kills_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "FIRST_PAUSE_MS", 10)
    server = MailServer(fault=lambda _recipient, tries: None if tries else "530 5.7.0 Authentication required")
    async with server, post(server) as made:
        made.ask(1, "e")
        await server.until(lambda: server.to("u1@example.org") == ["e"])
        made.dead.assert_not_called()


async def test_who_leaves_finishes_what_is_under_way_and_begins_nothing() -> None:
    async with MailServer(fault=lambda _recipient, _tries: "slow:0.1") as server:
        async with post(server, mail_connections=1) as made:
            for number in range(5):
                made.ask(1 + number, "e")
            await server.until(lambda: sum(server.tries.values()) == 1)
        assert len(server.mails) == 1


async def test_a_mail_is_not_sent_when_another_worker_has_written_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "DISTURBED_MS", 10)
    async with MailServer() as server, post(server) as made:
        journal = cast(Any, made.mailer._boxes[0].journal)
        write, tries = journal.write, []

        def fail_once(rows: Values) -> asyncio.Future[bool]:
            tries.append(rows)
            written: asyncio.Future[bool] = write(rows)
            if len(tries) > 1:
                return written
            alone: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
            alone.set_result(False)
            return alone

        made.mailer._boxes[0].journal = Mock(wraps=journal, write=fail_once)
        began = len(tries)
        made.ask(1, "e")
        await server.until(lambda: len(server.mails) == 1)
        assert (began, server.tries["u1@example.org"]) == (0, 1)
        assert len(tries) >= 2, "it looked again, and then sent"


async def test_a_partition_that_is_not_here_is_said_to_be_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailers, "LEAVE_SECONDS", 0.0)
    with pytest.raises(SendFailed):
        await Post().mailer.box(7)
