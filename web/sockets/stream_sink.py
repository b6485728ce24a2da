"""The sink of an event stream (server-sent events, html.spec.whatwg.org): events and their ids, gaps and snapshots."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import HttpVersion11, web

from delivery.entry import Entry
from delivery.listener import GapReason, LeftReason
from web.sockets import messages
from web.sockets.close_codes import CloseCode
from web.sockets.sink import PlainSink

Mark = Callable[[Entry | None], str]
"""The id of the place that the client has come to, with the entry that is being written."""


class StreamSink(PlainSink):
    """Events, each with an id that names everything delivered so far.

    It takes nothing before it is released: until every feed has begun, no id could name them all.
    """

    takes_snapshots = True
    takes_runs = False

    def __init__(self, on_drained: Callable[[], None], close: Callable[[CloseCode], bool], mark: Mark) -> None:
        super().__init__(on_drained, close)
        self._mark = mark
        self._chunked = False
        self._started = False
        self._held = True
        self._gaps: list[bytes] = []
        """Found while the stream was being opened: said as soon as there is one."""
        self._told = ""

    def start(self, request: web.Request) -> None:
        """Write from now on: the head of the answer has been written."""
        self._chunked = request.version >= HttpVersion11
        self._started = True
        super().start(request)

    def release(self) -> None:
        """Take events from now on."""
        self._held = False
        self._on_drained()

    def ready(self) -> bool:
        """Whether an event may be written now."""
        return not self._held and super().ready()

    @property
    def gone(self) -> bool:
        """Whether the client is not there any more."""
        return self._started and (self._transport is None or self._transport.is_closing())

    def encode(self, entry: Entry) -> bytes:
        """An event without a name: EventSource gives it to ``onmessage``."""
        return self._chunk(block(entry.json, event_id=self._next_id(entry)))

    def begin(self, retry_ms: int) -> None:
        """Say how soon to come back, and with which id if nothing else comes."""
        self._put(self._chunk(b"retry: %d\nid: %s\n\n" % (retry_ms, self._next_id(None).encode())))
        for gap in self._gaps:
            self._put(self._chunk(gap))
        self._gaps.clear()

    def beat(self) -> None:
        """Write a comment, which keeps the stream open, and the id if it has moved on; nothing while something waits."""
        if self._draining is not None:
            return
        before = self._told
        now = self._next_id(None)
        self._put(self._chunk(b":\n\n" if now == before else b":\nid: %s\n\n" % now.encode()))

    def send(self, message: bytes) -> None:
        """Write a part of a snapshot."""
        self._put(self._chunk(block(message, event="snapshot", event_id=self._next_id(None))))

    def gap(self, key: str, reason: GapReason) -> None:
        """Say that events are missing. Without an id: who comes back before the snapshot is there is told again."""
        kind, _, number = key.partition(":")
        message = messages.team_gap(int(number), reason) if kind == "team" else messages.user_gap(int(number), reason)
        said = block(message, event="gap")
        if self._started:
            self._put(self._chunk(said))
        else:
            self._gaps.append(said)

    def joined(self, team_id: int) -> None:
        """The client sees the event."""

    def left(self, team_id: int, reason: LeftReason) -> None:
        """The client sees the event."""

    def _next_id(self, entry: Entry | None) -> str:
        self._told = self._mark(entry)
        return self._told

    def _chunk(self, text: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(text), text) if self._chunked else text


def block(data: bytes, *, event: str = "", event_id: str = "") -> bytes:
    """One block of an event stream.

    Args:
        data: JSON. Its line breaks, which can stand between its members alone, become spaces.
        event: Its name; none when empty.
        event_id: Its id; the one before stays when empty.
    """
    name = f"event: {event}\n" if event else ""
    place = f"id: {event_id}\n" if event_id else ""
    return b"%s%sdata: %s\n\n" % (name.encode(), place.encode(), data.translate(_ONE_LINE))


_ONE_LINE = bytes.maketrans(b"\r\n", b"  ")
