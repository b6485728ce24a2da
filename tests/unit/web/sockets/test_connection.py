"""A connection's end, on a real socket: the code arrives, and nothing after it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from app import metrics
from tests.kafka.waiting import eventually
from web.sockets import connection as connections
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


# --- the end of the socket below


@pytest.fixture
async def line() -> AsyncIterator[Callable[[Callable[[Scripted], object]], Any]]:
    """Opens a scripted connection of a client that does nothing by itself; gives the connection and the client's side."""
    made: list[Scripted] = []
    writers: list[asyncio.StreamWriter] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        return await made[-1].serve(request)

    app = web.Application()
    app.router.add_get("/ws", handle)
    async with TestServer(app, host="127.0.0.1") as server:

        async def connect(
            after: Callable[[Scripted], object], handshake: bytes = HANDSHAKE
        ) -> tuple[Scripted, asyncio.StreamReader, asyncio.StreamWriter, bytes]:
            made.append(Scripted(nothing, after))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writers.append(writer)
            writer.write(handshake)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
            return made[-1], reader, writer, head

        yield connect
        for writer in writers:
            writer.close()


def masked(opcode: int, payload: bytes) -> bytes:
    """A client's frame; its mask is zero."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Everything until the server closes."""
    return await asyncio.wait_for(reader.read(), 5)


DISCONNECTED = b"\x88\x0e" + (4502).to_bytes(2, "big") + b"disconnected"


PING, PONG = b"\x89\x00", 0xA


async def test_who_answers_pings_stays_and_who_does_not_is_closed(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEARTBEAT_SECONDS", 0.01)
    before = metrics.REGISTRY.get_sample_value("teamcast_dropped_clients_total", {"reason": "no_pong"}) or 0.0
    _connection, reader, writer, _head = await line(nothing)
    for _ in range(3):
        assert await asyncio.wait_for(reader.readexactly(2), 5) == PING
        writer.write(masked(PONG, b""))
    assert await asyncio.wait_for(reader.readexactly(2), 5) == PING
    monkeypatch.setattr(connections, "PONG_SECONDS", 0.01)
    writer.write(masked(PONG, b""))
    assert (await asyncio.wait_for(reader.readexactly(6), 5))[:2] == PING
    assert metrics.REGISTRY.get_sample_value("teamcast_dropped_clients_total", {"reason": "no_pong"}) == before + 1


async def test_a_connection_that_ended_leaves_no_timer(line: Any) -> None:
    connection, reader, writer, _head = await line(nothing)
    writer.write(masked(8, (1000).to_bytes(2, "big")))
    await ended(reader)

    async def cancelled() -> bool:
        return connection._beat_timer is not None and connection._beat_timer.cancelled()

    await eventually(cancelled, bool)


async def test_a_socket_that_is_closed_stays_until_the_client_has_answered(line: Any) -> None:
    _connection, reader, writer, _head = await line(lambda one: one.close(CloseCode.DISCONNECTED))
    assert await reader.readexactly(len(DISCONNECTED)) == DISCONNECTED
    writer.write(masked(1, b"on its way"))  # to a socket that is gone this would be answered with a reset, and the code be lost
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(reader.read(1), 0.1)
    writer.write(masked(8, (4502).to_bytes(2, "big")))
    assert await ended(reader) == b""


async def test_a_client_that_closes_is_answered_once(line: Any) -> None:
    _connection, reader, writer, _head = await line(nothing)
    writer.write(masked(8, (1000).to_bytes(2, "big")))
    assert await ended(reader) == b"\x88\x02" + (1000).to_bytes(2, "big")


async def test_closing_frames_that_cross_are_answered_with_nothing_more(line: Any) -> None:
    connection, reader, writer, _head = await line(nothing)
    writer.write(masked(8, (1000).to_bytes(2, "big")))
    assert connection.close(CloseCode.DISCONNECTED)
    assert await ended(reader) == DISCONNECTED


async def test_a_client_that_never_answers_is_cut(line: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.sockets.connection.END_SECONDS", 0.2)
    _connection, reader, _writer, _head = await line(lambda one: one.close(CloseCode.DISCONNECTED))
    with suppress(ConnectionResetError):
        await ended(reader)
    assert reader.at_eof() or reader.exception()


async def test_a_handshake_that_is_none_gets_its_answer(line: Any) -> None:
    *_, head = await line(nothing, HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X-Key"))
    assert head.startswith(b"HTTP/1.1 400 ")


async def test_what_a_closed_client_sends_is_not_looked_at(line: Any) -> None:
    connection, reader, writer, _head = await line(nothing)
    taken: list[str] = []

    async def take(message: str) -> None:
        taken.append(message)

    connection.text = take
    writer.write(masked(1, b"before"))
    await eventually(lambda: asyncio.sleep(0, taken), lambda found: found == ["before"], 5)
    connection.close(CloseCode.LIMIT)
    writer.write(masked(1, b"after") + masked(9, b"ping") + masked(8, b""))
    assert await ended(reader) == b"\x88\x0f" + (4504).to_bytes(2, "big") + b"limit reached"
    assert taken == ["before"]


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
