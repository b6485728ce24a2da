"""Close codes: what each tells the client to do. docs/protocol.md is checked against this page."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Codes below 4500: reconnect. From 4500 on: stop."""

    GOING_AWAY = 1001
    """The worker stops: reconnect with full jitter."""
    PROTOCOL_ERROR = 1002
    """A frame that RFC 6455 does not allow, a fault of the client: reconnect."""
    UNSUPPORTED_DATA = 1003
    """A binary message, a fault of the client: reconnect."""
    INVALID_TEXT = 1007
    """A text that is no UTF-8, a fault of the client: reconnect."""
    TOO_LARGE = 1009
    """A message over 64 KiB, a fault of the client: reconnect."""
    SLOW_CONSUMER = 4001
    """The client did not read what it was sent: reconnect."""
    NO_PONG = 4004
    """A ping was not answered: reconnect."""
    TOKEN_EXPIRED = 4005
    """The token expired and was not refreshed: refresh, reconnect."""
    UNAVAILABLE = 4006
    """The log, the key server or a team's owner is out of reach: reconnect."""
    UNAUTHENTICATED = 4501
    """No token or a bad one, or no valid userId without authentication: stop."""
    DISCONNECTED = 4502
    """An administrator ended the connection: stop."""
    PROTOCOL_VIOLATION = 4503
    """Not what the protocol allows: stop."""
    LIMIT = 4504
    """A limit was reached: stop."""


REASONS = {
    CloseCode.GOING_AWAY: "going away",
    CloseCode.PROTOCOL_ERROR: "no WebSocket frame",
    CloseCode.UNSUPPORTED_DATA: "binary messages are not taken",
    CloseCode.INVALID_TEXT: "not UTF-8",
    CloseCode.TOO_LARGE: "message too large",
    CloseCode.SLOW_CONSUMER: "slow consumer",
    CloseCode.NO_PONG: "no pong",
    CloseCode.TOKEN_EXPIRED: "token expired",
    CloseCode.UNAVAILABLE: "out of reach, come back",
    CloseCode.UNAUTHENTICATED: "no or bad token, or no valid userId",
    CloseCode.DISCONNECTED: "disconnected",
    CloseCode.PROTOCOL_VIOLATION: "protocol violation",
    CloseCode.LIMIT: "limit reached",
}
