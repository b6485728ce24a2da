"""Clients that are slow, silent or endless before they have asked for anything, over raw TCP to a real server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from time import monotonic

import orjson
import pytest
from aiohttp import web

from tests.ports import free_port
from web import connections
from web.connections import HEAD_BYTES, HEADERS_MAX, LINE_BYTES, Runner
from web.problems import problems
from web.views import base
from web.views.base import json_body

#: Long enough that a busy machine says in it what it means to say, where the rest of a test is something else.
HEAD_SECONDS = 0.4
#: Of a server whose idle connections are tried; elsewhere they live on beyond every test.
IDLE_SECONDS = 1.0
#: Who is closed in time does not wait so long, however busy the machine is.
PATIENCE_SECONDS = 10.0
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
"""What asks for a socket, up to the empty line."""
ENDLESS = b"GET / HTTP/1.1\r\nX-A: " + b"a" * 4000
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


async def _answer(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read() or b"hello")


async def _json(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await json_body(request))


async def _late(_request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(2 * HEAD_SECONDS)
    return web.Response(body=b"late")


def _parser(request: web.Request) -> object:
    return request.protocol._parser


async def _socket(request: web.Request) -> web.StreamResponse:
    assert request.raw_headers == ()
    assert _parser(request) is not None
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    assert (_parser(request) is None) is not request.body_exists, "it is there as long as the socket, and of no use"
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@pytest.fixture
async def port(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server whose clients have little time for headers and much between requests, unless the test says otherwise."""
    head_seconds, idle_seconds = getattr(request, "param", (HEAD_SECONDS, 60.0))
    monkeypatch.setattr(connections, "IDLE_SECONDS", idle_seconds)
    application = web.Application(middlewares=[problems])
    application.router.add_route("*", "/", _answer)
    application.router.add_post("/json", _json)
    application.router.add_get("/late", _late)
    application.router.add_get("/ws", _socket)
    runner = Runner(application, head_seconds)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield port
    await runner.cleanup()


soon_idle = pytest.mark.parametrize("port", [(HEAD_SECONDS, IDLE_SECONDS)], indirect=True, ids=["soon idle"])
patient = pytest.mark.parametrize("port", [(60.0, 60.0)], indirect=True, ids=["patient"])


class Client:
    """Sends bytes and reads what comes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    async def response(self) -> tuple[int, dict[str, str], bytes]:
        """One answer, which has a length."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return int(head[0].split(" ")[1]), headers, body

    async def end(self) -> float:
        """Wait until the server closes, having said nothing more; the seconds that took."""
        began = monotonic()
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionResetError):
                assert await self._reader.read() == b""
        return monotonic() - began

    async def dribble(self, text: bytes, pause: float) -> None:
        """Send a byte, and another, until the server will have no more."""
        with contextlib.suppress(ConnectionError):
            for byte in text:
                self.writer.write(bytes((byte,)))
                await self.writer.drain()
                await asyncio.sleep(pause)


@pytest.fixture
async def client(port: int) -> AsyncIterator[Client]:
    """One connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield Client(reader, writer)
    writer.close()


async def test_who_says_nothing_is_closed(client: Client) -> None:
    assert await client.end() >= HEAD_SECONDS * 0.8


@pytest.mark.parametrize("text", [b"GET", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "])
async def test_who_stops_in_the_middle_of_the_headers_is_closed(client: Client, text: bytes) -> None:
    client.writer.write(text)
    await client.end()


async def test_who_dribbles_headers_gains_no_time_by_it(client: Client) -> None:
    dribbling = asyncio.create_task(client.dribble(ENDLESS, HEAD_SECONDS / 10))
    await client.end()
    dribbling.cancel()


async def test_a_second_request_has_the_same_time_from_its_first_byte_on(client: Client) -> None:
    client.writer.write(REQUEST)
    assert (await client.response())[0] == 200
    await asyncio.sleep(1.5 * HEAD_SECONDS)  # between requests there is more time
    client.writer.write(REQUEST)
    assert (await client.response())[0] == 200

    dribbling = asyncio.create_task(client.dribble(ENDLESS, HEAD_SECONDS / 10))
    await client.end()
    dribbling.cancel()


@soon_idle
async def test_who_asks_nothing_more_is_closed_after_the_longer_time(client: Client) -> None:
    client.writer.write(REQUEST)
    assert (await client.response())[0] == 200
    assert await client.end() >= IDLE_SECONDS * 0.8


async def test_an_answer_may_take_longer_than_the_question(client: Client) -> None:
    client.writer.write(b"GET /late HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.response())[::2] == (200, b"late")
    client.writer.write(REQUEST)
    assert (await client.response())[0] == 200


async def test_a_body_may_come_after_the_time_of_the_headers(client: Client) -> None:
    client.writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
    await asyncio.sleep(2 * HEAD_SECONDS)
    client.writer.write(b"b")
    assert (await client.response())[::2] == (200, b"ab")


@patient
async def test_a_body_that_does_not_come_is_not_waited_for(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BODY_SECONDS", 2 * HEAD_SECONDS)
    client.writer.write(b"POST /json HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{")
    status, headers, _ = await client.response()
    assert (status, headers["connection"]) == (408, "close")


@soon_idle
async def test_a_socket_outlives_every_deadline(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE + b"\r\n")
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(IDLE_SECONDS + HEAD_SECONDS)
    writer.write(b"\x81\x82\x00\x00\x00\x00hi")
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.readexactly(4) == b"\x81\x02hi"
    writer.close()


async def test_a_socket_that_is_asked_for_with_a_body_keeps_its_parser_until_that_is_read(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(UPGRADE + b"Content-Length: 5\r\n\r\n")
    assert b" 101 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"\x81\x82\x00\x00\x00\x00hi" * 2)
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await reader.readexactly(4) == b"\x81\x02hi"
    writer.close()


@patient
@pytest.mark.parametrize(
    ("text", "status"),
    [
        pytest.param(b"GET /?" + b"a" * LINE_BYTES + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431, id="request line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\nX-A: " + b"a" * (LINE_BYTES + 1) + b"\r\n\r\n", 431, id="header"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: a\r\n" * HEADERS_MAX + b"\r\n", 400, id="many headers"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 secret\r\n\r\n", 400, id="TLS"),
    ],
)
async def test_what_is_too_much_or_no_http_is_a_problem_and_the_end(client: Client, text: bytes, status: int) -> None:
    client.writer.write(text)
    found, headers, body = await client.response()
    assert (found, headers["content-type"]) == (status, "application/problem+json")
    assert orjson.loads(body)["status"] == status
    assert b"secret" not in body
    await client.end()


@patient
async def test_headers_have_a_bound_together(client: Client) -> None:
    line = b"X-A: " + b"a" * 4000 + b"\r\n"
    assert HEAD_BYTES // len(line) < HEADERS_MAX - 4, "or it is the number of lines that is tried"
    with contextlib.suppress(ConnectionError):
        client.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n" + line * (HEAD_BYTES // len(line) + 2))
        await client.writer.drain()
    await client.end()
