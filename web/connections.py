"""What a TCP connection may take before it is a request: time, bytes and lines. aiohttp itself has one limit, for idle connections.

The deadline is aiohttp's own keep-alive timer, moved nearer while the headers of a request are under way: one timer a connection, as
there is anyway, and no task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from aiohttp.http_exceptions import LineTooLong
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web import Application, AppRunner, BaseRequest, Server, StreamResponse
from aiohttp.web_protocol import RequestHandler

from web.problems import Problem

if TYPE_CHECKING:
    from aiohttp._websocket.reader import WebSocketReader

IDLE_SECONDS: Final = 75.0
"""How long a connection may do nothing between requests: longer than a proxy keeps it (nginx: 60 s), so that it is the proxy who closes."""
LINE_BYTES: Final = 8190
"""Of the request line, and of one header: nginx and Apache take as much."""
HEADERS_MAX: Final = 100
HEAD_BYTES: Final = 64 * 1024
"""Of everything before the body."""
SHUTDOWN_SECONDS: Final = 2.0


class Connection(RequestHandler):
    """One client's connection; it is closed when the headers of a request do not come in time, or have no end."""

    __slots__ = ("_head_bytes", "_head_seconds")

    def __init__(self, manager: Server, *, head_seconds: float, **kwargs: Any) -> None:
        """Wait for the first request.

        Args:
            manager: aiohttp's server.
            head_seconds: Bound on the time from the first byte of a request, and for the first request from the connection on, to the
                end of its headers; 0: as long as an idle connection lives.
            kwargs: As aiohttp's.
        """
        super().__init__(manager, **kwargs)
        self._head_seconds = head_seconds or self._keepalive_timeout
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._close_in(self._head_seconds)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        super().data_received(data)
        if self._payload_parser is not None:
            return
        self._drop_raw_headers()
        waiter = self._waiter
        if waiter is None or waiter.done():  # a request is complete, or it is no HTTP any more
            self._head_bytes = 0
            return
        if not self._head_bytes and self._request_count:
            # The first bytes of one more request. The first request of all has had its deadline since the connection was made.
            self._close_in(self._head_seconds)
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES:
            self.force_close()

    def set_parser(self, parser: WebSocketReader, data_received_cb: Callable[[], None] | None = None) -> None:
        """Take what the client sends for WebSocket frames from now on."""
        super().set_parser(parser, data_received_cb)
        if self._upgraded:  # not yet where the request says that it has a body: aiohttp asks its parser to pause then
            self._parser = None  # which is there for as long as the connection otherwise, and reads nothing more

    def _drop_raw_headers(self) -> None:
        """A request keeps its headers twice, and a socket's request is there as long as the socket: nobody here reads the bytes."""
        for place, (message, payload) in enumerate(self._messages):
            if isinstance(message, RawRequestMessage) and message.raw_headers:
                self._messages[place] = message._replace(raw_headers=()), payload

    def handle_error(
        self, request: BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> StreamResponse:
        """What is no HTTP is answered with a problem, like everything else, and in words that are not the client's own."""
        super().handle_error(request, status, exc, message)
        if isinstance(exc, LineTooLong):
            problem = Problem(431, "a header, or the request line, is too long")
        else:
            problem = Problem(status, "this is no HTTP request" if status < 500 else "this is a fault of the server; its log tells more")
        response = problem.response()
        response.force_close()
        return response

    def _close_in(self, seconds: float) -> None:
        """Move the timer of idle connections nearer; aiohttp moves it away by itself after each answer."""
        if self._keepalive_handle is not None:
            self._keepalive_handle.cancel()
        self._next_keepalive_close_time = self._loop.time() + min(seconds, self._keepalive_timeout)
        self._keepalive_handle = self._loop.call_at(self._next_keepalive_close_time, self._process_keepalive)


class Listener(Server):
    """aiohttp's server, with our connections."""

    def __init__(self, of: Server, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(of.request_handler, request_factory=of.request_factory, handler_cancellation=of.handler_cancellation, **kwargs)
        self._head_seconds = head_seconds

    def __call__(self) -> Connection:
        """The protocol of one more connection."""
        return Connection(self, loop=self._loop, head_seconds=self._head_seconds, **self._kwargs)


class Runner(AppRunner):
    """Runs an aiohttp application whose clients have so long for their headers."""

    __slots__ = ("_head_seconds",)

    def __init__(self, application: Application, head_seconds: float) -> None:
        super().__init__(
            application,
            access_log=None,
            shutdown_timeout=SHUTDOWN_SECONDS,
            keepalive_timeout=IDLE_SECONDS,
            max_line_size=LINE_BYTES,
            max_field_size=LINE_BYTES,
            max_headers=HEADERS_MAX,
        )
        self._head_seconds = head_seconds

    async def _make_server(self) -> Server:
        made = await super()._make_server()
        return Listener(made, self._head_seconds, **made._kwargs)
