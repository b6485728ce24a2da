"""Plain mode: events out, nothing in."""

from __future__ import annotations

import asyncio
import logging
from time import time

from app.errors import Unavailable
from delivery.hub import Hub
from delivery.listener import Listener
from web.sockets.close_codes import CloseCode
from web.sockets.connection import Connection
from web.sockets.opening import wait_until_joined
from web.sockets.sink import PlainSink

log = logging.getLogger(__name__)


class PlainConnection(Connection):
    """Every event of the user's teams, from the handshake's answer on."""

    subprotocol = "teamcast.plain"

    def __init__(self, hub: Hub, user_id: int, wanted: frozenset[int] | None, close_at: float | None) -> None:
        """Begin.

        Args:
            hub: What delivers.
            user_id: Whose socket it is.
            wanted: The teams that it is narrowed to; ``None`` for all, and the user's own stream.
            close_at: When the token is not good any more, seconds since the epoch; ``None``: never.
        """
        super().__init__(hub)
        self._close_at = close_at
        self.sink = PlainSink(self.drained, self.close)
        self.listener: Listener = Listener(user_id, self.sink, everything=wanted is None, wanted=wanted or frozenset())

    async def before_handshake(self) -> None:
        """Note where the log is, and join every team: what comes after the client has our answer is theirs."""
        self.hub.register(self.listener)
        await wait_until_joined(self.spawn(self._join()))

    async def run(self) -> None:
        """End with the token; what there is to deliver comes by itself."""
        if self._close_at is not None:
            await asyncio.sleep(max(0.0, self._close_at - time()))
            self.close(CloseCode.TOKEN_EXPIRED)

    async def _join(self) -> None:
        try:
            await self.hub.join_all(self.listener)
        except* Unavailable:
            self.close(CloseCode.UNAVAILABLE)
        except* Exception:
            log.exception("a join failed")
            self.close(CloseCode.UNAVAILABLE)

    async def text(self, message: str) -> None:
        """Ignore it."""
