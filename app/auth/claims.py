"""The claims of a token whose signature has been verified (RFC 7519, section 4.1)."""

from __future__ import annotations

import math
import re
from typing import Any

import orjson

from app.auth.identity import LEEWAY_SECONDS, BadToken, Identity
from app.domain.events import MAX_ID

_SUBJECT = re.compile(r"[1-9][0-9]{0,15}")
_END_OF_TIME = 253402300799.0
"""9999-12-31T23:59:59Z: whatever expires later does not expire, and timers need not know larger numbers."""


def identity_of(payload: bytes, now: float, *, issuer: str | None, audience: str | None) -> Identity:
    """Who the token speaks for.

    Args:
        payload: The token's claims, as JSON.
        now: Seconds since 1970.
        issuer: The ``iss`` that it must have; ``None``: any, or none.
        audience: What must be in its ``aud``; ``None``: anything, or nothing.

    Raises:
        BadToken: A claim is missing, malformed, or not for us; or the token is not valid at this time.
    """
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise BadToken("the claims are no JSON") from None
    if not isinstance(claims, dict):
        raise BadToken("the claims are no object")
    expires_at = _instant(claims, "exp")
    if now >= expires_at + LEEWAY_SECONDS:
        raise BadToken("expired")
    if "nbf" in claims and now < _instant(claims, "nbf") - LEEWAY_SECONDS:
        raise BadToken("not valid yet")
    if issuer is not None and claims.get("iss") != issuer:
        raise BadToken("of another issuer")
    if audience is not None and audience not in _texts(claims.get("aud")):
        raise BadToken("for another audience")
    scope = claims.get("scope")
    scopes = scope.split() if isinstance(scope, str) else _texts(scope)
    return Identity(_user_id(claims), frozenset(scopes), min(expires_at, _END_OF_TIME))


def _instant(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadToken(f"{name} is no time")
    return float(value)


def _user_id(claims: dict[str, Any]) -> int:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not _SUBJECT.fullmatch(subject) or int(subject) > MAX_ID:
        raise BadToken("sub is no user id")
    return int(subject)


def _texts(value: Any) -> list[str]:
    """One text, or a list of them; whatever else is there gives nobody a right."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
