"""Who is asking: one answer for views and sockets alike."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass

from aiohttp import web

from app.domain.events import MAX_ID
from app.settings import Settings, is_loopback
from web.problems import Problem

_USER_ID = re.compile(r"[1-9][0-9]{0,15}")


@dataclass(slots=True, frozen=True)
class Caller:
    """Someone who may ask."""

    user_id: int | None
    """Whose token it is; ``None`` for an administrator, and for anyone on loopback without authentication."""
    admin: bool
    produce: bool


def refuse_foreign_host(request: web.Request, settings: Settings) -> None:
    """Without authentication only this machine may ask, and not through a proxy, nor by a name that a web page rebinds.

    Raises:
        Problem: 403.
    """
    if settings.auth:
        return
    host = request.headers.get("Host", "")
    name = host.rsplit(":", 1)[0] if re.search(r":\d+$", host) else host
    if not is_loopback(name) or "Forwarded" in request.headers or "X-Forwarded-For" in request.headers:
        raise Problem(403, "without authentication this server answers loopback only")


def refuse_foreign_origin(request: web.Request, settings: Settings) -> None:
    """A browser's page of another site may not ask in its user's name.

    Raises:
        Problem: 403.
    """
    origin = request.headers.get("Origin")
    if origin is not None and not origin_allowed(origin, request.headers.get("Host", ""), settings.allowed_origins):
        raise Problem(403, "this origin is not allowed")


def origin_allowed(origin: str, host: str, allowed: tuple[str, ...]) -> bool:
    """Whether an ``Origin`` is the same host name (port ignored) or one of ``allowed``."""
    found = re.fullmatch(r"(https?)://(\[[0-9a-fA-F:.]+\]|[^/:@\[\]]+)(:\d+)?", origin)
    if not found:
        return False
    name = found[2].lower()
    if name == re.sub(r":\d+$", "", host).lower():
        return True
    for pattern in allowed:
        scheme, star, domain = pattern.partition("://*.")
        if star and found[1] == scheme and not found[3] and name.endswith("." + domain.lower()):
            return True
        if not star and origin.lower() == pattern.lower().rstrip("/"):
            return True
    return False


def caller_of(request: web.Request, settings: Settings) -> Caller:
    """Who sends an HTTP request.

    Raises:
        Problem: 401 without a good token; 403 where this server answers loopback only.
    """
    refuse_foreign_host(request, settings)
    if not settings.auth:
        return Caller(None, admin=True, produce=True)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and settings.admin_token is not None and same(token.strip(), settings.admin_token.get_secret_value()):
        return Caller(None, admin=True, produce=True)
    raise Problem(401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"})


def same(given: str, secret: str) -> bool:
    """Compare a secret in constant time."""
    return hmac.compare_digest(given.encode(), secret.encode())


def user_id_of(text: str | None) -> int | None:
    """A user id as it stands in a URL; ``None`` for what is none."""
    if text is None or not _USER_ID.fullmatch(text) or int(text) > MAX_ID:
        return None
    return int(text)
