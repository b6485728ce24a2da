"""A listener: one connection as delivery sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Protocol

from delivery.entry import Entry
from delivery.run import Run

if TYPE_CHECKING:
    from delivery.cursor import Cursor

GapReason = Literal["retention", "far", "overflow", "reset", "membership", "unknown"]
LeftReason = Literal["removed", "deleted"]


class Sink(Protocol):
    """Where a listener's events go: a socket's side of delivery. Nothing here waits."""

    takes_snapshots: bool
    """Whether a snapshot can take the place of events that are gone; else the connection ends where they are."""
    takes_runs: bool
    """Whether all sinks of its kind write the same for an event, so that a run is encoded once for all."""

    def ready(self) -> bool:
        """Whether it takes more now: not too much of what was written before still waits."""

    def write(self, entry: Entry) -> None:
        """Write one event."""

    def write_run(self, run: Run) -> None:
        """Write the events of a run, which the caller counts."""

    def send(self, message: bytes) -> None:
        """Write one encoded message that is no event."""

    def joined(self, team_id: int) -> None:
        """The user became a member."""

    def left(self, team_id: int, reason: LeftReason) -> None:
        """The user is no member any more; this was the last that they get of the team."""

    def gap(self, key: str, reason: GapReason) -> None:
        """Events are missing here; a snapshot follows."""

    def fell_behind(self) -> None:
        """The ring no longer holds what comes next, and no snapshot is taken: end the connection."""

    def unavailable(self) -> None:
        """A team's owner, or the log, stayed out of reach: end the connection."""

    def disconnect(self) -> bool:
        """An administrator wants this connection to end; whether it had not been ended before."""


class Listener:
    """One connection: whose it is, what it follows, and its place in each feed."""

    __slots__ = (
        "closed",
        "coming",
        "cursors",
        "everything",
        "heard",
        "noted",
        "presence",
        "since",
        "sink",
        "snapshots",
        "user_id",
        "wanted",
    )

    def __init__(self, user_id: int, sink: Sink, *, everything: bool = False, wanted: frozenset[int] = frozenset()) -> None:
        self.user_id = user_id
        self.sink = sink
        self.everything = everything
        """Whether it follows the user's own stream and all of their teams, those that they join later too."""
        self.wanted = wanted
        """Without ``everything``: teams that it follows as soon as the user is a member."""
        self.snapshots = False
        """Whether teams that come by themselves begin with a snapshot."""
        self.presence = False
        """Whether it is told who is online in teams that come by themselves."""
        self.cursors: dict[str, Cursor] = {}
        self.noted: Mapping[int, int] = {}
        """The offset in each partition behind which it gets records."""
        self.since = 0.0
        """When those were noted, on the monotonic clock."""
        self.heard: set[int] = set()
        """Teams that were said to be theirs since then; for those who ask for all of them, and would miss what comes meanwhile."""
        self.coming: list[tuple[str, int | None]] = []
        """Keys of feeds that it is about to begin in, and the offset behind which; ``None``: with a snapshot."""
        self.closed = False

    def follows(self, team_id: int) -> bool:
        """Whether the events of a team are to come here once the user is a member."""
        return self.everything or team_id in self.wanted
