"""A plain connection: events out, nothing in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from aiohttp import WSMsgType, web

from app import metrics
from delivery.entry import Entry
from delivery.hub import Hub
from delivery.listener import Listener
from web.sockets.close_codes import REASONS, CloseCode

HEARTBEAT_SECONDS = 25.0
PONG_SECONDS = 10.0
STALL_SECONDS = 30.0
"""A socket that takes nothing for so long is cut."""
HIGH_WATER_BYTES = 64 * 1024
"""What a transport may hold unsent; what comes then stays in the ring."""


class SocketSink:
    """Writes framed events straight to a socket's transport.

    Frames are whole, and written from the event loop alone, so they may stand between those that aiohttp writes.
    """

    def __init__(self, on_drained: Callable[[], None], close: Callable[[CloseCode], None]) -> None:
        self._transport: asyncio.Transport | None = None
        self._protocol: Any = None
        self._on_drained = on_drained
        self._close = close
        self._draining: asyncio.Task[None] | None = None

    def start(self, request: web.Request) -> None:
        """Take events from now on: the answer to the handshake has been written."""
        self._protocol = request.protocol
        self._transport = request.transport
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._on_drained()

    def stop(self) -> None:
        """Take no more events."""
        self._transport = None
        if self._draining is not None:
            self._draining.cancel()

    def ready(self) -> bool:
        """Whether an event may be written now."""
        return self._transport is not None and self._draining is None

    def write(self, entry: Entry) -> None:
        """Write an event; the transport sends it, joined with others that wait."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(entry.frame)
        metrics.DELIVERIES.inc()
        metrics.DELIVERY_SECONDS.observe(max(0.0, time() - entry.timestamp / 1000))
        if transport.get_write_buffer_size() > HIGH_WATER_BYTES and self._draining is None:
            self._draining = asyncio.ensure_future(self._drain(transport))

    async def _drain(self, transport: asyncio.Transport) -> None:
        before = transport.get_write_buffer_size()
        try:
            while True:
                # A future that aiohttp's own writer waits for too: shielded, so that our time limit does not cancel it.
                waiting = asyncio.ensure_future(self._protocol._drain_helper())
                done, _ = await asyncio.wait({waiting}, timeout=STALL_SECONDS)
                if done:
                    waiting.result()
                    break
                left = transport.get_write_buffer_size()
                if left >= before:
                    metrics.DROPPED_CLIENTS.labels(reason="stalled").inc()
                    transport.abort()
                    return
                before = left
        except ConnectionError:
            return
        self._draining = None
        self._on_drained()

    def fell_behind(self) -> None:
        """The ring went past this socket."""
        metrics.DROPPED_CLIENTS.labels(reason="slow").inc()
        self._close(CloseCode.SLOW_CONSUMER)

    def unavailable(self) -> None:
        """An owner, or the log, stayed out of reach."""
        self._close(CloseCode.UNAVAILABLE)


class PlainConnection:
    """One socket in plain mode, from its handshake to its end."""

    def __init__(self, hub: Hub, user_id: int, wanted: frozenset[int] | None) -> None:
        self._hub = hub
        self._socket = web.WebSocketResponse(protocols=("teamcast.plain",), autoping=False, compress=False, max_msg_size=64 * 1024)
        self._closing: asyncio.Task[Any] | None = None
        self._ponged = asyncio.Event()
        self._sink = SocketSink(self._drained, self.close)
        self._listener = Listener(user_id, self._sink, wanted)

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Answer the handshake and deliver until the socket ends."""
        self._hub.register(self._listener)
        tasks: list[asyncio.Task[Any]] = []
        try:
            await self._socket.prepare(request)
            self._sink.start(request)
            tasks = [asyncio.create_task(self._join()), asyncio.create_task(self._beat())]
            await self._receive()
        finally:
            self._sink.stop()
            self._hub.unregister(self._listener)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._closing is not None:
                await self._closing
        return self._socket

    def close(self, code: CloseCode) -> None:
        """Close with a code; the first one stands."""
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._socket.close(code=code, message=REASONS[code].encode()))

    def _drained(self) -> None:
        self._hub.drained(self._listener)

    async def _join(self) -> None:
        try:
            await self._hub.join_all(self._listener)
        except Exception:
            self.close(CloseCode.UNAVAILABLE)
            raise

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

    async def _receive(self) -> None:
        async for message in self._socket:
            if message.type is WSMsgType.PING:
                await self._socket.pong(message.data)
            elif message.type is WSMsgType.PONG:
                self._ponged.set()
            elif message.type is WSMsgType.BINARY:
                self.close(CloseCode.UNSUPPORTED_DATA)
