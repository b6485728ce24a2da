"""Recent records: unified records that were read a moment ago, for the others in this process that read them too.

Whoever routes an event, who folds it for the table and who folds it for its listeners all need the same record, each from
bytes of their own. Parsed once for all of them it costs each a look-up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.domain.fold import Delta, deltas
from app.domain.later_event import Folded, fold
from app.domain.rows import EMPTY, Row, decode, encode, merge
from app.domain.unified import UnifiedRecord, parse, usual_headers

RECORDS: Final = 8192
"""Records that are kept, at most: what a busy worker reads in a fraction of a second, which is how far its readers are apart."""
VALUES_BYTES: Final = 8 * 2**20
"""What their values come to, at most; parsed they are some five times as large."""
LARGEST_BYTES: Final = 16 * 1024
"""A larger value is not kept: it would take the place of dozens."""

LARGEST_ROW_BYTES: Final = 4 * 1024
"""A larger row is folded by each who folds it: those that records keep are not counted."""

UsualHeaders = tuple[bytes | None, ...]
"""What `app.domain.unified.usual_headers` gives."""


class Merged(NamedTuple):
    """What the event of a task did to the task's row."""

    says: Delta
    """The row's key, and what was merged into it."""
    before: Row | None
    """The row; ``None`` where there was none."""
    after: Row
    """The row afterwards; `before` itself where that changed nothing."""
    row: bytes
    """The same, encoded."""


class SharedRecord:
    """A record as several readers have it: its data is not to be changed."""

    __slots__ = ("_folded", "_merged", "headers", "key", "unified")

    def __init__(self, unified: UnifiedRecord, key: bytes | None = None, headers: UsualHeaders = ()) -> None:
        self.unified = unified
        self.key = key
        self.headers = headers
        """The values of its headers; none where it is shared with nobody."""
        self._folded: tuple[bytes | None, Folded | None] | None = None
        self._merged: tuple[bytes | None, Merged] | None = None

    def folded(self, stored: bytes | None) -> Folded | None:
        """What `app.domain.later_event.fold` gives of it and a stored row.

        The table and a view fold the same record onto the same row: what the one has worked out waits for the other.
        """
        known, self._folded = self._folded, None
        if known is not None and known[0] == stored:
            return known[1]
        found = fold(*self.unified, stored)
        if found is not None and len(found.row) <= LARGEST_ROW_BYTES:
            self._folded = (stored, found)
        return found

    def merged(self, stored: bytes | None) -> Merged:
        """What `app.domain.fold` makes of it, the event of a task, and the task's stored row; worked out once, like `folded`.

        Raises:
            ValueError: The row cannot be read.
        """
        known, self._merged = self._merged, None
        if known is not None and known[0] == stored:
            return known[1]
        says, *_ = deltas(*self.unified)
        before = None if stored is None else decode(stored)
        after = merge(before or EMPTY, says[1])
        found = Merged(says, before, after, stored if stored is not None and after is before else encode(after))
        if len(found.row) <= LARGEST_ROW_BYTES:
            self._merged = (stored, found)
        return found


class RecentRecords:
    """The records read last, by their values.

    Two generations of half the size each: the newer one fills, the older one is dropped whole when it has.
    """

    def __init__(self) -> None:
        self._newer: dict[bytes, SharedRecord] = {}
        self._older: dict[bytes, SharedRecord] = {}
        self._bytes = 0
        """What the values of the newer ones come to."""

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def read(self, value: bytes | None, headers: Sequence[tuple[str, bytes | None]], key: bytes | None) -> SharedRecord:
        """What `app.domain.unified.parse` gives, looked up where it was given a moment ago.

        Raises:
            BadRecord: as `parse` does.
        """
        usual = usual_headers(headers)
        if value is None or usual is None:
            return SharedRecord(parse(value, headers, key))
        return self.find(value, usual, key) or self.note(value, usual, key, parse(value, headers, key))

    def find(self, value: bytes, headers: UsualHeaders | None, key: bytes | None) -> SharedRecord | None:
        """The record, if it was read a moment ago. An equal value alone does not make it the same one."""
        found = self._newer.get(value) or self._older.get(value)
        return found if found is not None and found.headers == headers and found.key == key else None

    def note(self, value: bytes, headers: UsualHeaders, key: bytes | None, unified: UnifiedRecord) -> SharedRecord:
        """Keep a record for those who read it next.

        Args:
            value: The record's value.
            headers: The values of its headers, which are the usual ones.
            key: Its key.
            unified: What `parse` gives for it.
        """
        shared = SharedRecord(unified, key, headers)
        if len(value) <= LARGEST_BYTES:
            if len(self._newer) >= RECORDS // 2 or self._bytes >= VALUES_BYTES // 2 - LARGEST_BYTES:
                self._older, self._newer, self._bytes = self._newer, {}, 0
            self._newer[value] = shared
            self._bytes += len(value)
        return shared
