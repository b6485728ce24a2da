"""What no client library sends: bytes, and WebSocket frames made by hand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

LIMIT_SECONDS = 20.0
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
FIN = 0x80


def frame(opcode: int, payload: bytes = b"", *, first: int = FIN, size: int | None = None) -> bytes:
    """A masked frame (the key is zero); it may claim another size than it has, and any bits in its first byte."""
    length = len(payload) if size is None else size
    if length < 126:
        head = bytes([first | opcode, 0x80 | length])
    elif length < 2**16:
        head = bytes([first | opcode, 0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first | opcode, 0x80 | 127]) + length.to_bytes(8, "big")
    return head + bytes(4) + payload


async def exchange(port: int, data: bytes) -> bytes:
    """Send bytes and take everything until the server closes, or is silent for a second after its first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        found = await asyncio.wait_for(reader.read(65536), LIMIT_SECONDS)
        try:
            while more := await asyncio.wait_for(reader.read(65536), 1.0):
                found += more
        except TimeoutError:
            pass
        return found
    except ConnectionError:
        return b""
    finally:
        writer.close()


def status_of(answer: bytes) -> int:
    """The status of the first answer."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.") else 0


class Wire:
    """An open WebSocket, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        """Send frames as they are."""
        self._writer.write(data)

    def say(self, message: dict[str, Any]) -> None:
        """Send a command."""
        self.send(frame(TEXT, json.dumps(message).encode()))

    async def next(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length > 125:
            length = int.from_bytes(await self._reader.readexactly(2 if length == 126 else 8), "big")
        return first & 0x0F, await self._reader.readexactly(length)

    async def hear(self, kind: str) -> dict[str, Any]:
        """The next message of a type."""
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                opcode, payload = await self.next()
                assert opcode != CLOSE, payload
                if opcode == TEXT and (message := json.loads(payload))["type"] == kind:
                    found: dict[str, Any] = message
                    return found

    async def end(self) -> tuple[list[dict[str, Any]], int]:
        """Everything until the close frame, and its code."""
        said: list[dict[str, Any]] = []
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                opcode, payload = await self.next()
                if opcode == CLOSE:
                    return said, int.from_bytes(payload[:2], "big")
                if opcode == TEXT:
                    said.append(json.loads(payload))


def handshake(path: str = "/ws", *headers: str) -> bytes:
    """A request for a socket."""
    lines = [
        f"GET {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


@asynccontextmanager
async def wire(port: int, path: str = "/ws", *headers: str) -> AsyncIterator[Wire]:
    """A socket that is open."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(handshake(path, *headers))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_SECONDS)
        assert status_of(head) == 101, head
        yield Wire(reader, writer)
    finally:
        writer.close()
