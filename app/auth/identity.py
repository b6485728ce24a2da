"""What a good token says, and what is said of one that is not."""

from __future__ import annotations

from dataclasses import dataclass

from app.errors import TeamcastError, Unavailable

LEEWAY_SECONDS = 30.0
"""How far the clocks of the issuer and of this machine may be apart."""


@dataclass(slots=True, frozen=True)
class Identity:
    """Whose token it is, what it allows, and how long."""

    user_id: int
    scopes: frozenset[str]
    expires_at: float
    """The token's ``exp``, seconds since 1970. It is taken for another ``LEEWAY_SECONDS``, and not longer."""


class BadToken(TeamcastError):  # noqa: N818  (what it is; the caller answers 401 or close code 4501)
    """The token proves nothing. The reason is for a log at level debug; it never holds any part of the token."""


class KeysUnavailable(Unavailable):
    """The key that would prove the token is not here, and its server is out of reach: nothing is known of the token."""

    def __init__(self, message: str, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds
        """When the key server is asked again."""
