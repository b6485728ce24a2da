"""SIGTERM: gone within ten seconds with exit code 0, whatever its clients do, and everyone told to come back."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import aiohttp

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.sockets import PlainClient
from tests.processes import STOP_SECONDS, Worker

HANDSHAKE = (
    "GET /ws?userId={user} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_every_client_gets_1001_and_one_that_neither_reads_nor_answers_holds_up_nothing(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    async with Worker(broker.bootstrap, tmp_path) as worker, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(PlainClient(worker.url, fresh())) for _ in range(40)]
        mute = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
            writer.write(HANDSHAKE.format(user=fresh()).encode())
            assert b" 101 " in await reader.readline()
            mute.append(writer)
        # One that never got further than half a request.
        _, half = await asyncio.open_connection("127.0.0.1", worker.port)
        half.write(b"GET /api/tea")

        seconds = await worker.stop()

        assert [await client.close_code() for client in clients] == [1001] * len(clients)
        assert seconds < STOP_SECONDS
        for writer in [*mute, half]:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_stop_in_the_middle_of_a_flood_loses_nothing(broker: EmbeddedKafka, tmp_path: Path) -> None:
    team_id, owner, count = fresh(), fresh(), 600
    async with Worker(broker.bootstrap, tmp_path) as worker, Services(broker.bootstrap) as services:
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)

        async def flood() -> list[str]:
            values = (task("task.updated", team_id, fresh(), owner) for _ in range(count))
            return [sent.event_id for sent in [await services.send("task.updated", value, partition=3) for value in values]]

        async with PlainClient(worker.url, owner) as client:
            flooding = asyncio.create_task(flood())
            await client.until(lambda events: len(events) > 50)
            await worker.stop()
            assert await client.close_code() == 1001
        expected = await flooding
        worker.start()
        await worker.wait_ready()

        # A repeat in the log is no loss; its order is that of the first ones.
        found = await log.records(
            broker.bootstrap, "team.events", lambda one: one.key == f"team:{team_id}".encode(), count=count + 1, limit=30
        )
        ids = [record.value.split(b'"')[3].decode() for record in found if b'"task.updated"' in record.value]
        assert list(dict.fromkeys(ids)) == expected


async def test_a_stop_before_it_was_ready_is_a_stop_too(broker: EmbeddedKafka, tmp_path: Path) -> None:
    worker = Worker(broker.bootstrap, tmp_path)
    worker.start()
    try:
        async with asyncio.timeout(30):
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    await worker.request("GET", "/healthz")
                    break
                await asyncio.sleep(0.02)
        await worker.stop()
    finally:
        worker.kill()
