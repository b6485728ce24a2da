"""The listeners of this worker, by user."""

from __future__ import annotations

from time import monotonic

from delivery.listener import Listener
from delivery.owners import Owners


class Listeners:
    """Who listens here, and from where in the log on."""

    def __init__(self, owners: Owners) -> None:
        self._owners = owners
        self._by_user: dict[int, dict[Listener, None]] = {}
        self._noted: dict[int, int] = {}
        """What was noted last: many come at once, and one of these takes more than the rest of a listener."""

    def __bool__(self) -> bool:
        return bool(self._by_user)

    def of(self, user_id: int) -> list[Listener]:
        """A user's listeners."""
        return list(self._by_user.get(user_id, ()))

    def all(self) -> list[Listener]:
        """Everyone's."""
        return [listener for listeners in self._by_user.values() for listener in listeners]

    def add(self, listener: Listener) -> None:
        """Know a listener: from here on memberships that begin reach it."""
        self.note(listener)
        self._by_user.setdefault(listener.user_id, {})[listener] = None

    def note(self, listener: Listener) -> None:
        """Note where the tail is: what a listener joins from now on it gets from here."""
        listener.since = monotonic()
        listener.heard.clear()
        noted = {partition: offset - 1 for partition, offset in self._owners.tail.offsets().items()}
        if noted != self._noted:
            self._noted = noted
        listener.noted = self._noted

    def remove(self, listener: Listener) -> bool:
        """Forget a listener; whether it was known."""
        listener.closed = True
        listeners = self._by_user.get(listener.user_id, {})
        if listener not in listeners:
            return False
        del listeners[listener]
        if not listeners:
            del self._by_user[listener.user_id]
        return True
