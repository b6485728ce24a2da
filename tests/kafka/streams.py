"""A program that reads GET /events: what came, block by block, as EventSource reads it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp

from tests.kafka.services import Sent
from tests.kafka.waiting import LIMIT_SECONDS


@dataclass(slots=True, frozen=True)
class Block:
    """One block that has data."""

    event: str
    data: dict[str, Any]
    last_id: str
    """The last id that came, with this block or before it."""


class StreamClient:
    """Collects what comes on a stream.

    Attributes:
        blocks: everything received so far that has data.
        last_id: what would be sent as Last-Event-ID.
    """

    def __init__(self, url: str, query: str, *, last_id: str | None = None, headers: dict[str, str] | None = None) -> None:
        self._url = f"{url}/events?{query}"
        self._headers = (headers or {}) | ({} if last_id is None else {"Last-Event-ID": last_id})
        self.blocks: list[Block] = []
        self.ids: list[str] = []
        self.raw: list[str] = []
        self.retry = ""
        self.comments: list[str] = []
        self.ended = asyncio.Event()
        self._changed = asyncio.Event()
        self.answer: aiohttp.ClientResponse

    async def __aenter__(self) -> StreamClient:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(None), read_bufsize=2**22)
        try:
            self.answer = await self._session.get(self._url, headers=self._headers)
        except BaseException:
            await self._session.close()
            raise
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.answer.close()
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._session.close()

    @property
    def last_id(self) -> str:
        """What the client would send as Last-Event-ID now."""
        return self.ids[-1] if self.ids else ""

    async def _read(self) -> None:
        event, data = "", ""
        try:
            async for line in self.answer.content:
                text = line.decode().removesuffix("\n")
                self.raw.append(text)
                name, _, value = text.partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.ids.append(value)
                elif name == "retry":
                    self.retry = value
                elif text.startswith(":"):
                    self.comments.append(text)
                elif not text and data:
                    self.blocks.append(Block(event, json.loads(data), self.last_id))
                if not text:
                    event = data = ""
                self._changed.set()
        except aiohttp.ClientError:
            pass
        finally:
            self.ended.set()
            self._changed.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What came without a name: the events."""
        return [block.data for block in self.blocks if not block.event]

    @property
    def event_ids(self) -> list[str]:
        """The eventId of each, in order."""
        return [event["eventId"] for event in self.events]

    @property
    def told(self) -> list[tuple[str, int | None, str | None]]:
        """The named ones: name, team, reason."""
        return [(block.event, block.data.get("teamId"), block.data.get("reason")) for block in self.blocks if block.event]

    async def until(self, wanted: Callable[[StreamClient], object], limit: float = LIMIT_SECONDS) -> None:
        """Wait until what came is what is wanted."""
        try:
            async with asyncio.timeout(limit):
                while not wanted(self):
                    assert not self.ended.is_set(), f"the stream ended: {self.raw[-10:]}"
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {limit:.0f} s: {self.raw[-20:]}") from None

    async def event(self, sent: Sent) -> Block:
        """The block of a source record's event, as soon as it is here."""
        await self.until(lambda client: sent.event_id in client.event_ids)
        return next(block for block in self.blocks if block.data.get("eventId") == sent.event_id)
