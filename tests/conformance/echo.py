"""An echo, on the socket of GET /ws as it is: its handshake, its options, its heartbeat, its sink and its end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

from aiohttp import WSMessage, WSMsgType, web

from tests.ports import free_port
from web.connections import IDLE_SECONDS
from web.sockets.connection import Connection
from web.sockets.sink import RichSink


class Echo(Connection):
    """Sends back what came. Everything but the content of messages is left to `Connection`."""

    subprotocol = "teamcast.v1"

    def __init__(self) -> None:
        super().__init__(cast(Any, None))
        self.sink = RichSink(self.drained, self.close)

    async def run(self) -> None:
        """Nothing is sent by itself."""

    async def text(self, message: str) -> None:
        self.sink.send(message.encode())


class FramingEcho(Echo):
    """The same for binary messages and for messages of any size, which /ws refuses: so that every case reaches the framing."""

    max_message_bytes: ClassVar[int] = 17 * 1024 * 1024

    async def text(self, message: str) -> None:
        await self._socket.send_str(message)

    async def _take(self, message: WSMessage) -> None:
        if message.type is WSMsgType.BINARY:
            await self._socket.send_bytes(message.data)
        else:
            await super()._take(message)


@asynccontextmanager
async def echo_server(connection: type[Echo]) -> AsyncIterator[str]:
    """The address of an echo that runs."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await connection().serve(request)

    application = web.Application()
    application.router.add_get("/ws", handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1, keepalive_timeout=IDLE_SECONDS)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"ws://127.0.0.1:{port}/ws"
    finally:
        await runner.cleanup()
