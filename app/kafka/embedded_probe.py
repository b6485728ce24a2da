"""Is there a Kafka broker behind an address? One request of Kafka's protocol, without a client library."""

from __future__ import annotations

import socket
import struct

_API_VERSIONS = 18
_METADATA = 3
_CORRELATION = 7


def listening(host: str, port: int) -> bool:
    """Whether anything accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def speaks_kafka(host: str, port: int, timeout: float = 2.0) -> bool:
    """Whether what listens there answers an ApiVersions request within `timeout` seconds."""
    answer = _ask(host, port, _API_VERSIONS, 0, b"", timeout=timeout)
    return answer is not None


def brokers(host: str, port: int, timeout: float = 2.0) -> int:
    """How many brokers of the cluster are ready to serve; 0 where nothing answers."""
    # Metadata version 1 for no topic at all: int32 array length 0; the answer begins with the array of live brokers.
    answer = _ask(host, port, _METADATA, 1, struct.pack(">i", 0), timeout=timeout)
    if answer is None or len(answer) < 4:
        return 0
    return max(0, int(struct.unpack_from(">i", answer)[0]))


def _ask(host: str, port: int, api: int, version: int, body: bytes, *, timeout: float) -> bytes | None:
    client = b"teamcast-probe"
    request = struct.pack(">hhih", api, version, _CORRELATION, len(client)) + client + body
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(struct.pack(">i", len(request)) + request)
            size, correlation = struct.unpack(">ii", _exactly(connection, 8))
            # Anything that is no Kafka sends other bytes here: "HTTP" read as a length would be a gigabyte.
            if correlation != _CORRELATION or not 4 <= size <= 1 << 20:
                return None
            return _exactly(connection, size - 4)
    except (OSError, EOFError):
        return None


def _exactly(connection: socket.socket, count: int) -> bytes:
    received = bytearray()
    while len(received) < count:
        chunk = connection.recv(count - len(received))
        if not chunk:
            raise EOFError
        received += chunk
    return bytes(received)
