"""An event stream: GET /events, from its head to its end."""

from __future__ import annotations

import asyncio
import logging
from time import time

from aiohttp import HttpVersion11, web

from app.domain.stream_ids import Places, Scope, decode, encode
from app.errors import Unavailable
from delivery.entry import Entry
from delivery.hub import Hub
from delivery.listener import Listener
from web.sockets.close_codes import REASONS, CloseCode
from web.sockets.opening import wait_until_joined
from web.sockets.stream_sink import StreamSink

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 25.0
RETRY_MS = 3000
"""How soon a client comes back by itself."""
END_SECONDS = 5.0
"""How long the end of a stream may take to be written; then the connection is cut."""
HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # nginx would hold back what comes
}


def is_event_source(request: web.Request) -> bool:
    """Whether it is an EventSource that asks: they all send this, and nothing else."""
    return request.headers.get("Accept") == "text/event-stream"


def come_back(code: CloseCode = CloseCode.UNAVAILABLE) -> web.Response:
    """What an EventSource is answered while this worker takes no streams: one that ends at once.

    At a status of 503 it would give up for good, and with it the id that leads on.
    """
    return web.Response(body=f"retry: {RETRY_MS}\n\n: {REASONS[code]}\n\n".encode(), headers=HEADERS)


class EventStream:
    """One client's event stream."""

    def __init__(self, hub: Hub, user_id: int, wanted: frozenset[int] | None, close_at: float | None, last_id: str | None) -> None:
        """Begin.

        Args:
            hub: What delivers.
            user_id: Whose stream it is.
            wanted: The teams that it is narrowed to; ``None`` for all, and the user's own stream.
            close_at: When the token is not good any more, seconds since the epoch; ``None``: never.
            last_id: The id of what the client got last; ``None``: it is new.
        """
        self.hub = hub
        self._wanted = wanted
        self._close_at = close_at
        self._last_id = last_id
        self.sink = StreamSink(self._drained, self.close, self._mark)
        self.listener = Listener(user_id, self.sink, everything=wanted is None, wanted=wanted or frozenset())
        self._begins: Places | None = Places()
        """Where it begins; ``None`` once every feed has begun."""
        self._code: CloseCode | None = None
        self._over = asyncio.Event()

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Answer, and deliver until the stream ends."""
        response = web.StreamResponse(headers=HEADERS)
        response.force_close()
        if request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        self.hub.register(self.listener)  # before the client has our answer: what comes after it is theirs
        self._begins = self._first_places()
        joining = asyncio.create_task(self._join())
        tasks = [joining]
        try:
            await wait_until_joined(joining)
            if self._code is not None:
                return come_back(self._code)
            await response.prepare(request)
            self.sink.start(request)
            self.sink.begin(RETRY_MS)
            tasks.append(asyncio.create_task(self._release(joining)))
            await self._beat()
        finally:
            self.sink.stop()
            self.hub.unregister(self.listener)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await self._end(request, response)
        return response

    def close(self, code: int, _reason: str | None = None) -> bool:
        """End the stream; whether it is this code that stands, the first. There are none on the wire: the client comes back."""
        if self._code is not None:
            return False
        self._code = CloseCode(code)
        self.sink.end()
        self._over.set()
        return True

    def look(self) -> None:
        """See whether the client is still there; nothing says so by itself."""
        if self.sink.gone:
            self._over.set()

    def _first_places(self) -> Places:
        if self._last_id is None:
            return Places(self.listener.noted)
        return decode(self._scope, self._last_id) or Places()

    @property
    def _scope(self) -> Scope:
        return Scope(self.hub.tail.log_id, self.listener.user_id, self._wanted)

    def _mark(self, entry: Entry | None) -> str:
        if self._begins is not None:
            return encode(self._scope, self._begins, ())
        places = self.hub.progress(self.listener)
        if entry is not None and entry.resets:  # a gap and a snapshot follow: they belong to it
            places = Places(places.floors, {**places.exceptions, entry.key: None})
        return encode(self._scope, places, self.hub.partitions(self.listener))

    def _drained(self) -> None:
        self.hub.drained(self.listener)

    async def _join(self) -> None:
        """Begin in every feed."""
        try:
            await self.hub.read_candidates(self.listener.user_id)
            if self._last_id is None:
                await self.hub.join_all(self.listener)
            else:
                await self.hub.resume_all(self.listener, self._begins or Places())
        except* Unavailable:
            self.close(CloseCode.UNAVAILABLE)
        except* Exception:
            log.exception("a stream could not begin")
            self.close(CloseCode.UNAVAILABLE)

    async def _release(self, joining: asyncio.Task[None]) -> None:
        """Let events through once every feed has begun."""
        await joining
        if self._code is None:
            self._begins = None
            self.sink.release()

    async def _beat(self) -> None:
        while not self._over.is_set():
            left = HEARTBEAT_SECONDS if self._close_at is None else self._close_at - time()
            if left <= 0:
                self.close(CloseCode.TOKEN_EXPIRED)
                return
            try:
                async with asyncio.timeout(min(left, HEARTBEAT_SECONDS)):
                    await self._over.wait()
            except TimeoutError:
                if left >= HEARTBEAT_SECONDS:
                    self.sink.beat()

    async def _end(self, request: web.Request, response: web.StreamResponse) -> None:
        """Write why, and the end, so that a proxy sees a whole answer."""
        transport = request.transport
        if transport is None or transport.is_closing():
            return
        # A transport that is closed sends first what it holds, and a client that never reads would have it hold that for ever.
        asyncio.get_running_loop().call_later(2 * END_SECONDS, transport.abort)
        try:
            async with asyncio.timeout(END_SECONDS):
                if self._code is not None:
                    await response.write(f": {REASONS[self._code]}\n\n".encode())
                await response.write_eof()
        except (TimeoutError, ConnectionError):
            transport.abort()
