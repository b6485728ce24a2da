"""Who a token speaks for: HS256 with our secret, RS256, ES256 and EdDSA with the keys of a key server."""

from __future__ import annotations

from app.auth.authenticator import Authenticator
from app.auth.identity import LEEWAY_SECONDS, BadToken, Identity, KeysUnavailable

__all__ = ["LEEWAY_SECONDS", "Authenticator", "BadToken", "Identity", "KeysUnavailable"]
