"""The handshake of GET /ws: who may open a socket, and which."""

from __future__ import annotations

import asyncio
import random
import weakref

from aiohttp import web

from app import metrics
from web.context import Context
from web.identity import refuse_foreign_host, refuse_foreign_origin, user_id_of
from web.problems import Problem, unavailable
from web.sockets.close_codes import REASONS, CloseCode
from web.sockets.connection import PlainConnection


class Sockets:
    """Every open socket of this worker."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._open: weakref.WeakSet[PlainConnection] = weakref.WeakSet()
        self._per_user: dict[int, int] = {}

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /ws."""
        context = self._context
        settings = context.settings
        refuse_foreign_host(request, settings)
        refuse_foreign_origin(request, settings)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise Problem(426, "this is a WebSocket endpoint", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        if context.draining.is_set() or not context.tail.caught_up:
            raise unavailable("this worker takes no sockets now")
        if settings.auth:
            raise Problem(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})
        user_id = user_id_of(request.query.get("userId"))
        teams = [user_id_of(text) for text in request.query.getall("teamId", [])]
        if user_id is None:
            return await refuse(request, CloseCode.UNAUTHENTICATED)
        if None in teams:
            return await refuse(request, CloseCode.PROTOCOL_VIOLATION)
        if len(self._open) >= settings.max_connections:
            raise unavailable("this worker has as many sockets as it takes")
        if self._per_user.get(user_id, 0) >= settings.max_connections_per_user:
            raise Problem(429, "this user has as many sockets as one may have", headers={"Retry-After": "5"})
        return await self._serve(request, user_id, frozenset(team for team in teams if team) or None)

    async def _serve(self, request: web.Request, user_id: int, wanted: frozenset[int] | None) -> web.StreamResponse:
        connection = PlainConnection(self._context.hub, user_id, wanted)
        self._open.add(connection)
        self._per_user[user_id] = self._per_user.get(user_id, 0) + 1
        metrics.CONNECTIONS.labels(mode="plain").inc()
        try:
            return await connection.serve(request)
        finally:
            metrics.CONNECTIONS.labels(mode="plain").dec()
            self._open.discard(connection)
            self._per_user[user_id] -= 1
            if not self._per_user[user_id]:
                del self._per_user[user_id]

    async def drain(self, seconds: float) -> None:
        """Close every socket with 1001, spread over ``seconds`` so that they do not all come back at once elsewhere."""
        connections = list(self._open)
        random.shuffle(connections)
        pause = seconds / len(connections) if connections else 0.0
        due = 0.0
        for connection in connections:
            connection.close(CloseCode.GOING_AWAY)
            due += pause
            if due >= 0.01:  # a timer a socket would cost more than the good-bye itself
                await asyncio.sleep(due)
                due = 0.0


async def refuse(request: web.Request, code: CloseCode) -> web.WebSocketResponse:
    """Refuse after the upgrade: only then browser code can read why."""
    socket = web.WebSocketResponse(protocols=("teamcast.plain",), compress=False)
    await socket.prepare(request)
    await socket.close(code=code, message=REASONS[code].encode())
    return socket
