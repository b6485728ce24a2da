"""The handshakes of GET /ws and GET /events: who may open a socket or a stream, and which."""

from __future__ import annotations

import asyncio
import random
from time import monotonic

from aiohttp import web
from mode import Service

from app import metrics
from app.auth import BadToken, KeysUnavailable
from app.errors import Unavailable
from web.context import Context
from web.identity import (
    Caller,
    authenticate_socket,
    caller_of_stream,
    caller_of_token,
    refuse_foreign_host,
    refuse_foreign_origin,
    unauthorized,
    user_id_of,
)
from web.limits import Places, Seat, client_address, command_bucket, trusted_networks, user_full
from web.problems import Problem, bad_query, unavailable
from web.sockets import messages, stream
from web.sockets.close_codes import REASONS, CloseCode
from web.sockets.connection import Connection
from web.sockets.delay import Delay
from web.sockets.plain import PlainConnection
from web.sockets.protocol import MAX_COMMAND_BYTES, Protocol
from web.sockets.rich import Limits, RichConnection, Token, TokenRefused
from web.sockets.stream import EventStream

LOOK_SECONDS = 1.0
"""How often it is looked whether this worker is behind the log, and whether the clients of streams are still there."""
MIN_PAUSE_SECONDS = 0.01
"""A timer a socket would cost more than the good-bye itself."""


class Sockets(Service):
    """Every open socket and event stream of this worker."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self._context = context
        self._open: set[Connection] = set()
        self._streams: set[EventStream] = set()
        self._delay = Delay()
        self._places = Places(context.settings, monotonic())
        self._trusted = trusted_networks(context.settings.trusted_proxies)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /ws."""
        self._check_place_of_caller(request)
        if request.headers.get("Upgrade", "").lower() != "websocket":
            raise Problem(426, "this is a WebSocket endpoint", headers={"Upgrade": "websocket", "Connection": "Upgrade"})
        seat = self._enter(request)
        try:
            admitted = await self._admit(request, seat)
            if isinstance(admitted, CloseCode):
                return await refuse(request, admitted)
            return await self._serve(request, admitted)
        finally:
            seat.leave()

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET /events."""
        self._check_place_of_caller(request)
        try:
            seat = self._enter(request)
            try:
                return await self._admit_stream(request, seat)
            finally:
                seat.leave()
        except Problem as problem:
            if problem.status == 503 and stream.is_event_source(request):
                return stream.come_back()
            raise

    def _check_place_of_caller(self, request: web.Request) -> None:
        refuse_foreign_host(request, self._context.settings)
        refuse_foreign_origin(request, self._context.settings)

    def _enter(self, request: web.Request) -> Seat:
        context = self._context
        if context.draining.is_set() or not context.tail.caught_up or context.settings.role == "pipeline":
            raise unavailable("this worker takes no connections now")
        address = client_address(request.remote, request.headers.getall("X-Forwarded-For", []), self._trusted)
        return self._places.enter(address, monotonic())

    async def _admit_stream(self, request: web.Request, seat: Seat) -> web.StreamResponse:
        context = self._context
        caller = await caller_of_stream(request, context.settings, context.authenticator)
        if caller.user_id is None:
            raise unauthorized("the token names no user")
        teams = [user_id_of(text) for text in request.query.getall("teamId", [])]
        if None in teams:
            raise bad_query("teamId", "teamId is an integer from 1 to 2^53-1")
        if not seat.take_user(caller.user_id):
            raise user_full()
        if request.method == "HEAD":
            return web.StreamResponse(headers=stream.HEADERS)
        wanted = frozenset(team for team in teams if team) or None
        last_ids = [text for text in request.headers.getall("Last-Event-ID", []) if text]
        last_id = ",".join(last_ids) if last_ids else None  # several are no id, and lead to a gap
        opened = EventStream(context.hub, caller.user_id, wanted, caller.close_at, last_id)
        self._streams.add(opened)
        metrics.CONNECTIONS.labels(mode="sse").inc()
        try:
            return await opened.serve(request)
        finally:
            metrics.CONNECTIONS.labels(mode="sse").dec()
            self._streams.discard(opened)

    async def _admit(self, request: web.Request, seat: Seat) -> Connection | CloseCode:
        """The connection that a client may have, or why it may have none."""
        context = self._context
        rich = RichConnection.subprotocol in offered(request)
        try:
            caller = await authenticate_socket(request, context.settings, context.authenticator)
        except BadToken:
            return CloseCode.UNAUTHENTICATED
        except KeysUnavailable:
            return CloseCode.UNAVAILABLE
        if caller is not None and caller.user_id is not None and not seat.take_user(caller.user_id):
            raise user_full()
        if rich:
            return self._rich(caller, seat)
        if caller is None or caller.user_id is None:
            return CloseCode.UNAUTHENTICATED
        teams = [user_id_of(text) for text in request.query.getall("teamId", [])]
        if None in teams:
            return CloseCode.PROTOCOL_VIOLATION
        wanted = frozenset(team for team in teams if team) or None
        return PlainConnection(context.hub, caller.user_id, wanted, caller.close_at)

    def _rich(self, caller: Caller | None, seat: Seat) -> RichConnection:
        context = self._context

        async def verify(text: str) -> Token:
            if not context.settings.auth:
                raise TokenRefused
            try:
                token = token_of_caller(await caller_of_token(text, context.authenticator))
            except BadToken:
                raise TokenRefused from None
            except KeysUnavailable:
                raise Unavailable("the key server is out of reach") from None
            return token

        bucket = command_bucket(context.settings, monotonic())
        protocol = Protocol(context.settings.max_teams_per_subscribe)
        token = None if caller is None else token_of_caller(caller)
        return RichConnection(context.hub, protocol, token, verify, Limits(lambda: bucket.take(monotonic()), seat.take_user))

    async def _serve(self, request: web.Request, connection: Connection) -> web.StreamResponse:
        self._open.add(connection)
        gauge = metrics.CONNECTIONS.labels(mode="rich" if isinstance(connection, RichConnection) else "plain")
        gauge.inc()
        try:
            return await connection.serve(request)
        finally:
            gauge.dec()
            self._open.discard(connection)

    async def drain(self, seconds: float) -> None:
        """Close sockets with 1001 and end streams, spread over ``seconds`` so that they do not all come back at once elsewhere."""
        connections: list[Connection | EventStream] = [*self._open, *self._streams]
        random.shuffle(connections)
        pause = seconds / max(1, len(connections) - 1)
        due = 0.0
        for number, connection in enumerate(connections):
            due += pause if number else 0.0
            if due >= MIN_PAUSE_SECONDS:
                await asyncio.sleep(due)
                due = 0.0
            connection.close(CloseCode.GOING_AWAY)

    @Service.task
    async def _look(self) -> None:
        """Tell rich clients when this worker falls behind the log, and when it has caught up; end streams that nobody reads."""
        while not self.should_stop:
            await self.sleep(LOOK_SECONDS)
            self.tell_delay(monotonic())
            for opened in list(self._streams):
                opened.look()

    def tell_delay(self, now: float) -> None:
        """Tell those who are connected how far behind the log this worker is, if they do not know."""
        everyone = self._delay.step(self._context.tail.lag_seconds, now)
        delayed = self._delay.seconds > 0
        if not (everyone or delayed):
            return
        message = messages.delayed(self._delay.seconds)
        for connection in list(self._open):
            # Who came in the middle of it is told too; the welcome stays the first message.
            if connection.welcomed and (connection.knows_delay != delayed or (everyone and delayed)):
                connection.knows_delay = delayed
                connection.sink.send(message)


def token_of_caller(caller: Caller) -> Token:
    """Whose socket it is, and for how long.

    Raises:
        TokenRefused: Nobody's: an administrator's token names no user.
    """
    if caller.user_id is None:
        raise TokenRefused
    return Token(caller.user_id, caller.close_at)


def offered(request: web.Request) -> list[str]:
    """The subprotocols that the client offers."""
    return [name.strip() for name in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(",")]


async def refuse(request: web.Request, code: CloseCode) -> web.WebSocketResponse:
    """Refuse after the upgrade: only then browser code can read why."""
    socket = web.WebSocketResponse(protocols=("teamcast.v1", "teamcast.plain"), compress=False, max_msg_size=MAX_COMMAND_BYTES + 1)
    await socket.prepare(request)
    await socket.close(code=code, message=REASONS[code].encode())
    return socket
