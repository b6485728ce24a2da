"""A TCP proxy that can be unkind: reset every connection, swallow bytes, or hold back chosen Kafka requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType

from tests.ports import free_port

Hold = Callable[[bytes], bool]
"""Whether a Kafka request, without its length, is to be held back."""
CHUNK = 256 * 1024


class Proxy:
    """Forwards connections to one local port.

    Attributes:
        port: where it listens.
        held: requests that are held back now.
    """

    def __init__(self, target: int, port: int | None = None) -> None:
        self.target = target
        self.port = port or free_port()
        self.held = 0
        self._open = asyncio.Event()
        self._open.set()
        self._released = asyncio.Event()
        self._hold: Hold | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Proxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.close()
        self.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def reset(self) -> int:
        """Abort every connection, on both sides and without a good-bye; how many sockets that were."""
        writers = list(self._writers)
        for writer in writers:
            writer.transport.abort()
        return len(writers)

    def freeze(self) -> None:
        """Forward nothing, in either direction; connections stay."""
        self._open.clear()

    def thaw(self) -> None:
        """Forward again, what waited included."""
        self._open.set()

    def hold(self, wanted: Hold) -> None:
        """Hold back Kafka requests of this kind, and what follows them on their connection."""
        self._released.clear()
        self._hold = wanted

    def release(self) -> None:
        """Let go what was held back, and hold nothing more."""
        self._hold = None
        self._released.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            upstream, sink = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, sink}
        requests = asyncio.create_task(self._requests(reader, sink))
        answers = asyncio.create_task(self._forward(upstream, writer))
        self._tasks |= {requests, answers}
        try:
            await asyncio.wait({requests, answers}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (requests, answers):
                task.cancel()
            await asyncio.gather(requests, answers, return_exceptions=True)
            self._tasks -= {requests, answers}
            self._writers -= {writer, sink}
            for one in (writer, sink):
                one.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                writer.write(data)
                await writer.drain()

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._forward(reader, writer)


class KafkaProxy(Proxy):
    """Knows where a request begins and ends, so that it can hold some back."""

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                size = await reader.readexactly(4)
                request = await reader.readexactly(int.from_bytes(size, "big"))
                await self._open.wait()
                if self._hold is not None and self._hold(request):
                    self.held += 1
                    try:
                        await self._released.wait()
                    finally:
                        self.held -= 1
                writer.write(size + request)
                await writer.drain()


def produce_to(topic: str) -> Hold:
    """Produce requests that name a topic."""

    def wanted(request: bytes) -> bool:
        return request[:2] == b"\0\0" and topic.encode() in request

    return wanted
