"""The keys of a key server, kept here: asked for when needed, seldom, and not missed while the server is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import aiohttp
import jwt

from app.auth.identity import BadToken, KeysUnavailable
from app.auth.keys import Key, parse_key_set

log = logging.getLogger(__name__)

PAUSE_SECONDS = 30.0
"""Between the starts of two requests: forged key ids must not make us flood the server."""
FRESH_SECONDS = 300.0
"""Older keys are asked for again, so that a key that was withdrawn is not taken for ever."""
FETCH_SECONDS = 5.0
STALE_WAIT_SECONDS = 1.0
"""How long a token whose key is here waits for a newer set."""
BODY_MAX = 256 * 1024
_HEADERS = {"Accept": "application/jwk-set+json, application/json", "Accept-Encoding": "identity"}


class KeyServer:
    """A JWK Set by its URL."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask for nothing yet.

        Args:
            url: Of the set; redirects are not followed.
            clock: Seconds that never go back.
        """
        self._url = url
        self._clock = clock
        self._keys: tuple[Key, ...] = ()
        self._fetched_at = float("-inf")
        self._asked_at = float("-inf")
        self._failed = True
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, algorithm: str, key_id: str | None) -> list[jwt.PyJWK]:
        """The keys that may have signed a token: the one with its key id, or, where it has none, all of its algorithm.

        Raises:
            BadToken: The server has no such key.
            KeysUnavailable: There is no such key here, and the server gives none.
        """
        found = self._known(algorithm, key_id)
        if found and self._clock() - self._fetched_at < FRESH_SECONDS:
            return found
        await self._refresh(STALE_WAIT_SECONDS if found else None)
        found = self._known(algorithm, key_id)
        if found:
            return found
        if self._failed:
            raise KeysUnavailable("the key server is out of reach", max(1.0, self._asked_at + PAUSE_SECONDS - self._clock()))
        raise BadToken("no key with this id and algorithm")

    async def close(self) -> None:
        """Give up a request that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)

    def _known(self, algorithm: str, key_id: str | None) -> list[jwt.PyJWK]:
        return [key.jwk for key in self._keys if key.algorithm == algorithm and key_id in (None, key.key_id)]

    async def _refresh(self, wait_seconds: float | None) -> None:
        """Have the set asked for, unless that was just done, and wait for the answer; everyone waits for the same one."""
        if self._fetching is None or self._fetching.done():
            if self._clock() - self._asked_at < PAUSE_SECONDS:
                return
            self._asked_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
        # The one who waits may be cancelled; the request goes on for the others.
        await asyncio.wait({self._fetching}, timeout=wait_seconds)

    async def _fetch(self) -> None:
        try:
            self._keys = parse_key_set(await self._ask())
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            self._failed = True
            # The type alone: what a server, or a library, puts into the text is not ours to log.
            log.warning("JWT_JWKS_URL gives no keys (%s); known keys stay valid: %d", type(error).__name__, len(self._keys))
            return
        self._failed = False
        self._fetched_at = self._clock()

    async def _ask(self) -> bytes:
        timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.get(self._url, headers=_HEADERS, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise ValueError(f"status {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > BODY_MAX:
                    raise ValueError("too large")
            return bytes(body)
