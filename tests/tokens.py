"""Tokens of every kind, good and bad, and a key server."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.ports import free_port

SECRET = "a secret of thirty-two bytes or more"
Headers = dict[str, Any]
Claims = dict[str, Any]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def segment(value: Any) -> str:
    """A part of a token: JSON, unless it is bytes already, in base64url."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(user_id: int | str = 7, *, now: float, **more: Any) -> Claims:
    """What a token says that is good for five minutes; ``None`` leaves a claim out."""
    found = {"sub": str(user_id), "exp": int(now) + 300} | more
    return {name: value for name, value in found.items() if value is not None}


def hs256(payload: Any, *, secret: str | bytes = SECRET, **headers: Any) -> str:
    """A token signed with HMAC-SHA256, whatever its header says."""
    signed = f"{segment({'alg': 'HS256', 'typ': 'JWT'} | headers)}.{segment(payload)}"
    key = secret.encode() if isinstance(secret, str) else secret
    return f"{signed}.{segment(hmac.new(key, signed.encode(), hashlib.sha256).digest())}"


@cache
def private_key(algorithm: str, name: str) -> Any:
    """The key of that name, made when it is first asked for."""
    makers: dict[str, Callable[[], PrivateKeyTypes]] = {
        "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == "short" else 2048),
        "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "EdDSA": ed25519.Ed25519PrivateKey.generate,
    }
    return makers["RS256" if algorithm == "PS256" else algorithm]()


def signed(payload: Claims, algorithm: str, name: str, *, key_id: str | None = "", **headers: Any) -> str:
    """A token signed with a private key; its key id is the key's name unless another is given, or ``None``."""
    more = headers if key_id is None else {"kid": key_id or name} | headers
    return jwt.encode(payload, private_key(algorithm, name), algorithm=algorithm, headers=more)


def jwk(algorithm: str, name: str, **members: Any) -> dict[str, Any]:
    """The public key as a key server publishes it; ``None`` leaves a member out."""
    found: dict[str, Any] = jwt.get_algorithm_by_name(algorithm).to_jwk(private_key(algorithm, name).public_key(), as_dict=True)
    found = {name: value for name, value in found.items() if name != "key_ops"} | {"kid": name} | members
    return {name: value for name, value in found.items() if value is not None}


def public_pem(algorithm: str, name: str) -> bytes:
    """The public key, as one who has it would try it as a secret."""
    data: bytes = private_key(algorithm, name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return data


class KeyServer:
    """A key server whose answers a test decides.

    Attributes:
        keys: what it answers.
        asked: how often it was asked.
        answer: in place of the keys, when set.
    """

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = []
        self.asked = 0
        self.answer: Handler | None = None
        self.asked_again = asyncio.Event()
        self.port = free_port()
        self._runner: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """Of the key set."""
        return f"http://127.0.0.1:{self.port}/keys"

    async def start(self) -> None:
        """Listen."""
        application = web.Application()
        application.router.add_get("/keys", self._handle)
        application.router.add_get("/elsewhere", self._keys)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        """Go away."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        self.asked_again.set()
        return await (self.answer or self._keys)(request)

    async def _keys(self, _request: web.Request) -> web.StreamResponse:
        return web.json_response({"keys": self.keys})


@asynccontextmanager
async def key_server(*keys: dict[str, Any]) -> AsyncIterator[KeyServer]:
    """A key server that runs, with these keys."""
    server = KeyServer()
    server.keys = list(keys)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
