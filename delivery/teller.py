"""The teller: tells the other workers who is online here, and the connections here who is online anywhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from time import monotonic
from typing import Any, Protocol

from mode import Service

from app import metrics
from delivery.attendance import Attendance
from delivery.cursor import Cursor
from delivery.presence import Message, Presence

TICK_SECONDS = 0.2
SLICE = 500
"""Users that are taken in, or messages that are written, before others get their turn."""

Say = Callable[[Message], bytes]
"""Encodes a message."""


class Others(Protocol):
    """The other workers."""

    def come(self, user_id: int) -> None:
        """Tell them that a user is online here."""

    def go(self, user_id: int) -> None:
        """Tell them that a user is not online here any more."""

    def elsewhere(self) -> tuple[set[int], set[int]]:
        """Users who came online on them, and who went, since this was asked before."""


class Teller(Service):
    """Carries who comes and goes from where it is known to where it is told."""

    def __init__(self, attendance: Attendance, presence: Presence[Cursor], others: Others, say: Say, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._attendance = attendance
        self._presence = presence
        self._others = others
        self._say = say

    @Service.task
    async def _tell(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(TICK_SECONDS)  # stopping cancels it; the service's own sleep takes two tasks
            await self.tick(monotonic())

    async def tick(self, now: float) -> None:
        """Take in who came and went, and tell what is due."""
        came, went = self._attendance.settle(now)
        metrics.ONLINE_USERS.set(len(self._attendance))
        async for user_id in with_pauses(came):
            self._presence.here(user_id, online=True)
            self._others.come(user_id)
        async for user_id in with_pauses(went):
            self._presence.here(user_id, online=False)
            self._others.go(user_id)
        elsewhere, nowhere = self._others.elsewhere()
        async for user_id in with_pauses(elsewhere):
            self._presence.elsewhere(user_id, online=True)
        async for user_id in with_pauses(nowhere):
            self._presence.elsewhere(user_id, online=False)
        await self._write(now)

    async def _write(self, now: float) -> None:
        said: Message | None = None
        encoded = b""
        written = 0
        for cursor, message in self._presence.due(now, lambda cursor: cursor.listener.sink.ready()):
            if message is not said:  # one message goes to all who watch a team
                said, encoded = message, self._say(message)
            cursor.listener.sink.send(encoded)
            written += 1
            if written % SLICE == 0:
                await asyncio.sleep(0)
        metrics.PRESENCE_MESSAGES.inc(written)


async def with_pauses(users: Iterable[int]) -> AsyncIterator[int]:
    """The users, with a turn for others after each `SLICE` of them."""
    for number, user_id in enumerate(users, 1):
        yield user_id
        if number % SLICE == 0:
            await asyncio.sleep(0)
