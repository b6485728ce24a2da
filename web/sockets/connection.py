"""A connection: one socket from its handshake to its end. What it says is its mode's business."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import Any, ClassVar

from aiohttp import WSMessage, WSMsgType, web

from app import metrics
from delivery.hub import Hub
from delivery.listener import Listener
from web.sockets.close_codes import REASONS, CloseCode
from web.sockets.protocol import MAX_COMMAND_BYTES
from web.sockets.sink import PlainSink

HEARTBEAT_SECONDS = 25.0
PONG_SECONDS = 10.0
END_SECONDS = 15.0
"""A socket that is closed, by either side, is gone after so long. It is longer than aiohttp waits for the answer to a close frame."""


class Connection(ABC):
    """What every mode shares: the socket, its heartbeat, its end."""

    subprotocol: str
    sink: PlainSink
    max_message_bytes: ClassVar[int] = MAX_COMMAND_BYTES

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.listener: Listener | None = None
        self.welcomed = False
        """Whether messages that are no answers may be sent: a client hears nothing before its welcome."""
        self.knows_delay = False
        """Whether the client was told last that this worker is behind the log."""
        self._socket = web.WebSocketResponse(
            protocols=(self.subprotocol,), autoping=False, compress=False, max_msg_size=self.max_message_bytes + 1
        )
        self._transport: asyncio.Transport | None = None
        self._closing: asyncio.Task[Any] | None = None
        self._opened = asyncio.Event()
        self._ponged = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answer the handshake and deliver until the socket ends."""
        try:
            await self.before_handshake()
            await self._socket.prepare(request)
            self._transport = request.transport
            self._opened.set()
            if self._closing is None:  # else it was ended while the answer to the handshake was being written
                self.sink.start(request)
                self.spawn(self._beat())
                self.spawn(self.run())
            async for message in self._socket:
                await self._take(message)
        finally:
            self._limit_end()
            self.sink.stop()
            if self.listener is not None:
                self.hub.unregister(self.listener)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if self._closing is not None and self._opened.is_set():
                await self._closing
            elif self._closing is not None:
                self._closing.cancel()
        return self._socket

    def spawn(self, work: Any) -> None:
        """Run something for as long as the connection lasts."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def close(self, code: int, reason: str | None = None) -> bool:
        """Close with a code; whether it is this one that stands, the first."""
        if self._closing is not None:
            return False
        text = reason if reason is not None else REASONS[CloseCode(code)]
        self.sink.end()  # nothing follows a close frame (RFC 6455, section 5.5.1)
        self._closing = asyncio.ensure_future(self._end(code, text.encode()[:123]))
        return True

    async def _end(self, code: int, message: bytes) -> None:
        await self._opened.wait()
        self._limit_end()
        await self._socket.close(code=code, message=message)

    def _limit_end(self) -> None:
        """Cut the socket if it is still there in a while.

        A transport that is closed sends first what it holds, and a client that never reads would have it hold that for ever.
        """
        if self._transport is not None:
            asyncio.get_running_loop().call_later(END_SECONDS, self._transport.abort)
            self._transport = None

    def drained(self) -> None:
        """The socket takes more again."""
        if self.listener is not None:
            self.hub.drained(self.listener)

    async def before_handshake(self) -> None:  # noqa: B027  (most modes note nothing)
        """What must be noted before the client knows that it is connected."""

    @abstractmethod
    async def run(self) -> None:
        """What the connection does once it is open."""

    @abstractmethod
    async def text(self, message: str) -> None:
        """Take a text message."""

    async def _take(self, message: WSMessage) -> None:
        if message.type is WSMsgType.PING:
            await self._socket.pong(message.data)
        elif message.type is WSMsgType.PONG:
            self._ponged.set()
        elif message.type is WSMsgType.BINARY:
            self.close(CloseCode.UNSUPPORTED_DATA)
        elif message.type is WSMsgType.TEXT:
            await self.text(message.data)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            self._ponged.clear()
            try:
                await self._socket.ping()
                await asyncio.wait_for(self._ponged.wait(), PONG_SECONDS)
            except TimeoutError:
                metrics.DROPPED_CLIENTS.labels(reason="no_pong").inc()
                self.close(CloseCode.NO_PONG)
                return
            except ConnectionError:
                return
