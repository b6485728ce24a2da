"""The duplicate window: which records of a partition repeat one shortly before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import orjson

_SOURCE = ("source-topic", "source-partition", "source-offset", "source-timestamp")


class DuplicateWindow:
    """Remembers the identities of the last ``size`` offsets of one partition.

    Whether a record is a repeat is a property of the log and not of the reader: the record at N is one when an equal
    record, repeats and internal ones included, stands within ``size`` offsets before it. So every reader that has read
    a whole window before N decides alike. It may forget; it never takes what it has not seen for a repeat.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._last: dict[int, int] = {}
        self._order: deque[tuple[int, int]] = deque()

    def distance(self, offset: int, identities: Sequence[int]) -> int | None:
        """Note a record; give how many offsets it stands behind the record that it repeats, ``None`` when it repeats none.

        Args:
            offset: The record's; greater than that of every record noted before.
            identities: See `identities`.
        """
        self._forget(offset - self._size)
        nearest: int | None = None
        for identity in identities:
            last = self._last.get(identity)
            if last is not None and last < offset and (nearest is None or last > nearest):
                nearest = last
            self._last[identity] = offset
            self._order.append((offset, identity))
        return None if nearest is None else offset - nearest

    def _forget(self, before: int) -> None:
        order, last = self._order, self._last
        while order and order[0][0] < before:
            offset, identity = order.popleft()
            if last.get(identity) == offset:
                del last[identity]


def identities(key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> list[int]:
    """What makes a record the same as another: its source record, and its producer's own event id if it has one.

    Hashes of 64 bits, salted anew in every process: what collides here does not collide after a restart, and nobody
    can prepare a collision.
    """
    source = tuple(found for name, found in headers if name in _SOURCE)
    found = [hash((key, source))]
    if len(source) == len(_SOURCE) and not value.startswith(b'{"eventId":"' + b"-".join(part or b"" for part in source) + b'"'):
        try:
            body = orjson.loads(value)
            data = orjson.dumps(body["data"], option=orjson.OPT_SORT_KEYS)
            found.append(hash((key, body["eventId"], body["timestamp"], data)))
        except (ValueError, KeyError, TypeError):
            pass  # no unified record: its source is all that it has
    return found
