"""Rich mode, ``teamcast.v1``: commands in; replies, snapshots, events and what happens to subscriptions out."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import time
from typing import Literal

from app.domain.events import team_key, user_key
from app.errors import Unavailable
from app.version import VERSION
from delivery.hub import Hub
from delivery.listener import Listener
from delivery.subscriptions import Plan
from web.sockets import messages
from web.sockets.close_codes import CloseCode
from web.sockets.commands import ALL, Auth, Command, Ping, Refresh, Subscribe, Unsubscribe
from web.sockets.connection import HEARTBEAT_SECONDS, Connection
from web.sockets.messages import ErrorCode
from web.sockets.protocol import Close, Protocol, Refusal
from web.sockets.sink import RichSink

log = logging.getLogger(__name__)

AUTH_SECONDS = 10.0
WAITING_COMMANDS = 128
"""Commands that wait for those before them, at most; a burst is 100."""
WAITING_BYTES = 2**20


class Token:
    """Who a token names, and for how long."""

    __slots__ = ("expires_at", "user_id")

    def __init__(self, user_id: int, expires_at: float | None) -> None:
        self.user_id = user_id
        self.expires_at = expires_at
        """Seconds since the epoch; ``None`` without authentication."""


class TokenRefused(Exception):  # noqa: N818
    """The token is no good."""


Verify = Callable[[str], Awaitable[Token]]
"""Says who a token names.

Raises:
    TokenRefused: Nobody.
    Unavailable: The key server is out of reach.
"""


@dataclass(slots=True, frozen=True)
class Limits:
    """What one connection asks before it goes on."""

    command: Callable[[], bool]
    """Whether one more command may come now."""
    user: Callable[[int], bool]
    """Whether a user may have one more connection; counts this one as theirs if so."""


class RichConnection(Connection):
    """One client that speaks ``teamcast.v1``."""

    subprotocol = "teamcast.v1"

    def __init__(self, hub: Hub, protocol: Protocol, token: Token | None, verify: Verify, limits: Limits) -> None:
        """Begin a conversation.

        Args:
            hub: What delivers.
            protocol: The conversation's rules.
            token: Who the handshake said this is; ``None`` when an ``auth`` command is to say so.
            verify: Checks later tokens.
            limits: What it may not exceed.
        """
        super().__init__(hub)
        self.sink = self._rich = RichSink(self.drained, self.close)
        self._protocol = protocol
        self._token = token
        self._verify = verify
        self._limits = limits
        self._commands: asyncio.Queue[str] = asyncio.Queue(WAITING_COMMANDS)
        self._waiting_bytes = 0
        self._refreshed = asyncio.Event()

    async def run(self) -> None:
        """Carry out commands one after the other."""
        if self._token is not None:
            await self._welcome(self._token)
        else:
            self.spawn(self._expect_auth())
        while True:
            text = await self._commands.get()
            self._waiting_bytes -= len(text)
            # Read when its turn comes: what it may say depends on what the commands before it did.
            command = self._protocol.receive(text)
            if isinstance(command, Close):
                self.close(command.code, command.reason)
                return
            try:
                await self._carry_out(command)
            except* Unavailable:
                self.close(CloseCode.UNAVAILABLE)
            except* Exception:
                log.exception("a command failed")
                self.close(CloseCode.UNAVAILABLE)

    async def text(self, message: str) -> None:
        """Take a command; it is carried out after those before it."""
        if not self._limits.command() or self._commands.full() or self._waiting_bytes > WAITING_BYTES:
            self._rich.send(messages.error(ErrorCode.LIMIT, "too many commands"))
            self.close(CloseCode.LIMIT)
            return
        self._waiting_bytes += len(message)
        self._commands.put_nowait(message)

    async def _carry_out(self, command: Command | Refusal) -> None:
        if isinstance(command, Refusal):
            self._rich.send(command.json)
        elif isinstance(command, Ping):
            self._rich.send(messages.pong(command.id))
        elif isinstance(command, Auth):
            await self._auth(command)
        elif isinstance(command, Refresh):
            await self._refresh(command)
        elif isinstance(command, Subscribe):
            await self._subscribe(command)
        else:
            self._unsubscribe(command)

    # --- who this is

    async def _welcome(self, token: Token) -> None:
        self._token = token
        if self._protocol.user_id is None:
            self._protocol.authenticated(token.user_id)
        self.listener = Listener(token.user_id, self._rich)
        self.hub.register(self.listener)
        if token.expires_at is not None:
            self.spawn(self._expire())
        try:
            teams = [team_id for team_id, _role in await self.hub.teams_of(token.user_id)]
        except Unavailable:
            self.close(CloseCode.UNAVAILABLE)
            return
        self._rich.send(messages.welcome(secrets.token_urlsafe(9), token.user_id, teams, HEARTBEAT_SECONDS, VERSION))
        self.welcomed = True

    async def _expect_auth(self) -> None:
        await asyncio.sleep(AUTH_SECONDS)
        if self._protocol.user_id is None:
            self.close(CloseCode.UNAUTHENTICATED)

    async def _auth(self, command: Auth) -> None:
        if self._protocol.user_id is not None:  # two of them were under way
            self._rich.send(messages.reply_error(command.id, ErrorCode.ALREADY_AUTHENTICATED, "authenticated already"))
            return
        try:
            token = await self._verify(command.token)
        except TokenRefused:
            self._rich.send(messages.reply_error(command.id, ErrorCode.BAD_TOKEN, "the token is not good"))
            self.close(CloseCode.UNAUTHENTICATED)
            return
        if not self._limits.user(token.user_id):
            self._rich.send(messages.reply_error(command.id, ErrorCode.LIMIT, "this user has as many connections as one may have"))
            self.close(CloseCode.LIMIT)
            return
        await self._welcome(token)
        self._rich.send(messages.reply_ok(command.id))

    async def _refresh(self, command: Refresh) -> None:
        try:
            token = await self._verify(command.token)
        except TokenRefused:
            self._rich.send(messages.reply_error(command.id, ErrorCode.BAD_TOKEN, "the token is not good"))
            return
        except Unavailable:
            self._rich.send(messages.reply_error(command.id, ErrorCode.UNAVAILABLE, "the key server is out of reach"))
            return
        if token.user_id != self._protocol.user_id:
            self._rich.send(messages.reply_error(command.id, ErrorCode.WRONG_USER, "the token is someone else's"))
            return
        self._token = token
        self._refreshed.set()
        self._rich.send(messages.reply_ok(command.id))

    async def _expire(self) -> None:
        while self._token is not None and self._token.expires_at is not None:
            self._refreshed.clear()
            try:
                await asyncio.wait_for(self._refreshed.wait(), max(0.0, self._token.expires_at - time()))
            except TimeoutError:
                self.close(CloseCode.TOKEN_EXPIRED)
                return

    # --- subscriptions

    async def _subscribe(self, command: Subscribe) -> None:
        listener = self.listener
        if listener is None:
            raise AssertionError("a command is carried out before anybody is authenticated")
        since = {key_of(name, listener.user_id): position for name, position in command.since.items()}
        plans: list[Plan] = []
        refused: set[int] = set()
        everything = command.teams is ALL
        self.hub.note(listener)
        if command.teams is ALL:
            keys = {team_key(team_id) for team_id in await self.hub.candidates(listener.user_id)} | set(since)
        else:
            keys = {team_key(team_id) for team_id in command.teams}
        if command.me:
            keys.add(user_key(listener.user_id))
        while keys:
            if everything:
                keys |= {team_key(team_id) for team_id in listener.heard} - {plan.key for plan in plans}
            listener.heard.clear()
            wishes = {"snapshot": command.snapshot, "presence": command.presence}
            found = await asyncio.gather(*(self.hub.plan(listener, key, since.get(key), **wishes) for key in sorted(keys)))
            plans += [plan for plan in found if plan is not None]
            # Teams that came while we were asking, maybe a moment after we were told that they are none of ours: with "all"
            # they are, and nothing of them may fall between.
            keys = {team_key(team_id) for team_id in listener.heard} - {plan.key for plan in plans} if everything else set()
        # No await from here on: who is a member now is one when the reply is written.
        plans = [now for plan in plans if (now := self.hub.renew(listener, plan)) is not None]
        granted = {plan.key for plan in plans}
        if command.teams is not ALL or since:
            wanted = set(since) if command.teams is ALL else {team_key(team_id) for team_id in command.teams}
            refused = {int(key.partition(":")[2]) for key in wanted - granted if key.startswith("team:")}
        if not plans and refused and not everything:
            self._rich.send(messages.reply_error(command.id, ErrorCode.NOT_MEMBER, "none of these teams is one of yours"))
            return
        if everything:
            listener.everything, listener.snapshots, listener.presence = True, command.snapshot, command.presence
        positions = {name_of(plan.key): since.get(plan.key) if plan.leads_on else plan.feed.position for plan in plans}
        self._rich.send(messages.reply_subscribed(command.id, {name: text for name, text in positions.items() if text}, refused))
        for plan in plans:
            self.hub.subscribe(listener, plan)

    def _unsubscribe(self, command: Unsubscribe) -> None:
        listener = self.listener
        if listener is None:
            raise AssertionError("a command is carried out before anybody is authenticated")
        if command.teams is ALL:
            listener.everything = False
            keys = set(listener.cursors)
        else:
            keys = {team_key(team_id) for team_id in command.teams} | ({user_key(listener.user_id)} if command.me else set())
        for key in keys:
            cursor = listener.cursors.get(key)
            if cursor is not None:
                self.hub.leave(cursor)
        self._rich.send(messages.reply_ok(command.id))


def key_of(name: int | Literal["me"], user_id: int) -> str:
    """The key that a client's name of a stream means."""
    return user_key(user_id) if name == "me" else team_key(name)


def name_of(key: str) -> int | Literal["me"]:
    """A client's name of a key."""
    kind, _, number = key.partition(":")
    return int(number) if kind == "team" else "me"
