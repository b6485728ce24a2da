"""A connection's end, on a real socket: the code arrives, and nothing after it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from app import metrics
from tests.kafka.waiting import eventually
from web.sockets.close_codes import CloseCode
from web.sockets.connection import Connection
from web.sockets.sink import MAX_UNSENT_BYTES, RichSink


class Scripted(Connection):
    """A connection that does what the test says, before the handshake is answered or after."""

    subprotocol = "teamcast.v1"

    def __init__(self, before: Callable[[Scripted], object], after: Callable[[Scripted], object]) -> None:
        super().__init__(cast(Any, None))
        self.sink = RichSink(self.drained, self.close)
        self._before, self._after = before, after

    async def before_handshake(self) -> None:
        self._before(self)

    async def run(self) -> None:
        self._after(self)

    async def text(self, message: str) -> None:
        """Nothing comes."""


def nothing(_connection: Scripted) -> None:
    """Do nothing."""


Talk = Callable[..., Any]


@pytest.fixture
async def talk() -> AsyncIterator[Talk]:
    """Opens a scripted connection, and gives what came on it and the code that ended it."""
    scripts: list[Scripted] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        return await scripts[-1].serve(request)

    app = web.Application()
    app.router.add_get("/ws", handle)
    async with TestServer(app, host="127.0.0.1") as server, ClientSession() as session:

        async def opened(before: Callable[[Scripted], object], after: Callable[[Scripted], object]) -> tuple[list[str], int | None]:
            scripts.append(Scripted(before, after))
            async with session.ws_connect(server.make_url("/ws"), protocols=("teamcast.v1",)) as socket:
                said = [message.data async for message in socket if message.type is WSMsgType.TEXT]
                return said, socket.close_code

        yield opened


async def test_nothing_follows_the_close(talk: Talk) -> None:
    def end(connection: Scripted) -> None:
        connection.sink.send(b'{"said":"before"}')
        assert connection.close(CloseCode.LIMIT)
        assert not connection.sink.ready()
        connection.sink.send(b'{"said":"after"}')

    assert await talk(nothing, end) == (['{"said":"before"}'], 4504)


async def test_the_first_code_stands(talk: Talk) -> None:
    def end(connection: Scripted) -> None:
        assert connection.sink.disconnect()
        assert not connection.sink.disconnect()
        assert not connection.close(CloseCode.GOING_AWAY)

    assert await talk(nothing, end) == ([], 4502)


async def test_who_is_disconnected_while_the_handshake_is_answered_gets_the_code_and_nothing_else(talk: Talk) -> None:
    assert await talk(lambda connection: connection.sink.disconnect(), lambda connection: connection.sink.send(b"{}")) == ([], 4502)


# --- clients that never read


def then(after: Callable[[Scripted], object], ready: asyncio.Event) -> Callable[[Scripted], object]:
    """Do it, and say so."""

    def do(connection: Scripted) -> None:
        after(connection)
        ready.set()

    return do


@pytest.fixture
async def mute() -> AsyncIterator[Callable[[Callable[[Scripted], object]], Any]]:
    """Opens a scripted connection of a client that never reads; gives it, and a function that says whether it is still there."""
    clients: list[socket.socket] = []
    opened: list[Scripted] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        return await opened[-1].serve(request)

    app = web.Application()
    app.router.add_get("/ws", handle)
    async with TestServer(app, host="127.0.0.1") as server:

        async def connect(after: Callable[[Scripted], object]) -> tuple[asyncio.Transport | None, Callable[[], Awaitable[int]]]:
            ready = asyncio.Event()
            opened.append(Scripted(nothing, then(after, ready)))
            client = socket.socket()
            clients.append(client)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(client, (server.host, server.port))
            await loop.sock_sendall(client, HANDSHAKE)
            await asyncio.wait_for(ready.wait(), 5)
            web_server = server.handler
            [transport] = [one.transport for one in web_server.connections]

            async def there() -> int:
                return len(web_server.connections)

            return transport, there

        yield connect
        for client in clients:
            client.close()


HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_a_closed_socket_does_not_hold_for_ever_what_nobody_reads(monkeypatch: pytest.MonkeyPatch, mute: Any) -> None:
    monkeypatch.setattr("web.sockets.connection.END_SECONDS", 0.2)

    def end(connection: Scripted) -> None:
        for _ in range(3 * 16):  # the kernel takes some, the transport holds the rest
            connection.sink.send(b"x" * 2**16)
        connection.close(CloseCode.GOING_AWAY)

    transport, there = await mute(end)
    assert transport is not None
    assert transport.get_write_buffer_size() > 0
    await eventually(there, lambda count: count == 0, 5)


async def test_a_client_that_asks_and_never_reads_is_cut_before_it_holds_more_than_it_may(mute: Any) -> None:
    most = 0

    def flood(connection: Scripted) -> None:
        nonlocal most
        for _ in range(256):
            connection.sink.send(b"x" * 2**16)
            transport = connection._transport
            most = max(most, transport.get_write_buffer_size() if transport is not None else 0)

    before = metrics.DROPPED_CLIENTS.labels(reason="stalled")._value.get()
    _transport, there = await mute(flood)
    await eventually(there, lambda count: count == 0, 5)
    assert 2**21 < most <= MAX_UNSENT_BYTES
    assert metrics.DROPPED_CLIENTS.labels(reason="stalled")._value.get() == before + 1
