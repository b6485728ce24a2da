"""GET /events over the end of a worker: streams end by themselves, and lead on at the next one."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh, fresh_team
from tests.kafka.services import Services, member, task, user
from tests.kafka.streams import StreamClient
from tests.kafka.waiting import eventually
from tests.processes import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """The one worker of its group; its rings are so small that it has to read the log."""
    env = {"RING_BYTES": "262144", "DRAIN_SECONDS": "1"}
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("streams"), env=env) as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def services(worker: Worker, broker: EmbeddedKafka) -> AsyncIterator[Services]:
    async with Services(broker.bootstrap) as started:
        yield started


async def test_nothing_is_lost_or_repeated_over_restarts(worker: Worker, services: Services) -> None:
    owner, guest, teams = fresh(), fresh(), [fresh_team(partition) for partition in (0, 3, 3)]
    for team_id in teams:
        await services.make_team(team_id, owner, guest)
        await team_with(worker, team_id, owner, guest)
    written: list[str] = []
    got: list[str] = []
    last: str | None = None

    async def write(count: int) -> None:
        for number in range(count):
            sent = await services.send(
                "task.created", task("task.created", teams[number % 3], fresh(), owner, title="x" * 500), partition=number % 3
            )
            written.append(sent.event_id)
        await log.unified(services.bootstrap, sent)

    async def listen() -> str:
        """Get all that was written, and some more; then the worker ends."""
        async with StreamClient(worker.url, f"userId={guest}", last_id=last) as client:
            # What is written while the log is read could go past rings as small as these.
            await client.until(lambda seen: seen.ids and set(written) <= {*got, *seen.event_ids})
            await write(15)
            await client.until(lambda seen: set(written) <= {*got, *seen.event_ids})
            if worker.running and last is None:
                await worker.stop()
                async with asyncio.timeout(10):
                    await client.ended.wait()
                assert client.comments[-1:] == [": going away"]
            else:
                worker.kill()
            assert client.told == []
            got.extend(client.event_ids)
            return client.last_id

    for _ in range(2):
        last = await listen()
        worker.start()
        await worker.wait_ready()
        await write(150)
    assert sorted(got) == sorted(written[:180])

    removed = await services.send("team.member_removed", member("team.member_removed", teams[0], guest, owner))
    await log.unified(services.bootstrap, removed)
    await team_with(worker, teams[0], owner)
    async with StreamClient(worker.url, f"userId={guest}", last_id=last) as client:
        await client.until(lambda seen: len(seen.events) >= 100)
        fence = await services.send("user.created", user(guest))
        await client.event(fence)
        theirs = [event_id for number, event_id in enumerate(written[180:]) if number % 3]
        assert sorted(client.event_ids) == sorted([*theirs, fence.event_id])
        assert client.told == []
    _, metrics = await worker.request("GET", "/metrics")
    assert 'teamcast_resumes_total{source="log"} 0.0' not in metrics, "the rings held everything: this shows less than it should"


async def test_a_client_that_takes_nothing_is_cut(worker: Worker, services: Services) -> None:
    async def dropped() -> str:
        return str((await worker.request("GET", "/metrics"))[1])

    owner, team_id = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", worker.port))
        slow.sendall(f"GET /events?userId={owner} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = slow.recv(2000).decode()
        assert head.startswith("HTTP/1.1 200 ")
        for _ in range(40):
            await services.send("task.created", task("task.created", team_id, fresh(), owner, description="x" * 300_000))
        await eventually(dropped, lambda text: '{reason="stalled"} 1.0' in text, limit=90)
    await eventually(dropped, lambda text: 'teamcast_connections{mode="sse"} 0.0' in text)
