"""Clients as users have them: they connect to any worker, come back when they are cut off, and keep everything they saw."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
from collections.abc import Callable
from typing import Any

import aiohttp

from tests.chaos.history import ClientHistory, Session
from tests.chaos.replica import Replica

CONNECT_SECONDS = 8.0
BACK_SECONDS = 0.6
"""A client that was cut off comes back within so long, at random."""
HEARTBEAT_SECONDS = 4.0
STOP_CODES = range(4501, 4505)


class Client:
    """One user's page.

    Attributes:
        history: everything that came.
        codes: close codes seen, or what else ended a connection.
    """

    def __init__(self, name: str, user_id: int, door: Callable[[], str], chance: random.Random, *, rich: bool, patient: bool) -> None:
        """Describe a client.

        Args:
            name: for findings.
            user_id: who it is.
            door: gives the URL of a live worker, another one every time.
            chance: where it draws from.
            rich: ``teamcast.v1``, or plain.
            patient: sends no pings, so that it stays on a worker that has stopped.
        """
        self.history = ClientHistory(name, user_id, rich)
        self.codes: list[str] = []
        self._door = door
        self._chance = chance
        self._patient = patient
        self._replica = Replica(user_id)
        self._stopping = False
        self._task: asyncio.Task[None]

    async def start(self, http: aiohttp.ClientSession) -> None:
        """Begin, and return once connected."""
        self._task = asyncio.create_task(self._live(http), name=self.history.name)
        while not self.connected:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.02)

    async def stop(self) -> None:
        """End it."""
        self._stopping = True
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    @property
    def connected(self) -> bool:
        """Whether it has a socket, and a rich one its answer to subscribe."""
        sessions = self.history.sessions
        if not sessions or sessions[-1].closed is not None:
            return False
        return not self.history.rich or any(message["type"] == "reply" and message["ok"] for message in sessions[-1].messages)

    async def _live(self, http: aiohttp.ClientSession) -> None:
        while not self._stopping:
            url = self._door()
            try:
                await self._connection(http, url)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.codes.append(type(error).__name__)
            await asyncio.sleep(self._chance.uniform(0.05, BACK_SECONDS))

    async def _connection(self, http: aiohttp.ClientSession, url: str) -> None:
        options: dict[str, Any] = {"protocols": ("teamcast.v1",)} if self.history.rich else {}
        async with asyncio.timeout(CONNECT_SECONDS):
            socket = await http.ws_connect(
                f"{url}/ws",
                params={"userId": str(self.history.user_id)},
                heartbeat=None if self._patient else HEARTBEAT_SECONDS,
                autoping=True,
                max_msg_size=0,
                **options,
            )
        session = Session(url, time.time() * 1000)
        self.history.sessions.append(session)
        self._replica.connected()
        try:
            async for message in socket:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    break
                await self._take(session, socket, json.loads(message.data))
        finally:
            session.closed, session.code = time.time() * 1000, socket.close_code
            self.codes.append(str(socket.close_code))
            with contextlib.suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(1):
                    await socket.close()
        if session.code in STOP_CODES:
            raise AssertionError(f"{self.history.name} was told to stop: {session.code} by {url}")

    async def _take(self, session: Session, socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> None:
        session.messages.append(message)
        session.arrived.append(time.time() * 1000)
        if not self.history.rich:
            return
        self._replica.take(message)
        if message["type"] == "welcome":
            session.since, session.subscribed = self._replica.since(), True
            since = {"me" if key.startswith("user:") else key.partition(":")[2]: at for key, at in session.since.items()}
            await socket.send_json({"id": 1, "type": "subscribe", "teams": "all", "since": since, "snapshot": True})
        elif message["type"] == "reply" and not message["ok"]:
            await socket.close()
