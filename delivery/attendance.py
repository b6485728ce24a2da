"""Attendance: which users have a connection to this worker. Pure: the caller passes the time."""

from __future__ import annotations

LINGER_SECONDS = 3.0
"""So long after their last connection a user is still here: the reload of a page, or a move to another worker, is no going."""


class Attendance:
    """Counts connections, and says which users came and which went."""

    def __init__(self) -> None:
        self._connections: dict[int, int] = {}
        self._leaving: dict[int, float] = {}
        """Users without a connection, and when they are gone; the first to go comes first."""
        self._came: dict[int, None] = {}

    def __len__(self) -> int:
        """Users who are here, those who linger too."""
        return len(self._connections) + len(self._leaving)

    def enter(self, user_id: int) -> None:
        """A user has one more connection."""
        before = self._connections.get(user_id, 0)
        self._connections[user_id] = before + 1
        if not before and self._leaving.pop(user_id, None) is None:
            self._came[user_id] = None

    def leave(self, user_id: int, now: float) -> None:
        """A user has one connection less."""
        left = self._connections[user_id] - 1
        if left:
            self._connections[user_id] = left
        else:
            del self._connections[user_id]
            self._leaving[user_id] = now + LINGER_SECONDS

    def settle(self, now: float) -> tuple[list[int], list[int]]:
        """Users who came, and who went, since this was asked before."""
        came, self._came = list(self._came), {}
        went = []
        for user_id, gone_at in self._leaving.items():
            if gone_at > now:
                break
            went.append(user_id)
        for user_id in went:
            del self._leaving[user_id]
        return came, went
