"""An entry: one record of the log, as the ring holds it and as clients get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka.structs import ConsumerRecord

from app.domain.positions import check, position
from app.domain.recent_records import RecentRecords, SharedRecord
from app.domain.unified import HEADERS, UnifiedRecord, parse, usual_headers

ENTRY_BYTES = 700
"""What an entry costs beside its value and its frame: objects, headers, its places in two lists (measured with tracemalloc)."""


MILLIS_DIGITS = 16
"""No time of a record has so many; Python refuses to read numbers of thousands of digits."""

_TIME = HEADERS.index("source-timestamp")

Headers = Sequence[tuple[str, bytes]]


class Entry:
    """A record that is delivered to whoever may see its key. Encoded once, for all of them.

    There are as many as the ring holds, so it keeps bytes and next to no objects: each one more is looked at by every
    full garbage collection.
    """

    __slots__ = ("_foreign", "_frame", "_usual", "key", "log", "offset", "resets", "skipped", "timestamp", "value")

    def __init__(  # noqa: PLR0917  (made for each record of the log: keywords would cost more than they tell)
        self, log: str, offset: int, raw_key: bytes, value: bytes, headers: Headers, timestamp: int
    ) -> None:
        self.log = log
        self.offset = offset
        self.key = raw_key.decode("latin-1")
        self.value = value
        self._usual: Any = usual_headers(headers)
        self._foreign = tuple(headers) if self._usual is None else ()
        self.timestamp = timestamp
        """The source record's own time, milliseconds: where the delivery time is measured from."""
        self.skipped = False
        """Whether it turned out to be no unified record: clients never see it."""
        self.resets = False
        """Whether it changed more than its data and state tell: rich clients get a snapshot after it."""
        self._frame: bytes | None = None

    @property
    def size(self) -> int:
        """Bytes that the entry holds, once it has been delivered: its value twice, as it came and as it goes."""
        return 2 * len(self.value) + ENTRY_BYTES

    @property
    def headers(self) -> Headers:
        """The record's headers; of those that we write, without the trace context."""
        return self._foreign if self._usual is None else tuple(zip(HEADERS, self._usual, strict=True))

    def record(self) -> UnifiedRecord:
        """The record, parsed anew each time: kept, it would be five times the value.

        Raises:
            BadRecord: It is no unified record.
        """
        return parse(self.value, self.headers, self.key.encode("latin-1"))

    def shared(self, recent: RecentRecords) -> SharedRecord:
        """The record, as others who read it have it too; it is they who keep it, for a moment.

        Raises:
            BadRecord: It is no unified record.
        """
        key = self.key.encode("latin-1")
        return recent.find(self.value, self._usual, key) or recent.read(self.value, self.headers, key)

    @property
    def position(self) -> str:
        """The event's position."""
        return position(self.log, self.key, self.offset, self.headers)

    @property
    def check(self) -> str:
        """The check value of the event's position."""
        return check(self.log, self.key, self.offset, self.headers)

    @property
    def finished(self) -> bool:
        """Whether a view has said what state the event carries."""
        return self._frame is not None

    def finish(self, carries_state: bool, state: Any) -> None:
        """Settle what clients get.

        Args:
            carries_state: Whether the event's data alone would mislead.
            state: The task, member or team; ``None`` where there is none. Unused when no state is carried.
        """
        middle = b',"state":' + orjson.dumps(state) if carries_state else b""
        self._frame = text_frame(self.value.rstrip()[:-1] + b',"position":"' + self.position.encode() + b'"' + middle + b"}")

    @property
    def frame(self) -> bytes:
        """The event as clients get it (the unified value, its position, and its state where it carries one), as one unmasked text frame."""
        if self._frame is None:
            raise AssertionError("an entry is delivered before a view has folded it")
        return self._frame

    @property
    def json(self) -> bytes:
        """What is in the `frame`."""
        frame = self.frame
        return frame[_HEADER_BYTES.get(frame[1], 2) :]


def type_of(value: bytes) -> str:
    """The type of a unified record; empty where it has none.

    Reads the first bytes as `app.domain.events.encode` writes them, without parsing the rest; another writer's order
    of members is parsed.
    """
    end = value.find(b'"', 12)
    if value.startswith(b'{"eventId":"') and value[end - 1 : end] != b"\\" and value.startswith(b'","type":"', end):
        name = value[end + 10 : value.find(b'"', end + 10)]
        if name.isascii() and b"\\" not in name:
            return name.decode()
    try:
        body = orjson.loads(value)
    except ValueError:
        return ""
    kind = body.get("type") if isinstance(body, dict) else None
    return kind if isinstance(kind, str) else ""


def entry_of(log: str, record: ConsumerRecord[bytes | None, bytes | None]) -> Entry | None:
    """The entry of a record; ``None`` for an internal one."""
    value = record.value or b""
    if type_of(value).startswith("_"):
        return None
    headers: Any = record.headers
    if any(found is None for _, found in headers):
        headers = [(name, found or b"") for name, found in headers]
    usual = len(headers) > _TIME and headers[_TIME][0] == HEADERS[_TIME]
    times = [headers[_TIME][1]] if usual else [found for name, found in headers if name == HEADERS[_TIME]]
    source_time = int(times[0]) if times and times[0].isdigit() and len(times[0]) < MILLIS_DIGITS else record.timestamp
    return Entry(log, record.offset, record.key or b"", value, headers, source_time)


_HEADER_BYTES = {126: 4, 127: 10}
"""Of a server's frame, by its second byte; 2 else."""


def text_frame(payload: bytes) -> bytes:
    """A server's unfragmented text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + size.to_bytes(1, "big") + payload
    if size < 65_536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def close_frame(code: int, reason: str) -> bytes:
    """A server's close frame (RFC 6455, section 5.5.1); of the reason what fits, 123 bytes."""
    payload = code.to_bytes(2, "big") + reason.encode()[:123].decode(errors="ignore").encode()
    return b"\x88" + len(payload).to_bytes(1, "big") + payload
