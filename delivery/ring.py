"""The ring: the newest records of one partition, bounded by bytes, found by key."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator
from itertools import islice

from delivery.entry import Entry

_COMPACT = 512
"""Dropped entries that a key's list carries before it is cut."""


class _KeyLog:
    """The entries of one key, oldest first; dropping the oldest costs no move of the others."""

    __slots__ = ("_dropped", "complete_from", "entries")

    def __init__(self, complete_from: int) -> None:
        self.entries: list[Entry] = []
        self.complete_from = complete_from
        """Every record of the key from this offset on is here."""
        self._dropped = 0

    def drop_oldest(self) -> bool:
        """Drop one; whether none is left."""
        self.complete_from = self.entries[self._dropped].offset + 1
        self._dropped += 1
        if self._dropped == len(self.entries):
            return True
        if self._dropped >= _COMPACT and self._dropped * 2 >= len(self.entries):
            del self.entries[: self._dropped]
            self._dropped = 0
        return False

    def after(self, offset: int, limit: int | None) -> list[Entry]:
        start = max(self._dropped, bisect_right(self.entries, offset, key=lambda entry: entry.offset))
        return self.entries[start:] if limit is None else self.entries[start : start + limit]


class Ring:
    """Everything delivered of one partition since `start`."""

    def __init__(self, budget: int, start: int, log: str = "") -> None:
        self.log = log
        """The id of the log that these records are of."""
        self._budget = budget
        self._entries: deque[Entry] = deque()
        self._keys: dict[str, _KeyLog] = {}
        self.bytes = 0
        self.start = start
        """Every record from this offset on is here, if it is one that clients get."""

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def newest_offset(self) -> int:
        """Offset of the newest record; of the one before `start` when there is none."""
        return self._entries[-1].offset if self._entries else self.start - 1

    def append(self, entry: Entry) -> None:
        """Add the newest record; the oldest ones go when the budget is spent."""
        self._entries.append(entry)
        log = self._keys.get(entry.key)
        if log is None:
            log = self._keys[entry.key] = _KeyLog(self.start)
        log.entries.append(entry)
        self.bytes += entry.size
        while self.bytes > self._budget and len(self._entries) > 1:
            oldest = self._entries.popleft()
            self.bytes -= oldest.size
            self.start = oldest.offset + 1
            if self._keys[oldest.key].drop_oldest():
                del self._keys[oldest.key]

    def after(self, key: str, offset: int, limit: int | None = None) -> list[Entry] | None:
        """Records of ``key`` behind ``offset``, oldest first, at most ``limit``; ``None`` when some may be gone."""
        log = self._keys.get(key)
        if offset + 1 < (log.complete_from if log else self.start):
            return None
        return log.after(offset, limit) if log else []

    def keys_behind(self, offset: int) -> list[str]:
        """Keys of which there are records behind ``offset``."""
        return [key for key, log in self._keys.items() if log.entries[-1].offset > offset]

    def last(self, key: str) -> Entry:
        """The newest record of a key.

        Raises:
            KeyError: There is none of it here.
        """
        return self._keys[key].entries[-1]

    def newest(self, limit: int) -> Iterator[Entry]:
        """The newest records, newest first, at most ``limit``; not to be kept over an await."""
        return islice(reversed(self._entries), limit)
