"""aiokafka's connection, with answers taken off the socket as they come, and made to notice a reset under uvloop.

aiokafka reads each answer out of a stream in a task of its own: a wake-up for its length, one for what follows, some 60 us. Here the
protocol cuts the bytes into answers itself. And asyncio's transport ignores a write after the peer has reset the connection; uvloop
raises RuntimeError. aiokafka expects OSError alone, so the error ends whatever task was sending (its metadata task among them), the
connection still counts as open, and commits and heartbeats wait for it for ever.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import time
import weakref
from collections import deque
from typing import Any

import aiokafka.conn
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import CorrelationIdError, KafkaConnectionError, RequestTimedOutError

log = logging.getLogger(__name__)

_SIZE = struct.Struct(">i")
_HEAD = struct.Struct(">ihhih")
"""Of a request (header version 1): size of what follows, API key, version, correlation id, length of the client's id."""
_RAW = object()
"""In the place of a request that was written by whoever asked, and whose answer is theirs to read."""


class Frames(asyncio.Protocol):
    """Cuts what a broker sends into answers, and leaves everything else to the protocol of aiokafka's streams."""

    def __init__(self, connection: Connection, streams: asyncio.StreamReaderProtocol) -> None:
        # Weakly, as aiokafka's own reader does: a connection that nobody holds closes itself.
        self._connection = weakref.ref(connection)
        self._streams = streams
        self._pieces: list[bytes] = []
        """What has come of an answer that is not whole."""
        self._held = 0
        self._wanted = _SIZE.size

    def data_received(self, data: bytes) -> None:
        """Take the next bytes."""
        connection = self._connection()
        if connection is None or not connection.connected():
            return
        if self._pieces:
            self._pieces.append(data)
            self._held += len(data)
            if self._held < self._wanted:
                return
            data = b"".join(self._pieces)
            self._pieces.clear()
        try:
            at = self._cut(connection, data)
        except Exception as error:  # whatever it is, nothing that follows can be told from it any more
            log.exception("an answer of %s:%s cannot be read", connection.host, connection.port)
            connection.close(reason=CloseReason.CONNECTION_BROKEN, exc=error)
            return
        if at < len(data):
            self._pieces.append(data[at:])
            self._held = len(data) - at

    def _cut(self, connection: Connection, data: bytes) -> int:
        """Hand on the whole answers in some bytes; where the first that is not whole begins."""
        at, end, view = 0, len(data), memoryview(data)
        while end - at >= _SIZE.size:
            following = at + _SIZE.size + _SIZE.unpack_from(data, at)[0]
            if following > end:
                self._wanted = following - at
                return at
            connection.answered(view[at + _SIZE.size : following])
            at = following
            if not connection.connected():
                return end  # closed for what it said: nothing that follows is anybody's
        self._wanted = _SIZE.size
        return at

    def eof_received(self) -> bool | None:
        """The broker sends no more."""
        return self._streams.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._streams.connection_lost(exc)

    def pause_writing(self) -> None:
        """Too much is unsent."""
        self._streams.pause_writing()

    def resume_writing(self) -> None:
        """Enough has been sent."""
        self._streams.resume_writing()


class Connection(AIOKafkaConnection):
    """A connection whose failed writes close it, whatever the event loop raises, and that also takes requests as bytes."""

    _requests: Any
    _writer: Any
    _versions: dict[int, tuple[int, int]]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._asked: deque[tuple[float, asyncio.Future[memoryview]]] = deque()
        """When requests were written as bytes, oldest first."""
        self._clock: asyncio.TimerHandle | None = None

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """Close, and fail whatever waits for an answer."""
        self._asked.clear()
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None
        return super().close(reason, exc)

    def send(self, request: Any, expect_response: bool = True) -> Any:
        """Send a request.

        Raises:
            KafkaConnectionError: The connection is broken, and now closed.
        """
        try:
            return super().send(request, expect_response)
        except RuntimeError as error:
            raise self._broken(error) from error

    def speaks(self, api_key: int, version: int) -> bool:
        """Whether the broker takes this version of a request."""
        least, most = self._versions.get(api_key, (0, -1))
        return least <= version <= most

    def ask(self, api_key: int, version: int, body: bytes) -> asyncio.Future[memoryview]:
        """Send a request that is written already; the result is the answer behind its correlation id.

        Raises:
            KafkaConnectionError: The connection is broken, and now closed. The future fails with it likewise, or with RequestTimedOutError.
        """
        if self._writer is None:
            raise KafkaConnectionError(f"No connection to broker at {self._host}:{self._port}")
        correlation_id, client = self._next_correlation_id(), self._client_id.encode()
        head = _HEAD.pack(_HEAD.size - _SIZE.size + len(client) + len(body), api_key, version, correlation_id, len(client))
        try:
            self._writer.write(b"".join((head, client, body)))
        except (OSError, RuntimeError) as error:
            raise self._broken(error) from error
        future: asyncio.Future[memoryview] = self._loop.create_future()
        self._requests.append((correlation_id, _RAW, future))
        self._asked.append((self._loop.time(), future))
        if len(self._asked) == 1:
            self._watch(self._request_timeout)
        return future

    def _watch(self, seconds: float) -> None:
        # Weakly: see `Frames`. One clock for all requests of a connection, which hardly ever is one that ends anything.
        if self._clock is None:
            self._clock = self._loop.call_later(seconds, _look, weakref.ref(self))

    def look(self) -> None:
        """End the connection if an answer is late."""
        self._clock = None
        while self._asked and self._asked[0][1].done():
            self._asked.popleft()
        if not self._asked:
            return
        at, future = self._asked[0]
        left = at + self._request_timeout - self._loop.time()
        if left > 0:
            self._watch(left)
            return
        future.set_exception(RequestTimedOutError())
        self.close(reason=CloseReason.CONNECTION_TIMEOUT)

    def answered(self, frame: memoryview) -> None:
        """Take the next answer, of the request that has waited longest.

        Raises:
            CorrelationIdError: It answers another one.
        """
        correlation_id, request, future = self._requests[0]
        if request is not _RAW:
            self._handle_frame(bytes(frame))
            return
        if _SIZE.unpack_from(frame)[0] != correlation_id:
            raise CorrelationIdError(f"the answer to request {correlation_id} was due")
        self._requests.popleft()  # not before: closing fails what is in here
        if self._asked and self._asked[0][1] is future:
            self._asked.popleft()
        self._last_action = time.monotonic()
        if not future.done():
            future.set_result(frame[_SIZE.size :])

    def _create_reader_task(self) -> Any:
        # Right behind the connecting, and before anything is asked. The task that this starts waits for the end of the stream.
        self._writer.transport.set_protocol(Frames(self, self._protocol))
        return super()._create_reader_task()

    def _send_sasl_token(self, payload: bytes, expect_response: bool = True) -> Any:
        try:
            return super()._send_sasl_token(payload, expect_response)
        except RuntimeError as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> KafkaConnectionError:
        self.close(reason=CloseReason.CONNECTION_BROKEN)
        return KafkaConnectionError(f"Connection at {self._host}:{self._port} broken: {error}")


def _look(held: weakref.ref[Connection]) -> None:
    connection = held()
    if connection is not None:
        connection.look()


def install() -> None:
    """Let every aiokafka client of this process use it; aiokafka looks the class up when it connects."""
    aiokafka.conn.AIOKafkaConnection = Connection
