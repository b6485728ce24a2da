"""The sink: a socket's side of delivery. Writes whole frames straight to the transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import time
from typing import Any

from aiohttp import web

from app import metrics
from delivery.entry import Entry, text_frame
from delivery.listener import GapReason, LeftReason
from delivery.run import Run
from web.sockets import messages
from web.sockets.close_codes import CloseCode

STALL_SECONDS = 30.0
"""A socket that takes nothing for so long is cut."""
HIGH_WATER_BYTES = 64 * 1024
"""What a transport may hold unsent; what comes then stays in the ring."""

MAX_UNSENT_BYTES = 4 * 1024 * 1024
"""What a transport may hold in all. Events and snapshots stop far below; answers to a client that asks and never reads do not."""


class PlainSink:
    """Events, and nothing else.

    Frames are whole, and written from the event loop alone, so they may stand between those that aiohttp writes.
    """

    takes_snapshots = False
    takes_runs = True

    def __init__(self, on_drained: Callable[[], None], close: Callable[[CloseCode], bool]) -> None:
        self._transport: asyncio.Transport | None = None
        self._protocol: Any = None
        self._on_drained = on_drained
        self._close = close
        self._draining: asyncio.Task[None] | None = None
        self._ended = False

    def start(self, request: web.Request) -> None:
        """Take events from now on: the answer to the handshake has been written."""
        self._protocol = request.protocol
        self._transport = request.transport
        if self._transport is not None:
            self._transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        self._on_drained()

    def end(self) -> None:
        """Take no more events; what was written before still goes out, or the socket is cut."""
        self._ended = True

    def stop(self) -> None:
        """Let go of the socket."""
        self._transport = None
        if self._draining is not None:
            self._draining.cancel()

    def ready(self) -> bool:
        """Whether an event may be written now."""
        return self._transport is not None and self._draining is None and not self._ended

    def write(self, entry: Entry) -> None:
        """Write an event; the transport sends it, joined with others that wait."""
        self._put(self.encode(entry))
        metrics.DELIVERIES.inc()
        metrics.DELIVERY_SECONDS.observe(max(0.0, time() - entry.timestamp / 1000))

    def write_run(self, run: Run) -> None:
        """Write events that every socket of this kind gets alike, in one go; what a socket holds that is `ready` stays within bounds."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(run.frames)
        if transport.get_write_buffer_size() > HIGH_WATER_BYTES:
            self._wait_for(transport)

    def encode(self, entry: Entry) -> bytes:
        """An event as it goes over the wire."""
        return entry.frame

    def _put(self, frame: bytes) -> None:
        transport = self._transport
        if transport is None or self._ended or transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(frame) > MAX_UNSENT_BYTES:
            metrics.DROPPED_CLIENTS.labels(reason="stalled").inc()
            self._ended = True
            transport.abort()
            return
        transport.write(frame)
        if transport.get_write_buffer_size() > HIGH_WATER_BYTES:
            self._wait_for(transport)

    def _wait_for(self, transport: asyncio.Transport) -> None:
        """Take nothing more until what is unsent has been sent."""
        if self._draining is None:
            self._draining = asyncio.ensure_future(self._drain(transport))

    async def _drain(self, transport: asyncio.Transport) -> None:
        before = transport.get_write_buffer_size()
        waiting = asyncio.ensure_future(self._protocol._drain_helper())
        try:
            while not (await asyncio.wait({waiting}, timeout=STALL_SECONDS))[0]:
                left = transport.get_write_buffer_size()
                if left >= before:
                    metrics.DROPPED_CLIENTS.labels(reason="stalled").inc()
                    transport.abort()
                    return
                before = left
            waiting.result()
        except ConnectionError:
            return
        finally:
            # Cancelling it would cancel the future that aiohttp's own writer may wait for too.
            waiting.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._draining = None
        self._on_drained()

    def send(self, message: bytes) -> None:
        """Plain clients get events alone."""

    def joined(self, team_id: int) -> None:
        """Plain clients see the event."""

    def left(self, team_id: int, reason: LeftReason) -> None:
        """Plain clients see the event."""

    def gap(self, key: str, reason: GapReason) -> None:
        """Plain clients take no snapshots, so there is none to announce."""

    def disconnect(self) -> bool:
        """An administrator ends it."""
        ended = self._close(CloseCode.DISCONNECTED)
        if ended:
            metrics.DROPPED_CLIENTS.labels(reason="administrator").inc()
        return ended

    def fell_behind(self) -> None:
        """The ring went past this socket."""
        metrics.DROPPED_CLIENTS.labels(reason="slow").inc()
        self._close(CloseCode.SLOW_CONSUMER)

    def unavailable(self) -> None:
        """An owner, or the log, stayed out of reach."""
        self._close(CloseCode.UNAVAILABLE)


class RichSink(PlainSink):
    """Events, and the messages of ``teamcast.v1``."""

    takes_snapshots = True

    def send(self, message: bytes) -> None:
        """Write a message that is no event."""
        self._put(text_frame(message))

    def joined(self, team_id: int) -> None:
        """Say that a team came."""
        self.send(messages.joined(team_id))

    def left(self, team_id: int, reason: LeftReason) -> None:
        """Say that a team went."""
        self.send(messages.left(team_id, reason))

    def gap(self, key: str, reason: GapReason) -> None:
        """Say that events are missing here."""
        kind, _, number = key.partition(":")
        self.send(messages.team_gap(int(number), reason) if kind == "team" else messages.user_gap(int(number), reason))
