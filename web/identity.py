"""Who is asking: one answer for views, the event stream and sockets alike."""

from __future__ import annotations

import hmac
import logging
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from time import time

from aiohttp import web

from app.auth import Authenticator, BadToken, KeysUnavailable
from app.domain.events import MAX_ID
from app.settings import Settings
from web.problems import Problem

log = logging.getLogger(__name__)

EXPIRY_GRACE_SECONDS = 15.0
"""A socket lives so long beyond its token's ``exp``: in the middle of the 30 s within which clocks may differ."""
BEARER_ENTRY = "bearer."
"""Begins the entry of Sec-WebSocket-Protocol that carries a token; such an entry is never selected or echoed."""

_USER_ID = re.compile(r"[1-9][0-9]{0,15}")
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE | re.ASCII)
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_-][a-z0-9._-]*)(:[0-9]{1,5})?")


@dataclass(slots=True, frozen=True)
class Caller:
    """Someone who may ask."""

    user_id: int | None
    """Whose token it is; ``None`` for an administrator's token, and for anyone on loopback without authentication."""
    admin: bool
    produce: bool
    expires_at: float | None = None
    """The token's ``exp``, seconds since 1970; ``None``: never."""

    @property
    def close_at(self) -> float | None:
        """When a socket of this caller is closed unless a newer token comes, seconds since 1970; ``None``: never."""
        return None if self.expires_at is None else self.expires_at + EXPIRY_GRACE_SECONDS


def refuse_foreign_host(request: web.Request, settings: Settings) -> None:
    """Without authentication only this machine may ask, and not through a proxy, nor by a name that a web page rebinds.

    Raises:
        Problem: 403.
    """
    if settings.auth:
        return
    headers = request.headers
    # The target of a request to a proxy names a host of its own, which would count in place of the header's.
    direct = request.raw_path.startswith("/")
    if not direct or not names_loopback(headers.getall("Host", [])) or "Forwarded" in headers or "X-Forwarded-For" in headers:
        raise Problem(403, "without authentication this server answers loopback only")


def names_loopback(hosts: list[str]) -> bool:
    """Whether the Host headers of a request are one, and it is a name or address (a port allowed) of this machine alone.

    Only the plain forms of an address count: others (decimal, hexadecimal, short, with a zone) mean different things to different readers.
    """
    found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if found is None:
        return False
    name = found[1].lower()
    try:
        if name.startswith("["):
            return IPv6Address(name[1:-1]) == IPv6Address("::1")
        return IPv4Address(name).is_loopback
    except ValueError:
        return name == "localhost" or re.fullmatch(r"([a-z0-9_-]+\.)+localhost", name) is not None


def refuse_foreign_origin(request: web.Request, settings: Settings) -> None:
    """A browser's page of another site may not ask in its user's name.

    Raises:
        Problem: 403.
    """
    origins = request.headers.getall("Origin", [])
    host = request.headers.get("Host", "")
    if len(origins) > 1 or not all(origin_allowed(origin, host, settings.allowed_origins) for origin in origins):
        raise Problem(403, "this origin is not allowed")


def origin_allowed(origin: str, host: str, allowed: tuple[str, ...]) -> bool:
    """Whether an ``Origin`` is the same host name (port ignored) or one of ``allowed``."""
    origin = origin.lower()
    if origin in {pattern.lower().rstrip("/") for pattern in allowed} and "*" not in origin:
        return origin != "null"  # which sandboxed pages of anyone send
    found = _ORIGIN.fullmatch(origin)
    if not found:
        return False
    scheme, name, port = found[1], found[2], found[3] or ""
    served = _HOST.fullmatch(host)
    if served and name == served[1].lower():
        return True
    return any((name + port).endswith("." + domain) for domain in _wildcards(allowed, scheme))


def _wildcards(allowed: tuple[str, ...], scheme: str) -> list[str]:
    start = f"{scheme}://*."
    return [pattern.lower().removeprefix(start).rstrip("/") for pattern in allowed if pattern.lower().startswith(start)]


def bearer_of(request: web.Request) -> str | None:
    """The token of ``Authorization: Bearer``; "", which is never good, where it is empty or there are several."""
    values = request.headers.getall("Authorization", [])
    tokens = [value.partition(" ")[2].strip(" ") for value in values if value.partition(" ")[0].lower() == "bearer"]
    if not tokens:
        return None
    return tokens[0] if len(values) == 1 else ""


def token_of(request: web.Request, *, query_allowed: bool) -> str | None:
    """The token of the first place that has one: the Authorization header, a subprotocol entry, the query; ``None``: no token.

    A place that is used but empty has the token "", which is never good: what a client meant to send decides, not what is left.
    """
    token = bearer_of(request)
    if token is not None:
        return token
    for entry in ",".join(request.headers.getall("Sec-WebSocket-Protocol", [])).split(","):
        if entry.strip().startswith(BEARER_ENTRY):
            return entry.strip().removeprefix(BEARER_ENTRY)
    return request.query.get("token") if query_allowed else None


async def caller_of(request: web.Request, settings: Settings, authenticator: Authenticator) -> Caller:
    """Who sends an HTTP request.

    Raises:
        Problem: 401 without a good token; 403 where this server answers loopback only; 503 while a token cannot be proven.
    """
    refuse_foreign_host(request, settings)
    if not settings.auth:
        return Caller(None, admin=True, produce=True)
    token = token_of(request, query_allowed=False)
    if token is None:
        raise unauthorized("a bearer token is needed")
    if settings.admin_token is not None and same(token, settings.admin_token.get_secret_value()):
        return Caller(None, admin=True, produce=True)
    with _as_problems():
        return await caller_of_token(token, authenticator)


async def caller_of_stream(request: web.Request, settings: Settings, authenticator: Authenticator) -> Caller:
    """Who asks for an event stream: a user, as on a socket, but with the answers of HTTP.

    Raises:
        Problem: 401 without a good token (without authentication: without a userId), 403, 503 as ``caller_of``.
    """
    refuse_foreign_host(request, settings)
    with _as_problems():
        caller = await authenticate_socket(request, settings, authenticator)
    if caller is None:
        raise unauthorized("a bearer token is needed")
    return caller


async def authenticate_socket(request: web.Request, settings: Settings, authenticator: Authenticator) -> Caller | None:
    """Who opens a socket, by the handshake; ``None`` when authentication is on and no token came with it.

    Without authentication it is whom ``?userId`` names.

    Raises:
        BadToken: The token is not good, or without authentication ``?userId`` is no user id.
        KeysUnavailable: Whether the token is good cannot be told now.
    """
    if settings.auth:
        token = token_of(request, query_allowed=True)
        return None if token is None else await caller_of_token(token, authenticator)
    user_id = user_id_of(request.query.get("userId"))
    if user_id is None:
        raise BadToken("no userId")
    return Caller(user_id, admin=True, produce=True)


async def caller_of_token(token: str, authenticator: Authenticator) -> Caller:
    """Whom a token speaks for now.

    Raises:
        BadToken: The token is not good.
        KeysUnavailable: Whether it is good cannot be told now.
    """
    try:
        identity = await authenticator.verify(token, time())
    except BadToken as error:
        log.debug("a token was refused: %s", error)
        raise
    admin = "admin" in identity.scopes
    return Caller(identity.user_id, admin, admin or "produce" in identity.scopes, identity.expires_at)


@contextmanager
def _as_problems() -> Iterator[None]:
    try:
        yield
    except BadToken:
        raise unauthorized("the token is not valid") from None
    except KeysUnavailable as error:
        retry_after = str(math.ceil(error.retry_after_seconds))
        raise Problem(503, "tokens cannot be checked now", headers={"Retry-After": retry_after}) from None


def unauthorized(detail: str) -> Problem:
    """401."""
    return Problem(401, detail, headers={"WWW-Authenticate": "Bearer"})


def same(given: str, secret: str) -> bool:
    """Compare a secret in constant time. An empty text is no secret, and the same as none."""
    # Bytes of a header that are no UTF-8 arrive as lone surrogates.
    return hmac.compare_digest(given.encode(errors="surrogatepass"), secret.encode(errors="surrogatepass")) and given != ""


def user_id_of(text: str | None) -> int | None:
    """A user id as it stands in a URL; ``None`` for what is none."""
    if text is None or not _USER_ID.fullmatch(text) or int(text) > MAX_ID:
        return None
    return int(text)
