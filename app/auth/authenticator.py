"""Proves tokens."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import jwt

from app.auth.claims import identity_of
from app.auth.identity import BadToken, Identity
from app.auth.key_server import KeyServer
from app.auth.keys import PUBLIC_ALGORITHMS
from app.errors import StartRefused
from app.settings import Settings

TOKEN_MAX = 16 * 1024
"""Characters; a header line holds half of that."""

_REFUSED_HEADERS = ("jku", "x5u", "jwk", "crit")
"""They let a token bring its own key, or its own rules."""
_jws = jwt.PyJWS(algorithms=["HS256", *PUBLIC_ALGORITHMS])
_STRICT = {"verify_signature": True, "enforce_minimum_key_length": True}


class Authenticator:
    """Proves tokens by the keys of the settings. The algorithm decides which keys are looked at, and each key has one algorithm."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        """Fetch nothing yet.

        Args:
            settings: Where keys come from, and what tokens must say.
            clock: Seconds that never go back; for how old the server's keys are.

        Raises:
            StartRefused: The secret is none.
        """
        self._issuer, self._audience = settings.jwt_issuer, settings.jwt_audience
        self._secret = _secret(settings.jwt_secret.get_secret_value()) if settings.jwt_secret is not None else None
        self._server = KeyServer(settings.jwt_jwks_url, clock) if settings.jwt_jwks_url is not None else None

    async def verify(self, token: str, now: float) -> Identity:
        """Who the token speaks for, at ``now`` (seconds since 1970).

        Raises:
            BadToken: It proves nothing; a later try gives the same answer.
            KeysUnavailable: Whether it is good cannot be told now.
        """
        algorithm, key_id = _read_header(token)
        keys: Sequence[jwt.PyJWK | bytes]
        if algorithm == "HS256" and self._secret is not None:
            keys = [self._secret]
        elif algorithm in PUBLIC_ALGORITHMS and self._server is not None:
            keys = await self._server.find(algorithm, key_id)
        else:
            raise BadToken("an algorithm that is not taken")
        return identity_of(_payload(token, algorithm, keys), now, issuer=self._issuer, audience=self._audience)

    async def close(self) -> None:
        """Let go of the key server."""
        if self._server is not None:
            await self._server.close()


def _secret(text: str) -> bytes:
    try:
        return jwt.get_algorithm_by_name("HS256").prepare_key(text)  # type: ignore[no-any-return]
    except jwt.InvalidKeyError:
        raise StartRefused("bad setting: JWT_SECRET: is a key of an asymmetric algorithm; public keys come by JWT_JWKS_URL") from None


def _read_header(token: str) -> tuple[str, str | None]:
    """Algorithm and key id, as the token claims them."""
    if len(token) > TOKEN_MAX or not token.isascii():
        raise BadToken("too long, or no ASCII")
    try:
        header: dict[str, Any] = _jws.get_unverified_header(token)
    except jwt.PyJWTError as error:
        raise BadToken(type(error).__name__) from None
    for name in _REFUSED_HEADERS:
        if name in header:
            raise BadToken(f"a header {name}")
    algorithm = header.get("alg")
    if not isinstance(algorithm, str):
        raise BadToken("no algorithm")
    return algorithm, header.get("kid")


def _payload(token: str, algorithm: str, keys: Sequence[jwt.PyJWK | bytes]) -> bytes:
    reason = "no key"
    for key in keys:
        try:
            payload: bytes = _jws.decode(token, key, algorithms=[algorithm], options=_STRICT)  # type: ignore[arg-type]
        except jwt.PyJWTError as error:
            reason = type(error).__name__
        else:
            return payload
    raise BadToken(reason)
