"""A run: events of one feed that were read together, and so leave together."""

from __future__ import annotations

from collections.abc import Sequence

from delivery.entry import Entry

RUN_BYTES = 64 * 1024
"""A run grows to about this size: as much as a socket may hold unsent before it is asked to wait."""


class Run:
    """Entries in the order of the log, and their frames, joined once for every socket that gets them all."""

    __slots__ = ("_frames", "entries")

    def __init__(self, entries: Sequence[Entry]) -> None:
        """Take entries that are finished, at least one, none of them skipped, and none that ends or begins anything."""
        self.entries = entries
        self._frames: bytes | None = None

    @property
    def first(self) -> Entry:
        """The oldest."""
        return self.entries[0]

    @property
    def last(self) -> int:
        """Offset of the newest."""
        return self.entries[-1].offset

    @property
    def frames(self) -> bytes:
        """All of them as WebSocket text frames."""
        if self._frames is None:
            self._frames = self.entries[0].frame if len(self.entries) == 1 else b"".join([entry.frame for entry in self.entries])
        return self._frames
