"""A mail server that does as it is told: an aiosmtpd on a real port, with faults."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import ssl
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope, Session

from tests.ports import free_port

Fault = Callable[[str, int], "str | None"]
"""Given the recipient and how many mails to them were tried before, what to do: ``None`` for nothing, else one of:

- an SMTP answer to RCPT (``452 later``) or, with ``data:`` before it, to DATA;
- ``drop``: the connection goes in the middle of DATA;
- ``die``: the mail is taken, and the connection goes before the answer.
- ``slow:<seconds>``: the answer takes so long.
"""


@dataclass(slots=True, frozen=True)
class Mail:
    """A mail that was taken."""

    recipient: str
    message: EmailMessage
    at: float
    answered: bool

    @property
    def event_id(self) -> str:
        return str(self.message["X-Teamcast-Event-Id"])

    @property
    def message_id(self) -> str:
        return str(self.message["Message-ID"])


@dataclass
class MailServer:
    """Takes mails on 127.0.0.1."""

    port: int = field(default_factory=free_port)
    fault: Fault | None = None
    mails: list[Mail] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    connections: int = 0
    most_connections: int = 0
    accepted: int = 0
    """Connections since the start, ended ones included."""
    tls: ssl.SSLContext | None = None
    """For TLS from the first byte."""
    options: dict[str, Any] = field(default_factory=dict)
    """More options of aiosmtpd."""
    _server: asyncio.Server | None = None
    _open: set[asyncio.Transport] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def __aenter__(self) -> MailServer:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.stop()

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make, "127.0.0.1", self.port, ssl=self.tls)

    async def stop(self) -> None:
        """Nobody answers any more, and the open connections go."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for transport in list(self._open):
            with contextlib.suppress(AttributeError):  # TLS that has ended: Python before 3.11.5 fails there
                transport.abort()

    def _make(self) -> SMTP:
        options = {"enable_SMTPUTF8": True, "hostname": "mail.example.org"} | self.options
        return _Faulty(self, loop=asyncio.get_running_loop(), **options)

    async def handle_RCPT(self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]) -> str:  # noqa: N802
        fault = self.fault(address, self.tries[address]) if self.fault else None
        self.tries[address] += 1
        cast(Any, session).fault = fault
        if fault and fault[:1].isdigit():
            return fault
        if fault == "drop":
            cast(Any, server).drop_in_data = True
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        fault = cast(Any, session).fault
        if fault and fault.startswith("data:"):
            return str(fault).removeprefix("data:")
        if fault and fault.startswith("slow:"):
            await asyncio.sleep(float(fault.removeprefix("slow:")))
        message = email.message_from_bytes(cast(bytes, envelope.content), policy=email.policy.default)
        self.mails.append(Mail(envelope.rcpt_tos[0], message, time.monotonic(), fault != "die"))
        self.changed.set()
        if fault == "die":
            cast(Any, server).transport.abort()
        return "250 OK"

    def to(self, recipient: str) -> list[str]:
        """Ids of the events that a recipient was mailed about, in the order in which they came."""
        return [mail.event_id for mail in self.mails if mail.recipient == recipient]

    async def until(self, condition: Callable[[], bool], seconds: float = 30.0) -> None:
        """Return once a condition holds."""
        deadline = time.monotonic() + seconds
        while not condition():
            self.changed.clear()
            left = deadline - time.monotonic()
            assert left > 0, f"not within {seconds} s; last came {[(mail.recipient, mail.event_id) for mail in self.mails[-20:]]}"
            try:
                await asyncio.wait_for(self.changed.wait(), min(left, 0.1))
            except TimeoutError:
                continue


class _Faulty(SMTP):
    """aiosmtpd, and connections that end in the middle of DATA."""

    def __init__(self, handler: MailServer, **options: Any) -> None:
        super().__init__(handler, **options)
        self._mail_server = handler
        self.drop_in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        server = self._mail_server
        server.connections += 1
        server.accepted += 1
        server.most_connections = max(server.most_connections, server.connections)
        server._open.add(cast(asyncio.Transport, transport))
        self._raw = transport
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._mail_server.connections -= 1
        self._mail_server._open.discard(cast(asyncio.Transport, self._raw))
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        if self.drop_in_data:
            await self.push("354 go on")
            await self._reader.readline()
            cast(asyncio.Transport, self.transport).abort()
            return
        await super().smtp_DATA(arg)
