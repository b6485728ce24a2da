"""How a client asks each server for a team's events. All but the words is the same for all."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

Name = Literal["teamcast", "teamcast.v1", "centrifugo", "team"]

CLIENT_TEXT = 0x81
MASKED = 0x80


def masked(payload: bytes) -> bytes:
    """A client's text frame; the mask is zero, so the payload stands there as it is."""
    size = len(payload)
    length = bytes([MASKED | size]) if size < 126 else bytes([MASKED | 126]) + size.to_bytes(2, "big")
    return bytes([CLIENT_TEXT]) + length + b"\0\0\0\0" + payload


@dataclass(slots=True, frozen=True)
class Greeting:
    """What a client sends, and how it knows that it listens."""

    path: str
    hello: bytes = b""
    """Frames behind the handshake."""
    ready: bytes = b""
    """Stands in an answer; empty: the handshake's answer is enough."""
    subprotocol: str = ""

    def request(self, port: int) -> bytes:
        """The handshake."""
        return (
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            + (f"Sec-WebSocket-Protocol: {self.subprotocol}\r\n" if self.subprotocol else "")
            + "\r\n"
        ).encode()


def greeting(dialect: Name, user_id: int, team_id: int, position: str = "") -> Greeting:
    """How this user asks for this team; ``position``: behind it, where the dialect can say so."""
    if dialect == "teamcast":
        return Greeting(f"/ws?userId={user_id}")
    if dialect == "team":
        return Greeting(f"/ws?teamId={team_id}")
    if dialect == "teamcast.v1":
        command: dict[str, Any] = {"id": 1, "type": "subscribe", "teams": [team_id], "snapshot": True}
        if position:
            command["since"] = {str(team_id): position}
        return Greeting(f"/ws?userId={user_id}", masked(json.dumps(command).encode()), b'"type":"reply"', "teamcast.v1")
    subscribe = json.dumps({"id": 2, "subscribe": {"channel": f"team:{team_id}"}})
    return Greeting("/connection/websocket", masked(b'{"id":1,"connect":{}}') + masked(subscribe.encode()), b'"id":2')
