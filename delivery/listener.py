"""A listener: one connection as delivery sees it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from delivery.entry import Entry

if TYPE_CHECKING:
    from delivery.cursor import Cursor


class Sink(Protocol):
    """Where a listener's events go: a socket's side of delivery."""

    def ready(self) -> bool:
        """Whether it takes an event now: nothing of what was written before still waits."""

    def write(self, entry: Entry) -> None:
        """Write one event."""

    def fell_behind(self) -> None:
        """The ring no longer holds what comes next: close, or begin anew."""

    def unavailable(self) -> None:
        """A team's owner, or the log, stayed out of reach."""


class Listener:
    """One connection: whose it is, what it wants, and its place in each feed."""

    __slots__ = ("closed", "cursors", "noted", "since", "sink", "user_id", "wanted")

    def __init__(self, user_id: int, sink: Sink, wanted: frozenset[int] | None) -> None:
        self.user_id = user_id
        self.sink = sink
        self.wanted = wanted
        """The teams that it is narrowed to; ``None`` for all of the user's, and their own stream."""
        self.cursors: dict[str, Cursor] = {}
        self.noted: dict[int, int] = {}
        """The offset in each partition behind which it gets records."""
        self.since = 0.0
        """When it came, on the monotonic clock."""
        self.closed = False

    def wants(self, team_id: int) -> bool:
        """Whether events of a team are to come here, if the user is a member."""
        return self.wanted is None or team_id in self.wanted
