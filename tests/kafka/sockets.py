"""A page that listens: one plain WebSocket, and everything that came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any

import aiohttp

from tests.kafka.services import Sent, Services, user
from tests.kafka.waiting import LIMIT_SECONDS

Event = dict[str, Any]


class PlainClient:
    """Collects what comes on a socket.

    Attributes:
        events: everything received so far, parsed.
    """

    def __init__(self, url: str, user_id: int | str | None, teams: Iterable[int | str] = (), **options: Any) -> None:
        self.user_id = user_id
        query = ([("userId", str(user_id))] if user_id is not None else []) + [("teamId", str(one)) for one in teams]
        self._url, self._query, self._options = url + "/ws", query, options
        self.events: list[Event] = []
        self._changed = asyncio.Event()
        self.socket: aiohttp.ClientWebSocketResponse

    async def __aenter__(self) -> PlainClient:
        self._session = aiohttp.ClientSession()
        try:
            self.socket = await self._session.ws_connect(self._url, params=self._query, **self._options)
        except BaseException:
            await self._session.close()
            raise
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.socket.close()
        await self._reader
        await self._session.close()

    async def _read(self) -> None:
        async for message in self.socket:
            assert message.type is aiohttp.WSMsgType.TEXT, message
            self.events.append(json.loads(message.data))
            self._changed.set()
        self._changed.set()

    @property
    def types(self) -> list[str]:
        """The type of each event, in order."""
        return [event["type"] for event in self.events]

    async def until(self, wanted: Callable[[list[Event]], object], limit: float = LIMIT_SECONDS) -> list[Event]:
        """Wait until the events so far are what is wanted; fail with what came when they are not within `limit` seconds."""
        try:
            async with asyncio.timeout(limit):
                while not wanted(self.events):
                    if self._reader.done():
                        raise AssertionError(f"closed with {self.socket.close_code} before it came; {self._told()}")
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"user {self.user_id} did not get it within {limit:.0f} s; {self._told()}") from None
        return self.events

    def _told(self) -> str:
        lines = [f"{event['eventId']} of team {event['teamId']}" for event in self.events[-50:]]
        return f"{len(self.events)} events came, the last of them: {', '.join(lines)}"

    async def event(self, sent: Sent | str, limit: float = LIMIT_SECONDS) -> Event:
        """The event of a source record, or with an id, as soon as it is here."""
        event_id = sent if isinstance(sent, str) else sent.event_id
        await self.until(lambda events: any(event["eventId"] == event_id for event in events), limit)
        return next(event for event in self.events if event["eventId"] == event_id)

    async def close_code(self, limit: float = LIMIT_SECONDS) -> int | None:
        """Wait for the server to close; the code it gave."""
        await asyncio.wait_for(asyncio.shield(self._reader), limit)
        return self.socket.close_code


async def fence(services: Services, *clients: PlainClient) -> None:
    """Return once each client has got an event of its own stream that was written just now, and take that event out again.

    What was in the log before, and was for them, has then reached them too.
    """
    for client in clients:
        assert isinstance(client.user_id, int)
        sent = await services.send("user.created", user(client.user_id))
        client.events.remove(await client.event(sent))
