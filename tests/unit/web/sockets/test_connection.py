"""A connection's end, on a real socket: the code arrives, and nothing after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.test_utils import TestServer

from web.sockets.close_codes import CloseCode
from web.sockets.connection import Connection
from web.sockets.sink import RichSink


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
