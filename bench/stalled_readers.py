"""What clients that never read cost the others: one worker with them and one without, in the same invocation.

python -m bench.stalled_readers --good 1000 --stalled 500 [--rounds 3] [--seconds 10] [--json FILE]

Both kinds listen to the same team. A stalled client has a small receive buffer, opens its socket, and never reads again. Times are from the
producer's call to the frame in a good client, all in this process; memory is the worker's resident set. Nothing is judged: machines differ.
What is sent to a stalled client fills the kernel's buffers first (some MiB on loopback): more seconds or a higher rate go beyond.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import socket
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import cast

import uvloop

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import Worker

EVENT_BYTES = 8 * 1024
SMALL_BUFFER = 4096
AT_ONCE = 20
"""Handshakes under way at a time."""
PONG = b"\x8a\x80\0\0\0\0"
_STAMP = re.compile(rb"sent at ([0-9]+\.[0-9]+)")


@dataclass(slots=True, frozen=True)
class Run:
    """What one run came to."""

    stalled: int
    frames: int
    p50_ms: float
    p99_ms: float
    rss_before_mb: float
    rss_peak_mb: float
    dropped: dict[str, int]
    """Sockets that the worker cut while it was measured, by reason."""


class Reader(asyncio.Protocol):
    """A good client: takes every frame, and answers pings."""

    def __init__(self, request: bytes, take: Callable[[memoryview], None]) -> None:
        self._request, self._take = request, take
        self._buffer = bytearray()
        self.open = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        if not self.open.done():
            self.open.set_exception(error or ConnectionError("closed instead of an answer"))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.open.done():
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if b" 101 " not in head:
                self.open.set_exception(RuntimeError(head[:100].decode()))
                return
            self.open.set_result(None)
            self._buffer = rest
        at = 0
        while len(self._buffer) - at >= 10:
            opcode, length, start = self._buffer[at] & 0x0F, self._buffer[at + 1], at + 2
            if length > 125:
                width = 2 if length == 126 else 8
                length, start = int.from_bytes(self._buffer[start : start + width], "big"), start + width
            if len(self._buffer) < start + length:
                break
            if opcode == 1:
                with memoryview(self._buffer) as view:
                    self._take(view[start : start + length])
            elif opcode == 9:
                self.transport.write(PONG)
            at = start + length
        if (
            self._buffer[at : at + 1] == b"\x89" and self._buffer[at + 1 : at + 2] == b"\0"
        ):  # an empty ping is shorter than what is looked for
            self.transport.write(PONG)
            at += 2
        del self._buffer[:at]


def rss_mb(pid: int) -> float:
    """The resident set of a process."""
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="ascii"))
    return int(found[1]) / 1024 if found else 0.0


def handshake(user: int, port: int) -> bytes:
    """A plain socket's request."""
    return (
        f"GET /ws?userId={user} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


async def stall(request: bytes, port: int) -> socket.socket:
    """A client that never reads: not even the answer to its handshake."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, request)
    return client


async def dropped(worker: Worker) -> dict[str, int]:
    """Sockets that the worker cut so far."""
    _, text = await worker.request("GET", "/metrics")
    found = re.findall(r'^teamcast_dropped_clients_total\{reason="(\w+)"\} ([\d.e+]+)', text, re.MULTILINE)
    return {reason: int(float(number)) for reason, number in found if float(number)}


async def connected(worker: Worker) -> int:
    """Sockets that the worker has."""
    _, text = await worker.request("GET", "/metrics")
    return sum(int(float(one)) for one in re.findall(r"^teamcast_connections\{[^}]*\} ([\d.e+]+)", text, re.MULTILINE))


async def run(bootstrap: str, folder: Path, good: int, stalled: int, *, seconds: float, rate: float) -> Run:
    """Measure one worker."""
    env = {"MAX_CONNECTIONS_PER_USER": "0", "DRAIN_SECONDS": "0"}
    delays: list[float] = []

    def take(payload: memoryview) -> None:
        found = _STAMP.search(payload[:2000])
        if found:
            delays.append(time.time() - float(found[1]))

    async with Worker(bootstrap, folder, env=env) as worker, Services(bootstrap) as services, AsyncExitStack() as stack:
        team, member = fresh(), fresh()
        await services.make_team(team, member)
        await eventually(lambda: worker.request("GET", f"/api/teams/{team}"), lambda seen: seen[0] == 200)
        request, loop = handshake(member, worker.port), asyncio.get_running_loop()
        before = rss_mb(worker.pid)
        for first in range(0, good, AT_ONCE):
            some = range(first, min(good, first + AT_ONCE))
            made = await asyncio.gather(*(loop.create_connection(lambda: Reader(request, take), "127.0.0.1", worker.port) for _ in some))
            for transport, reader in made:
                stack.callback(transport.close)
                await asyncio.wait_for(reader.open, 20)
        for first in range(0, stalled, AT_ONCE):
            some = range(first, min(stalled, first + AT_ONCE))
            for client in await asyncio.gather(*(stall(request, worker.port) for _ in some)):
                stack.callback(client.close)
        await eventually(lambda: connected(worker), lambda count: count == good + stalled, 60)
        peak, start = rss_mb(worker.pid), time.monotonic()
        for number in range(int(seconds * rate)):
            await asyncio.sleep(max(0.0, start + number / rate - time.monotonic()))
            title = f"sent at {time.time():.6f}"
            await services.send(
                "task.created", task("task.created", team, fresh(), member, title=title, description="x" * EVENT_BYTES), partition=0
            )
            peak = max(peak, rss_mb(worker.pid))

        async def frames() -> int:
            return len(delays)

        wanted = int(seconds * rate) * good
        await eventually(frames, lambda count: count >= wanted, 60)
        peak = max(peak, rss_mb(worker.pid))
        cut = quantiles(delays, n=100)
        return Run(stalled, len(delays), cut[49] * 1000, cut[98] * 1000, before, peak, await dropped(worker))


def row(name: str, runs: list[Run]) -> str:
    """Medians of some runs, as a line of a table."""
    values = [median(getattr(one, field) for one in runs) for field in ("p50_ms", "p99_ms", "rss_before_mb", "rss_peak_mb")]
    return f"| {name} | {' | '.join(f'{value:.1f}' for value in values)} | {runs[-1].dropped or ''} |"


async def main() -> None:
    """Run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--good", type=int, default=1000)
    parser.add_argument("--stalled", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=5.0, help="events a second")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, list[Run]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kafka = EmbeddedKafka(folder / "kafka", free_port(2), say=print)
        kafka.start()
        try:
            for number in range(given.rounds):
                for kind, stalled in (("without", 0), ("with", given.stalled)):
                    found[kind].append(
                        await run(kafka.bootstrap, folder / f"{number}-{kind}", given.good, stalled, seconds=given.seconds, rate=given.rate)
                    )
        finally:
            kafka.stop()
    if given.json:
        given.json.write_text(json.dumps({kind: [asdict(one) for one in runs] for kind, runs in found.items()}, indent=1), encoding="utf-8")
    print(f"\n{given.good} good clients, {given.rate:g} events/s of {EVENT_BYTES // 1024} KiB, medians of {given.rounds}\n")
    print("| | p50 ms | p99 ms | RSS before, MB | RSS peak, MB | cut |\n| --- | ---: | ---: | ---: | ---: | --- |")
    print(row("without stalled clients", found["without"]))
    print(row(f"with {given.stalled} stalled", found["with"]))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
