"""The delay: when clients are told that this worker is behind the log, and that it has caught up. Pure: the caller passes the time."""

from __future__ import annotations

DELAYED_SECONDS = 5.0
"""So far behind the log, rich clients are told."""
CAUGHT_UP_SECONDS = 1.0
AGAIN_SECONDS = 5.0
"""How often they are told how far it is, while it lasts."""


class Delay:
    """Follows how far behind this worker is."""

    def __init__(self) -> None:
        self.seconds = 0
        """How far behind it is, as clients are told; 0: it is not."""
        self._told_at = 0.0

    def step(self, lag: float, now: float) -> bool:
        """Take in how far behind the log it is now; whether everyone is to be told.

        Args:
            lag: Seconds behind the log.
            now: Seconds, on a clock that only goes on.
        """
        before = self.seconds
        if lag > DELAYED_SECONDS:
            if before and now - self._told_at < AGAIN_SECONDS:
                return False
            self.seconds, self._told_at = int(lag), now
            return True
        if before and lag < CAUGHT_UP_SECONDS:
            self.seconds = 0
            return True
        return False
