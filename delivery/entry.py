"""An entry: one record of the log, as the ring holds it and as clients get it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from app.domain.positions import check, check_of, compose
from app.domain.recent_records import RecentRecords, SharedRecord
from app.domain.unified import HEADERS, UnifiedRecord, parse, usual_headers
from app.kafka.record import Record

ENTRY_BYTES = 700
"""What an entry costs beside its value and its frame: objects, headers, its places in two lists (measured with tracemalloc)."""


MILLIS_DIGITS = 16
"""No time of a record has so many; Python refuses to read numbers of thousands of digits."""

_LATEST = 10 ** (MILLIS_DIGITS - 1)
_TIME = HEADERS.index("source-timestamp")
_SOURCES = 4
"""So many headers say where a record came from; the one behind them is the format."""

Headers = Sequence[tuple[str, bytes]]


class Entry:
    """A record that is delivered to whoever may see its key. Encoded once, for all of them.

    There are as many as the ring holds, so it keeps bytes and next to no objects: each one more is looked at by every
    full garbage collection.
    """

    __slots__ = ("_foreign", "_frame", "_usual", "key", "log", "offset", "resets", "skipped", "timestamp", "value")

    def __init__(  # noqa: PLR0917  (made for each record of the log: keywords would cost more than they tell)
        self, log: str, offset: int, key: str, value: bytes, timestamp: int, usual: Any, foreign: Headers = ()
    ) -> None:
        """Take a record.

        Args:
            log: The log's id.
            offset: Where it stands.
            key: Its key.
            value: Its value.
            timestamp: The source record's time.
            usual: What `usual_headers` gives for its headers.
            foreign: Its headers, where that is nothing.
        """
        self.log = log
        self.offset = offset
        self.key = key
        self.value = value
        self._usual = usual
        self._foreign = tuple(foreign)
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
        return compose(self.offset, self.log, self.check)

    @property
    def check(self) -> str:
        """The check value of the event's position."""
        if self._usual is None:
            return check(self.log, self.key, self.offset, self.headers)
        return check_of(self.log, self.key, self.offset, self._usual[:_SOURCES])

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
        self._frame = text_frame(b'%b,"position":"%b"%b}' % (self.value.rstrip()[:-1], self.position.encode(), middle))

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


def entry_at(  # noqa: PLR0917  (what a record is)
    log: str, offset: int, raw_key: bytes, value: bytes, headers: Headers, timestamp: int
) -> Entry:
    """The entry of what stands at an offset; ``timestamp`` is the source record's."""
    usual = usual_headers(headers)
    return Entry(log, offset, raw_key.decode("latin-1"), value, timestamp, usual, headers if usual is None else ())


def entry_made(log: str, record: Record, made: SharedRecord) -> Entry:
    """The entry of a record that this worker wrote: what it was made from tells what would have to be read out of it."""
    event, source = made.unified
    at = source.timestamp if 0 <= source.timestamp < _LATEST else record.timestamp
    return Entry(log, record.offset, event.key, record.value or b"", at, made.headers)


def entry_of(log: str, record: Record) -> Entry | None:
    """The entry of a record; ``None`` for an internal one."""
    if type_of(record.value or b"").startswith("_"):
        return None
    return entry_from(log, record, usual_headers(record.headers))


def entry_from(log: str, record: Record, usual: tuple[bytes | None, ...] | None) -> Entry:
    """The entry of a record that is no internal one; ``usual`` is what `usual_headers` gives for its headers."""
    headers: Any = record.headers
    if usual is None or None in usual:
        if any(found is None for _, found in headers):
            headers = [(name, found or b"") for name, found in headers]
            usual = usual_headers(headers)
        fits = len(headers) > _TIME and headers[_TIME][0] == HEADERS[_TIME]
        found = headers[_TIME][1] if fits else next((value for name, value in headers if name == HEADERS[_TIME]), b"")
    else:
        found = usual[_TIME]
    source_time = int(found) if found and found.isdigit() and len(found) < MILLIS_DIGITS else record.timestamp
    key = (record.key or b"").decode("latin-1")
    return Entry(log, record.offset, key, record.value or b"", source_time, usual, headers if usual is None else ())


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
