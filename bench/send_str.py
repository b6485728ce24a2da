"""The yardstick of delivery: aiohttp's `send_str` to every socket, and nothing else, with the same events and clients.

Reads its orders as one JSON line, serves, says which port it has, sends at the next line, and says what CPU that took.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from typing import Any

from aiohttp import web

from bench.entry import start
from bench.events import record
from tests.ports import free_port


async def main() -> None:
    """Serve one flood."""
    orders: dict[str, Any] = json.loads(sys.stdin.readline())
    sockets: set[web.WebSocketResponse] = set()

    async def listen(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        sockets.add(socket)
        async for _ in socket:
            pass
        return socket

    application = web.Application()
    application.router.add_get("/ws", listen)
    runner = web.AppRunner(application)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    print(json.dumps({"port": port}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    cpu = time.process_time()
    for number in range(orders["events"]):
        text = record(orders["run"], 0, number, team_id=orders["team"], owner=1, member=1).value.decode()
        for socket in sockets:
            await socket.send_str(text)
        await asyncio.sleep(0)
    print(json.dumps({"cpu": time.process_time() - cpu}), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(runner.cleanup(), 1)


if __name__ == "__main__":
    start(main)
