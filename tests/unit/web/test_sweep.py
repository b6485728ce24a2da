"""Answers that nobody reads are given up; those that are read slowly are not."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import web

from tests.kafka.waiting import eventually
from tests.ports import free_port
from web.headers import add_headers
from web.sweep import STALL_SECONDS, Sweep

BIG = 32 * 1024 * 1024
"""More than the buffers of both kernels' ends hold."""
REQUEST = b"GET /%s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


@dataclass(slots=True)
class Site:
    port: int
    runner: web.AppRunner
    sweep: Sweep

    async def connect(self, data: bytes) -> socket.socket:
        """A client that sends this and reads nothing."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        before = self.count
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        await loop.sock_sendall(client, data)

        async def count() -> int:
            return self.count

        await eventually(count, lambda found: found > before)
        return client

    @property
    def count(self) -> int:
        assert self.runner.server is not None
        return len(self.runner.server.connections)

    async def gone(self) -> None:
        async def count() -> int:
            return self.count

        await eventually(count, lambda found: found == 0, 5)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    served = asyncio.Event()

    async def small(_request: web.Request) -> web.Response:
        return web.Response(body=b"x")

    async def big(_request: web.Request) -> web.Response:
        served.set()
        return web.Response(body=b"x" * BIG)

    application = web.Application()
    application.router.add_get("/small", small)
    application.router.add_get("/big", big)
    application.router.add_get("/ws", big)
    add_headers(application)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    sweep = Sweep(lambda: runner.server.connections if runner.server else [])
    sweep.add_to(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield Site(port, runner, sweep)
    await runner.cleanup()


async def test_who_has_asked_once_may_wait(site: Site) -> None:
    with await site.connect(REQUEST % b"small") as client:
        assert b" 200 " in await asyncio.get_running_loop().sock_recv(client, 100)
        assert [site.sweep.step(now) for now in (0.0, 10.0, 1000.0)] == [0, 0, 0]


async def test_an_answer_that_nobody_reads_is_given_up(site: Site) -> None:
    with await site.connect(REQUEST % b"big"):
        await unsent(site)
        assert site.sweep.step(0.0) == 0
        assert site.sweep.step(STALL_SECONDS - 0.1) == 0
        assert site.sweep.step(STALL_SECONDS) == 1
        await site.gone()


async def test_an_answer_that_is_read_slowly_is_not(site: Site) -> None:
    loop = asyncio.get_running_loop()
    with await site.connect(REQUEST % b"big") as client:
        left = await unsent(site)
        now = 0.0
        assert site.sweep.step(now) == 0
        for _ in range(3):
            now += STALL_SECONDS - 1
            before = left
            while left >= before:
                await loop.sock_recv(client, 1 << 20)
                left = await unsent(site)
            assert site.sweep.step(now) == 0


async def test_a_closed_connection_that_holds_what_nobody_reads_is_cut_too(site: Site) -> None:
    with await site.connect(REQUEST % b"big"):
        await unsent(site)
        assert site.runner.server is not None
        site.sweep.step(0.0)
        [connection] = site.runner.server.connections
        connection.force_close()
        assert connection.transport is None
        site.sweep.step(1.0)
        assert site.sweep.step(STALL_SECONDS) == 1
        await site.gone()


async def test_streams_look_after_themselves(site: Site) -> None:
    with await site.connect(REQUEST % b"ws"):
        await unsent(site)
        assert [site.sweep.step(now) for now in (0.0, 100.0, 200.0)] == [0, 0, 0]


async def unsent(site: Site) -> int:
    """Wait until an answer is stuck; how many bytes of it."""

    async def look() -> int:
        assert site.runner.server is not None
        [connection] = site.runner.server.connections
        return connection.transport.get_write_buffer_size() if connection.transport is not None else 0

    return await eventually(look, lambda found: found > 0)


@pytest.mark.parametrize("path", [b"small", b"nothing"])
async def test_answers_say_nosniff_and_not_what_runs_here(site: Site, path: bytes) -> None:
    with await site.connect(REQUEST % path) as client:
        head = (await asyncio.get_running_loop().sock_recv(client, 2000)).lower()
    assert b"\r\nx-content-type-options: nosniff" in head
    assert b"\r\nserver:" not in head
