"""A connection: one socket from its handshake to its end. What it says is its mode's business."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from typing import Any, ClassVar

from aiohttp import WSMessage, WSMsgType, web

from app import metrics
from delivery.entry import close_frame
from delivery.hub import Hub
from delivery.listener import Listener
from web.sockets.close_codes import REASONS, CloseCode
from web.sockets.protocol import MAX_COMMAND_BYTES
from web.sockets.sink import PlainSink

HEARTBEAT_SECONDS = 25
PONG_SECONDS = 10.0
PING = b"\x89\x00"
"""A frame: a ping without data (RFC 6455, section 5.5.2)."""
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
            protocols=(self.subprotocol,), autoping=False, autoclose=False, compress=False, max_msg_size=self.max_message_bytes + 1
        )
        self._transport: asyncio.Transport | None = None
        """Once the handshake is answered."""
        self._limited = False
        self._close_frame: bytes | None = None
        """What ends it from this side; nothing else is sent behind that."""
        self._beat_timer: asyncio.TimerHandle | None = None
        """One timer, and no task: most of what there is of a connection that says nothing would be its heartbeat."""
        self._tasks: set[asyncio.Task[Any]] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answer the handshake and deliver until the socket ends."""
        try:
            await self.before_handshake()
            await self._socket.prepare(request)
            self._socket.headers.clear()  # they have been written
            self._transport = request.transport
            if self._close_frame is not None:  # it was ended while the answer to the handshake was being written
                self._say_close()
            else:
                self.sink.start(request)
                self._beat_in()
                self.spawn(self.run())
            async for message in self._socket:
                if self._close_frame is None:
                    await self._take(message)
        finally:
            self._limit_end()
            self._leave()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await self._finish()
        return self._socket

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something for as long as the connection lasts."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def close(self, code: int, reason: str | None = None) -> bool:
        """Close with a code; whether it is this one that stands, the first."""
        if self._close_frame is not None:
            return False
        self._close_frame = close_frame(code, reason if reason is not None else REASONS[CloseCode(code)])
        self.sink.end()  # nothing follows a close frame (RFC 6455, section 5.5.1)
        self._say_close()
        # Not here: who closes may be in the middle of delivering to others.
        asyncio.get_running_loop().call_soon(self._leave)
        return True

    def _say_close(self) -> None:
        """Write the close frame. The socket stays for the client's answer: cut before that, the code may never be read.

        aiohttp's own close waits for no answer while something waits for the next message, as is always so here.
        """
        if self._transport is not None and self._close_frame is not None and not self._socket.closed and not self._transport.is_closing():
            self._transport.write(self._close_frame)
            self._limit_end()

    def _leave(self) -> None:
        """Deliver nothing more, and do nothing more."""
        self.sink.stop()
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if self.listener is not None:
            self.hub.unregister(self.listener)
        for task in self._tasks:
            task.cancel()

    async def _finish(self) -> None:
        """Close what is below: behind the client's close frame, which is answered unless ours came first."""
        if self._close_frame is not None and self._transport is not None:
            self._transport.close()
        elif self._socket.close_code is not None:  # else there never was a socket, or this worker stops
            await self._socket.close(drain=False)

    def _limit_end(self) -> None:
        """Cut the socket if it is still there in a while.

        A transport that is closed sends first what it holds, and a client that never reads would have it hold that for ever.
        """
        if self._transport is not None and not self._limited:
            self._limited = True
            asyncio.get_running_loop().call_later(END_SECONDS, self._transport.abort)

    def drained(self) -> None:
        """The socket takes more again."""
        if self.listener is not None:
            self.hub.drained(self.listener)

    async def before_handshake(self) -> None:  # noqa: B027  (most modes need nothing)
        """What must be done before the client knows that it is connected."""

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
            self._beat_in()
        elif message.type is WSMsgType.BINARY:
            self.close(CloseCode.UNSUPPORTED_DATA)
        elif message.type is WSMsgType.TEXT:
            await self.text(message.data)

    def _beat_in(self) -> None:
        """The client is there: ask it again later."""
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        self._beat_timer = asyncio.get_running_loop().call_later(HEARTBEAT_SECONDS, self._beat)

    def _beat(self) -> None:
        """Ask whether the client is still there."""
        transport = self._transport
        if transport is None or self._close_frame is not None or transport.is_closing():
            return
        transport.write(PING)
        self._beat_timer = asyncio.get_running_loop().call_later(PONG_SECONDS, self._miss)

    def _miss(self) -> None:
        """It is not, or it answers nothing any more."""
        if self.close(CloseCode.NO_PONG):
            metrics.DROPPED_CLIENTS.labels(reason="no_pong").inc()
