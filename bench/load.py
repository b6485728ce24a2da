"""The clients of a benchmark, all in one process: raw sockets, whose frames are found in the bytes, and nothing else is parsed.

Each event is looked for at each client: what is missing, comes twice, or is of another team is counted. The time from the
producer's call to the read is taken at some clients, which are read first. Reads one JSON command a line, and answers each with a
line.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
import time
from array import array
from dataclasses import asdict, dataclass
from typing import Any

from bench.dialects import Greeting, greeting, masked
from bench.events import MARK, SEQUENCE_END, TAG_DIGITS, now_us
from bench.measure import quantile

BUFFER_BYTES = 512 * 1024
AT_ONCE = 64
"""Handshakes under way at a time."""
HANDSHAKE_SECONDS = 60.0
BULK_READS = 32
"""Reads of the other clients before those whose times are taken have their turn again."""
PONG = b"\x8a\x80\0\0\0\0"
CENTRIFUGO_PING = b"{}"
POSITION = b'"position":"'


@dataclass(slots=True, frozen=True)
class Report:
    """What the clients have seen."""

    received: int
    lost: int
    duplicated: int
    foreign: int
    closed: int
    samples: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    connect_seconds: float
    cpu_seconds: float


class Client:
    """One socket, and which events it has seen."""

    __slots__ = ("position", "rest", "sampled", "seen", "socket", "tag", "team", "team_id", "user_id")

    def __init__(self, user_id: int, team_id: int, tag: bytes, team: int, events: int, *, sampled: bool) -> None:
        self.user_id, self.team_id = user_id, team_id
        self.position = ""
        """Of the last event, while positions are kept."""
        self.socket: socket.socket
        self.tag = tag
        self.team = team
        self.seen = bytearray(events)
        self.rest = b""
        self.sampled = sampled


class Load:
    """All clients of a run."""

    def __init__(self) -> None:
        self.clients: dict[int, Client] = {}
        self._main, self._bulk = select.epoll(), select.epoll()
        self._buffer = bytearray(BUFFER_BYTES)
        self._drain_seconds = 0.0
        self._sent, self._delay = array("q"), array("q")
        self.received = self.bytes = self._foreign = self._repeated = self._closed = 0
        self._connect_seconds = 0.0
        self._watching = False
        self._positions = False
        self._gone: list[Client] = []

    # --- commands

    def connect(self, given: dict[str, Any]) -> dict[str, Any]:
        """Open a socket for each of ``users``, pairs of the user's id and the index of the team."""
        port, users, teams = given["port"], given["users"], given["teams"]
        self._drain_seconds = given["drain_ms"] / 1000
        self._positions = given["dialect"] == "teamcast.v1"
        every = max(1, len(users) // given["samples"])
        started = time.monotonic()
        for first in range(0, len(users), AT_ONCE):
            batch = []
            for number in range(first, min(first + AT_ONCE, len(users))):
                user_id, team = users[number]
                hello = greeting(given["dialect"], user_id, teams[team])
                tag = f"{given['run']:04}{team:05}".encode()
                client = Client(user_id, teams[team], tag, team, given["events"], sampled=number % every == 0)
                self._begin(client, hello, port)
                batch.append((client, hello))
            for client, hello in batch:
                self._open(client, hello)
        self._connect_seconds = time.monotonic() - started
        if not self._drain_seconds and not self._watching:
            self._watching = True
            self._main.register(self._bulk.fileno(), select.EPOLLIN)
        return {"clients": len(self.clients), "seconds": self._connect_seconds}

    def reconnect(self, given: dict[str, Any]) -> dict[str, Any]:
        """Open anew, at ``ports`` in turn, what was closed: where each client was, spread over ``seconds``."""
        gone, self._gone = self._gone, []
        started = time.monotonic()
        for first in range(0, len(gone), AT_ONCE):
            time.sleep(max(0.0, started + given["seconds"] * first / len(gone) - time.monotonic()))
            some = [
                (client, greeting(given["dialect"], client.user_id, client.team_id, client.position))
                for client in gone[first : first + AT_ONCE]
            ]
            for number, (client, hello) in enumerate(some):
                client.rest = b""
                self._begin(client, hello, given["ports"][number % len(given["ports"])])
            for client, hello in some:
                self._open(client, hello)
        return {"clients": len(gone), "seconds": time.monotonic() - started}

    @staticmethod
    def _begin(client: Client, hello: Greeting, port: int) -> None:
        client.socket = socket.create_connection(("127.0.0.1", port), HANDSHAKE_SECONDS)
        client.socket.sendall(hello.request(port))

    def _open(self, client: Client, hello: Greeting) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += self._some(client, head)
        head, _, rest = head.partition(b"\r\n\r\n")
        if b" 101 " not in head[:20]:
            raise ConnectionError(f"refused: {head[:200].decode(errors='replace')}")
        if hello.hello:
            client.socket.sendall(hello.hello)
        while hello.ready not in rest:
            rest += self._some(client, rest)
        client.socket.setblocking(False)
        number = client.socket.fileno()
        self.clients[number] = client
        (self._main if client.sampled else self._bulk).register(number, select.EPOLLIN)
        self._scan(client, rest, len(rest), now_us())

    @staticmethod
    def _some(client: Client, so_far: bytes) -> bytes:
        found = client.socket.recv(65_536)
        if not found:
            raise ConnectionError(f"closed instead of an answer: {so_far[:200]!r}")
        return found

    def report(self, given: dict[str, Any]) -> dict[str, Any]:
        """What is missing of ``counts``, the number of events of each team; times of what was sent from ``since`` on, microseconds."""
        lost = sum(client.seen[: given["counts"][client.team]].count(0) for client in (*self.clients.values(), *self._gone))
        since = given["since"]
        delays = sorted(delay / 1000 for sent, delay in zip(self._sent, self._delay, strict=True) if sent >= since)
        report = Report(
            self.received,
            lost,
            self._repeated,
            self._foreign,
            self._closed,
            len(delays),
            quantile(delays, 0.5),
            quantile(delays, 0.99),
            quantile(delays, 0.999),
            delays[-1] if delays else 0.0,
            self._connect_seconds,
            time.process_time(),
        )
        return asdict(report)

    # --- reading

    def serve(self) -> None:
        """Answer commands, and read, until the input ends."""
        stdin = sys.stdin.fileno()
        self._main.register(stdin, select.EPOLLIN)
        bulk = self._bulk.fileno()
        next_drain = 0.0
        while True:
            if self._drain_seconds:
                wait = max(0.0, next_drain - time.monotonic())
                events = self._main.poll(wait)
                if time.monotonic() >= next_drain:
                    self._drain_all()
                    next_drain = time.monotonic() + self._drain_seconds
            else:
                events = self._main.poll()
            others = False
            for number, _ in events:
                if number == bulk:
                    others = True
                elif number == stdin:
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self._answer(json.loads(line))
                elif number in self.clients:
                    self._read(self.clients[number])
            if others:
                for number, _ in self._bulk.poll(0, BULK_READS):
                    self._read(self.clients[number])

    def _drain_all(self) -> None:
        while ready := self._bulk.poll(0, BULK_READS):
            for number, _ in ready:
                self._read(self.clients[number])
            for number, _ in self._main.poll(0):
                if number in self.clients:
                    self._read(self.clients[number])

    def _answer(self, command: dict[str, Any]) -> None:
        kind = command.pop("do")
        if kind == "connect":
            answer = self.connect(command)
        elif kind == "reconnect":
            answer = self.reconnect(command)
        elif kind == "report":
            answer = self.report(command)
        elif kind == "bytes":
            answer = {"bytes": self.bytes}
        else:
            self._drain_all()
            answer = {"received": self.received, "at": now_us()}
        print(json.dumps(answer), flush=True)

    def _read(self, client: Client) -> None:
        try:
            size = client.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._close(client)
        elif client.rest:
            data = client.rest + self._buffer[:size]
            self._scan(client, data, len(data), now_us())
        else:
            self._scan(client, self._buffer, size, now_us())

    def _close(self, client: Client) -> None:
        self._closed += 1
        self._gone.append(client)
        number = client.socket.fileno()
        (self._main if client.sampled else self._bulk).unregister(number)
        del self.clients[number]
        client.socket.close()

    def _scan(self, client: Client, data: bytes | bytearray, size: int, now: int) -> None:
        at = 0
        while at + 2 <= size:
            length, start = data[at + 1], at + 2
            if length >= 126:
                width = 2 if length == 126 else 8
                length, start = int.from_bytes(data[start : start + width], "big"), start + width
                if start > size:
                    break
            if start + length > size:
                break
            if data[at] != 0x81 or length == 2:
                self._control(client, data[at] & 0x0F, bytes(data[start : start + length]))
            at = start + length
        self.bytes += at
        client.rest = bytes(data[at:size]) if at < size else b""
        tag, seen = client.tag, client.seen
        if self._positions and (place := data.rfind(POSITION, 0, at)) >= 0:
            place += len(POSITION)
            client.position = bytes(data[place : data.index(b'"', place)]).decode()
        marks = MARK.findall(data, 0, at)
        self.received += len(marks)
        for mark in marks:
            if mark[:TAG_DIGITS] != tag:
                self._foreign += 1
                continue
            number = int(mark[TAG_DIGITS:SEQUENCE_END])
            if seen[number]:
                self._repeated += 1
            seen[number] = 1
            if client.sampled:
                sent = int(mark[SEQUENCE_END:])
                self._sent.append(sent)
                self._delay.append(now - sent)

    def _control(self, client: Client, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            client.socket.send(PONG)
        elif opcode == 1 and payload == CENTRIFUGO_PING:
            client.socket.send(masked(payload))


def main() -> None:
    """Serve."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    Load().serve()


if __name__ == "__main__":
    main()
