"""The rows of one partition as a batch of events finds and leaves them: encoded, and decoded for those who look into them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from app.domain.rows import Row, decode, encode

SMALL_BYTES = 1024
"""Of a row that is kept decoded from batch to batch."""
SMALL_ROWS = 4096
"""How many of them are kept: some 16 MB at most."""
_STEADY = ("team/", "member/")
"""Rows that stay as they are for thousands of events; a task's is another one after each."""

_decode_small = lru_cache(maxsize=SMALL_ROWS)(decode)


class BatchRows:
    """Each row is read once, decoded once at most between two changes, and encoded once for all changes that were made to it decoded."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        """Begin with the rows that ``read`` gives by key."""
        self._read = read
        self._values: dict[str, bytes | None] = {}
        self._rows: dict[str, Row | None] = {}
        self._changed: dict[str, None] = {}
        """Keys of what was put, in the order in which it was first."""

    def value(self, key: str) -> bytes | None:
        """A row as it is now, encoded."""
        if key not in self._values:
            row = self._rows.get(key)
            self._values[key] = self._read(key) if row is None else encode(row)
        return self._values[key]

    def row(self, key: str) -> Row | None:
        """A row as it is now. A team's events come together: most of the rows that one looks at, the one before it looked at too."""
        if key not in self._rows:
            value = self.value(key)
            if value is None:
                self._rows[key] = None
            else:
                self._rows[key] = (_decode_small if len(value) <= SMALL_BYTES and key.startswith(_STEADY) else decode)(value)
        return self._rows[key]

    def put(self, key: str, value: bytes) -> None:
        """Change a row to this value."""
        self._values[key] = value
        self._rows.pop(key, None)
        self._changed[key] = None

    def put_row(self, key: str, row: Row) -> None:
        """Change a row to this one."""
        self._rows[key] = row
        self._values.pop(key, None)
        self._changed[key] = None

    def put_both(self, key: str, value: bytes, row: Row) -> None:
        """Change a row to this one, of which this is the value."""
        self._values[key] = value
        self._rows[key] = row
        self._changed[key] = None

    def changed(self) -> dict[str, bytes]:
        """What was put, as it is now."""
        return {key: value for key in self._changed if (value := self.value(key)) is not None}
