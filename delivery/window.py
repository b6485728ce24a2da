"""The duplicate window: which records of a partition repeat one shortly before them."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import orjson

_FIRST_SLOTS = 4096
"""48 KiB: little beside what a partition's records take, and the first thousands of them find room without growing."""
_FULL = 0.7
"""Share of slots in use at which a table grows: at 12 bytes a slot, and half as many again after growing, at most 26 bytes an entry;
twice that with both tables full. One that begins with the size of a busier one takes what that took, until the next."""
_SPARE = 0.25
"""Of the entries of the table before: so many more find room in a new one before it grows."""
_SOURCE = ("source-topic", "source-partition", "source-offset", "source-timestamp")


class DuplicateWindow:
    """Remembers the identities of the last ``size`` offsets of one partition.

    Whether a record is a repeat is a property of the log and not of the reader: the record at N is one when an equal
    record, repeats and internal ones included, stands within ``size`` offsets before it. So every reader that has read
    a whole window before N decides alike. It may forget; it never takes what it has not seen for a repeat.

    Two tables of ``size`` offsets each: the newer one fills, the older one is dropped whole when it has. That is 12 bytes
    a slot in place of Python's some 100 an entry, and nothing is ever removed one by one.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._newer, self._older = _Table(0), _Table(0)

    def distance(self, offset: int, identities: Sequence[int]) -> int | None:
        """Note a record; give how many offsets it stands behind the record that it repeats, ``None`` when it repeats none.

        Args:
            offset: The record's; greater than that of every record noted before.
            identities: See `identities`.
        """
        if offset - self._newer.base >= self._size:
            slots = self._newer.slots_for_as_many
            self._older = self._newer if offset - self._newer.base < 2 * self._size else _Table(offset)
            self._newer = _Table(offset, slots)
        nearest = -1
        for identity in identities:
            key = identity & 0xFFFFFFFFFFFFFFFF or 1  # 0 is an empty slot
            last = self._newer.swap(key, offset)
            if last is None:
                last = self._older.get(key)
            if last is not None and last > nearest:
                nearest = last
        return offset - nearest if 0 <= nearest < offset and offset - nearest <= self._size else None


class _Table:
    """Identities and the offsets that they stand at last: open addressing over flat arrays."""

    __slots__ = ("_count", "_full", "_keys", "_offsets", "_slots", "base")

    def __init__(self, base: int, slots: int = _FIRST_SLOTS) -> None:
        self.base = base
        self._count = 0
        self._make(slots)

    @property
    def slots_for_as_many(self) -> int:
        """How many slots the next table needs in order not to grow, if it gets about as many entries: growing holds up the loop."""
        return max(_FIRST_SLOTS, int(self._count * (1 + _SPARE) / _FULL))

    def _make(self, slots: int) -> None:
        self._slots = slots
        self._full = int(slots * _FULL)
        self._keys = array("Q", bytes(8 * slots))
        self._offsets = array("I", bytes(4 * slots))

    # `get` and `swap` look for a slot alike: each key of the log is looked for twice, and a call would cost as much again.

    def get(self, key: int) -> int | None:
        keys = self._keys
        slot = key % self._slots
        while found := keys[slot]:
            if found == key:
                return self.base + self._offsets[slot]
            slot = slot + 1 if slot + 1 < self._slots else 0
        return None

    def swap(self, key: int, offset: int) -> int | None:
        """Put an offset, and give the one that stood there."""
        keys = self._keys
        slot = key % self._slots
        while found := keys[slot]:
            if found == key:
                before = self.base + self._offsets[slot]
                self._offsets[slot] = offset - self.base
                return before
            slot = slot + 1 if slot + 1 < self._slots else 0
        keys[slot] = key
        self._offsets[slot] = offset - self.base
        self._count += 1
        if self._count > self._full:
            self._grow()
        return None

    def _grow(self) -> None:
        keys, offsets = self._keys, self._offsets
        self._make(self._slots * 3 // 2 + 1)
        grown, slots = self._keys, self._slots
        for key, offset in zip(keys, offsets, strict=True):
            if key:
                slot = key % slots
                while grown[slot]:
                    slot = slot + 1 if slot + 1 < slots else 0
                grown[slot], self._offsets[slot] = key, offset


def identities(
    key: bytes, value: bytes, headers: Sequence[tuple[str, bytes | None]], usual: tuple[bytes | None, ...] | None = None
) -> list[int]:
    """What makes a record the same as another: its source record, and its producer's own event id if it has one.

    Hashes of 64 bits, salted anew in every process: what collides here does not collide after a restart, and nobody
    can prepare a collision.

    Args:
        key: The record's.
        value: The record's; empty where it has none.
        headers: The record's.
        usual: What `app.domain.unified.usual_headers` gives for them, if it was asked: the same, told quicker.
    """
    source = _source(headers) if usual is None else usual[:4]
    found = [hash((key, source))]
    topic, partition, offset, timestamp = source
    if topic is None or partition is None or offset is None or timestamp is None:
        return found
    if not value.startswith(b'{"eventId":"%b-%b-%b-%b"' % (topic, partition, offset, timestamp)):
        try:
            body = orjson.loads(value)
            data = orjson.dumps(body["data"], option=orjson.OPT_SORT_KEYS)
            found.append(hash((key, body["eventId"], body["timestamp"], data)))
        except (ValueError, KeyError, TypeError):
            pass  # no unified record: its source is all that it has
    return found


def _source(headers: Sequence[tuple[str, bytes | None]]) -> tuple[bytes | None, ...]:
    """Where the record came from, as its first headers say, or, of another writer's, those with these names."""
    names, source = zip(*headers[:4], strict=True) if headers else ((), ())
    if names == _SOURCE:
        return source
    named = dict(headers)
    return tuple(named.get(name) for name in _SOURCE)
