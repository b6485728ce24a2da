"""Talking SMTP: a connection that is used again, what its answers mean, and when to knock at a door that was shut."""

from __future__ import annotations

import asyncio
import logging
import random
import socket
from dataclasses import dataclass
from time import monotonic

import aiosmtplib
from aiosmtplib import SMTP, SMTPException, SMTPNotSupported, SMTPResponseException, SMTPServerDisconnected

from app.domain.errors import one_line
from app.settings import is_loopback
from notifications.message import Message
from notifications.outbox import FIRST_PAUSE_MS, LONGEST_PAUSE_MS, Outcome
from notifications.settings import Smtp

log = logging.getLogger(__name__)

CONNECT_SECONDS = 10.0
IDLE_SECONDS = 30.0
"""A connection without mail is closed; servers close them too, some sooner."""
FRESH_SECONDS = 5.0
"""One that was idle for longer is asked whether it is still there."""
MAILS = 200
"""Of one connection; servers have limits of their own."""
PERMANENT = 500
OURS = frozenset((530, 534, 535, 538))
"""5xx that are about this service and not about the mail: it must authenticate or encrypt (RFC 4954, RFC 3207)."""


class Unreachable(Exception):  # noqa: N818  (it is a state of the server, not a fault of ours)
    """There is no connection to be had for now."""


@dataclass(slots=True, frozen=True)
class Answer:
    """How a try ended."""

    outcome: Outcome
    error: str = ""
    code: str = ""
    """The dead letter's error code, if it comes to one."""


class Door:
    """Whether the server can be knocked at: after a failure one connection tries, the others wait for how it goes."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._failures = 0
        self._closed_until = 0.0
        self._knocking = asyncio.Lock()
        self.error = ""

    @property
    def closed(self) -> bool:
        """Whether the last try found no server."""
        return self._failures > 0

    @property
    def wait_seconds(self) -> float:
        """Until the next try may be made."""
        return max(0.0, self._closed_until - monotonic())

    async def through(self, connection: Connection) -> None:
        """Connect, when it is time to.

        Raises:
            Unreachable: There is no server, or it is not time yet.
        """
        if self.wait_seconds or (self.closed and self._knocking.locked()):
            raise Unreachable(self.error)
        if not self.closed:
            await self._knock(connection)
            return
        async with self._knocking:
            await self._knock(connection)

    async def _knock(self, connection: Connection) -> None:
        try:
            await connection.open()
        except Unreachable as error:
            if self.wait_seconds:
                raise  # of several that knocked at once the first has counted
            self._failures += 1
            pause = min(FIRST_PAUSE_MS * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE_MS) / 1000
            self._closed_until = monotonic() + max(FIRST_PAUSE_MS / 1000, pause * self._chance.uniform(0.5, 1.0))
            if str(error) != self.error or self._failures == 1:
                log.warning("no mails can be sent for now, they wait: %s", error)
            self.error = str(error)
            raise
        if self._failures:
            log.info("the mail server takes mails again")
        self._failures = 0


class Connection:
    """One connection to the server, opened when it is needed."""

    def __init__(self, smtp: Smtp, timeout_seconds: float) -> None:
        self._smtp = smtp
        self._timeout = timeout_seconds
        self._client: SMTP | None = None
        self._mails = 0
        self._used = 0.0
        self.outcome: asyncio.Future[bool] | None = None
        """Done when the outcome of the last mail is written; ``None``: there is nothing to wait for."""

    async def ready(self) -> bool:
        """Whether the connection can be used as it is; one that cannot is closed."""
        client = self._client
        if client is None:
            return False
        if client.is_connected and self._mails < MAILS:
            if monotonic() - self._used < FRESH_SECONDS:
                return True
            try:
                await client.noop(timeout=min(self._timeout, CONNECT_SECONDS))
            except (SMTPException, OSError, ValueError):
                pass
            else:
                return True
        await self.close()
        return False

    async def open(self) -> None:
        """Connect, with TLS and authentication as SMTP_URL asks for.

        Raises:
            Unreachable: It was not possible; the message says why, and holds no secret.
        """
        smtp = self._smtp
        client = SMTP(
            hostname=smtp.host,
            port=smtp.port,
            use_tls=smtp.tls,
            local_hostname=socket.gethostname(),
            start_tls=False if smtp.tls or smtp.starttls == "never" else True if smtp.starttls == "required" else None,
            timeout=min(self._timeout, CONNECT_SECONDS),
        )
        try:
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                await client.connect()
                if smtp.username is not None and smtp.password is not None:
                    if client.get_transport_info("sslcontext") is None and smtp.starttls != "never" and not is_loopback(smtp.host):
                        raise Unreachable("the server offers no TLS, and the password is not sent without (SMTP_URL ?starttls=never does)")
                    await client.login(smtp.username, smtp.password)
        except Unreachable:
            client.close()
            raise
        except SMTPResponseException as error:
            client.close()
            raise Unreachable(one_line(f"{smtp.host}:{smtp.port}: {error.code} {error.message}")) from None
        except (SMTPException, OSError, TimeoutError, ValueError) as error:
            client.close()
            raise Unreachable(one_line(f"{smtp.host}:{smtp.port}: {str(error) or type(error).__name__}")) from None
        self._client, self._mails, self._used = client, 0, monotonic()

    async def send(self, message: Message) -> Answer:
        """Send one mail over the open connection; every end of it is an answer."""
        client = self._client
        if client is None:
            return Answer(Outcome.DEFERRED, "the connection is gone")
        options = ["SMTPUTF8", "BODY=8BITMIME"] if message.needs_utf8 else []
        if message.needs_utf8 and not client.supports_extension("smtputf8"):
            return Answer(Outcome.REFUSED, "the server takes no address that is not ASCII (SMTPUTF8)", "bad-address")
        encoding = "utf-8" if message.needs_utf8 else "ascii"
        under_way = False
        try:
            # Each step has the time limit on its own; a server that answers drop by drop has it for the whole too.
            async with asyncio.timeout(4 * self._timeout):
                await client.mail(message.sender, options=options, encoding=encoding, timeout=self._timeout)
                await client.rcpt(message.recipient, encoding=encoding, timeout=self._timeout)
                under_way = True
                await client.data(message.body, timeout=self._timeout)
        except SMTPResponseException as error:
            return await self._answered(error)
        except (SMTPNotSupported, UnicodeError, ValueError) as error:
            await self.close()
            return Answer(Outcome.REFUSED, one_line(str(error) or type(error).__name__), "bad-address")
        except (SMTPServerDisconnected, SMTPException, OSError, TimeoutError) as error:
            await self.close()
            return Answer(Outcome.LOST if under_way else Outcome.DEFERRED, one_line(str(error) or type(error).__name__), "connection-lost")
        self._mails += 1
        self._used = monotonic()
        return Answer(Outcome.SENT)

    async def _answered(self, error: SMTPResponseException) -> Answer:
        text = one_line(f"{error.code} {error.message}")
        client = self._client
        try:
            if client is None or error.code == aiosmtplib.SMTPStatus.domain_unavailable:
                await self.close()
            else:
                await client.rset(timeout=self._timeout)
        except (SMTPException, OSError, ValueError):
            await self.close()
        # Neither 4xx nor 5xx is nothing that a server says for good: it is tried again.
        refused = PERMANENT <= error.code < PERMANENT + 100 and error.code not in OURS
        return Answer(Outcome.REFUSED if refused else Outcome.DEFERRED, text, f"smtp-{error.code}")

    async def close(self) -> None:
        """Say good-bye, within a bound."""
        client, self._client = self._client, None
        if client is None:
            return
        try:
            if client.is_connected:
                await client.quit(timeout=1.0)
        except (SMTPException, OSError, ValueError):
            pass
        finally:
            client.close()
