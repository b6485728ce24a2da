"""A key server's answer (JWK Set, RFC 7517) as the keys that we verify with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jwt
import orjson

PUBLIC_ALGORITHMS = ("RS256", "ES256", "EdDSA")

KEYS_MAX = 32
"""A token without a key id is tried with each key of its algorithm: their number bounds what a forged one costs."""
RSA_BITS_MAX = 8192

_CURVES = {"EC": ("P-256",), "OKP": ("Ed25519", "Ed448")}
_ALGORITHMS = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
_PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")
"""What makes a public key. A private one that was published by mistake is taken for its public part, a symmetric one not at all."""


@dataclass(slots=True, frozen=True)
class Key:
    """A public key; its algorithm follows from its type, never from a token."""

    key_id: str | None
    algorithm: str
    jwk: jwt.PyJWK


def parse_key_set(body: bytes) -> tuple[Key, ...]:
    """The usable keys of a set, at most ``KEYS_MAX``; keys of other kinds or for other uses are left out.

    Raises:
        ValueError: This is no key set.
    """
    parsed = orjson.loads(body)  # its error is a ValueError
    listed = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no JWK set")
    keys: list[Key] = []
    for one in listed:
        key = _key(one) if isinstance(one, dict) and len(keys) < KEYS_MAX else None
        if key is not None:
            keys.append(key)
    return tuple(keys)


def _key(jwk: dict[str, Any]) -> Key | None:
    kind, key_id = jwk.get("kty"), jwk.get("kid")
    algorithm = _ALGORITHMS.get(kind) if isinstance(kind, str) else None
    operations = jwk.get("key_ops", ["verify"])
    if (
        algorithm is None
        or not isinstance(key_id, str | None)
        or jwk.get("alg", algorithm) != algorithm
        or jwk.get("use", "sig") != "sig"
        or not (isinstance(operations, list) and "verify" in operations)
        or (kind in _CURVES and jwk.get("crv") not in _CURVES[kind])
    ):
        return None
    try:
        key = jwt.PyJWK({name: jwk[name] for name in _PUBLIC_MEMBERS if name in jwk}, algorithm=algorithm)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and not 2048 <= key.key.key_size <= RSA_BITS_MAX:
        return None
    return Key(key_id, algorithm, key)
