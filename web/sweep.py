"""The sweep: answers that nobody reads, given up in time. aiohttp writes, and closes, without a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from aiohttp import web

from web.problems import Handler

SWEEP_SECONDS = 5.0
STALL_SECONDS = 30.0
"""An answer of which nothing is taken for so long is not wanted."""
STREAMS = ("/ws", "/events")
"""They look after themselves: what they have unsent may grow while it is being taken."""


@dataclass(slots=True)
class _Watched:
    """A connection, since it was first seen."""

    transport: asyncio.Transport
    unsent: int = 0
    moved_at: float = 0.0
    """When less was unsent than before, or nothing."""


class Sweep:
    """Looks at every connection, again and again."""

    def __init__(self, connections: Callable[[], Iterable[web.RequestHandler]]) -> None:
        """Begin; ``connections`` gives those that are there."""
        self._connections = connections
        self._watched: dict[web.RequestHandler, _Watched] = {}
        self._asked: dict[web.RequestHandler, str] = {}
        """The path of each one's last request."""

    def add_to(self, application: web.Application) -> None:
        """Note who has sent a request to an application."""

        @web.middleware
        def note(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
            self._asked[request.protocol] = request.path
            return handler(request)  # nothing to do behind it: a coroutine would be there as long as a socket

        application.middlewares.append(note)

    def step(self, now: float) -> int:
        """Cut what is overdue; how many that were.

        Args:
            now: Seconds, on a clock that only goes on.
        """
        before, self._watched = self._watched, {}
        asked, self._asked = self._asked, {}
        cut = 0
        for connection in self._connections():
            watched = before.get(connection)
            if watched is None:
                if connection.transport is None:
                    continue
                # Kept here: a connection forgets its transport when it is closed, which is when somebody must still look at it.
                watched = _Watched(connection.transport, moved_at=now)
            self._watched[connection] = watched
            path = asked.get(connection)
            if path is not None:
                self._asked[connection] = path
            if path not in STREAMS and _stalls(watched, now):
                watched.transport.abort()
                cut += 1
        return cut


def _stalls(watched: _Watched, now: float) -> bool:
    unsent = watched.transport.get_write_buffer_size()
    if unsent == 0 or unsent < watched.unsent:
        watched.moved_at = now
    watched.unsent = unsent
    return now - watched.moved_at >= STALL_SECONDS
