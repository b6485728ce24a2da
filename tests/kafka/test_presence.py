"""Presence and disconnecting, over two workers and a gateway: who is online, wherever they are connected, however a worker ends."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaConsumer, TopicPartition

from app.kafka.directory import BEAT_SECONDS, LEASE_SECONDS, parse_key
from app.kafka.embedded_broker import EmbeddedKafka
from app.kafka.topics import CLUSTER
from tests.kafka.asking import Answer, ask, assert_problem, team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, member
from tests.kafka.sockets import PlainClient
from tests.kafka.waiting import eventually
from tests.processes import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")

Workers = tuple[Worker, Worker, Worker]
#: Session time-out of the group, and a rebalance.
TAKEOVER_SECONDS = 30.0
#: A dead worker's last beat, its lease, a beat of the others, a message a second; and a slow machine.
LEASE_LIMIT = LEASE_SECONDS + 2 * BEAT_SECONDS + 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def started(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Workers]:
    folder = tmp_path_factory.mktemp("presence")
    env = {"CLUSTER_SECRET": "a-secret-of-this-test"}
    first, second = (Worker(broker.bootstrap, folder, env=env) for _ in range(2))
    gateway = Worker(broker.bootstrap, folder, env=env | {"ROLE": "gateway"})
    try:
        async with first, second, gateway:
            yield first, second, gateway
    finally:
        for worker in (first, second, gateway):
            worker.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def workers(started: Workers) -> Workers:
    """All running (again), and ready."""
    for worker in started:
        if not worker.running:
            worker.start()
    for worker in started:
        await worker.wait_ready()
    return started


@pytest_asyncio.fixture(loop_scope="session")
async def services(workers: Workers, broker: EmbeddedKafka) -> AsyncIterator[Services]:
    async with Services(broker.bootstrap) as producing:
        yield producing


class Watcher(PlainClient):
    """A client of ``teamcast.v1`` that watches who of one team is online, as its messages say."""

    def __init__(self, url: str, user_id: int, team_id: int) -> None:
        super().__init__(url, user_id, protocols=("teamcast.v1",))
        self.team_id = team_id

    async def __aenter__(self) -> Watcher:
        await super().__aenter__()
        await self.until(lambda said: said and said[0]["type"] == "welcome", TAKEOVER_SECONDS)
        await self.socket.send_json({"id": 1, "type": "subscribe", "teams": [self.team_id], "presence": True})
        await self.until(lambda _said: self.presence, TAKEOVER_SECONDS)
        return self

    @property
    def presence(self) -> list[dict[str, Any]]:
        return [said for said in self.events if said["type"] == "presence"]

    @property
    def online(self) -> set[int]:
        """What the messages say, put together."""
        found: set[int] = set()
        for said in self.presence:
            assert said["teamId"] == self.team_id
            found = set(said["online"]) if "online" in said else (found | set(said["joined"])) - set(said["left"])
        return found

    async def sees(self, *users: int, limit: float = 15.0) -> None:
        await self.until(lambda _said: self.online == set(users), limit)

    def _told(self) -> str:
        return f"the last of it: {self.events[-10:]}"


async def team_of(services: Services, workers: Workers, *members: int) -> int:
    """A new team, known to every worker."""
    team_id = fresh()
    await services.make_team(team_id, *members)
    for worker in workers:
        await team_with(worker, team_id, *members, limit=TAKEOVER_SECONDS)
    return team_id


async def named_in_topic(broker: EmbeddedKafka) -> set[tuple[str, int]]:
    """The users that the topic names now, and where."""
    tp = TopicPartition(CLUSTER, 0)
    async with AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, enable_auto_commit=False) as consumer:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        await consumer.seek_to_beginning(tp)
        newest: dict[bytes, bytes | None] = {}
        while await consumer.position(tp) < end:
            for record in (await consumer.getmany(tp, timeout_ms=500)).get(tp, ()):
                newest[record.key] = record.value
    keys = [parse_key(key) for key, value in newest.items() if value is not None]
    return {(url, user_id) for url, user_id in keys if user_id is not None}


# --- presence


async def test_a_user_is_online_wherever_they_are_connected_and_once(workers: Workers, services: Services) -> None:
    first, second, gateway = workers
    me, other, third = fresh(), fresh(), fresh()
    team_id = await team_of(services, workers, me, other, third)
    async with Watcher(first.url, me, team_id) as watcher:
        await watcher.sees(me)
        async with PlainClient(second.url, other):
            await watcher.sees(me, other)
            async with PlainClient(gateway.url, other):
                pass
            # A second tab elsewhere came and went; who goes after it is seen to go after it.
            async with PlainClient(gateway.url, third):
                await watcher.sees(me, other, third)
            await watcher.sees(me, other)
            assert not any(other in said.get("left", ()) for said in watcher.presence)
        await watcher.sees(me)
    assert watcher.presence[0]["online"] == [me]


async def test_who_subscribes_later_sees_those_of_every_worker_at_once(workers: Workers, services: Services) -> None:
    users = sorted(fresh() for _ in range(3))
    stranger = fresh()
    team_id = await team_of(services, workers, *users)
    async with contextlib.AsyncExitStack() as stack:
        for worker, user_id in zip(workers, users, strict=True):
            await stack.enter_async_context(PlainClient(worker.url, user_id))
            await stack.enter_async_context(PlainClient(worker.url, stranger))
        watcher = await stack.enter_async_context(Watcher(workers[0].url, users[0], team_id))
        await watcher.sees(*users)
        late = await stack.enter_async_context(Watcher(workers[1].url, users[1], team_id))
        assert late.presence == [{"type": "presence", "teamId": team_id, "online": users}]


async def test_a_removed_member_is_seen_no_more_and_sees_nothing_more(workers: Workers, services: Services) -> None:
    me, other, third = fresh(), fresh(), fresh()
    team_id = await team_of(services, workers, me, other, third)
    async with Watcher(workers[0].url, me, team_id) as watcher, Watcher(workers[1].url, other, team_id) as removed:
        await watcher.sees(me, other)
        await removed.sees(me, other)
        await services.send("team.member_removed", member("team.member_removed", team_id, other, me))
        await watcher.sees(me)
        await removed.until(lambda said: said[-1]["type"] == "left")
        async with PlainClient(workers[1].url, third):
            await watcher.sees(me, third)
        await watcher.sees(me)
        assert removed.events[-1]["type"] == "left"


async def test_a_reload_of_the_page_is_not_seen(workers: Workers, services: Services) -> None:
    me, other, third = fresh(), fresh(), fresh()
    team_id = await team_of(services, workers, me, other, third)
    async with Watcher(workers[0].url, me, team_id) as watcher:
        async with PlainClient(workers[1].url, other):
            await watcher.sees(me, other)
        async with PlainClient(workers[1].url, other):
            async with PlainClient(workers[1].url, third):
                await watcher.sees(me, other, third)
            await watcher.sees(me, other)
    assert not any(other in said.get("left", ()) for said in watcher.presence)


async def test_users_of_a_killed_worker_go_with_its_lease(workers: Workers, services: Services) -> None:
    stays, dies, gateway = workers
    me, other, third = fresh(), fresh(), fresh()
    team_id = await team_of(services, workers, me, other, third)
    async with Watcher(gateway.url, me, team_id) as watcher, PlainClient(dies.url, other), PlainClient(stays.url, third):
        await watcher.sees(me, other, third)
        dies.kill()
        killed = time.monotonic()
        await watcher.sees(me, third, limit=LEASE_LIMIT)
        assert time.monotonic() - killed > LEASE_SECONDS - BEAT_SECONDS - 1, "a worker that is slow for a moment is not gone"


async def test_users_of_a_worker_that_was_killed_and_started_again_are_those_of_now(
    workers: Workers, services: Services, broker: EmbeddedKafka
) -> None:
    _, dies, gateway = workers
    me, other, third = fresh(), fresh(), fresh()
    team_id = await team_of(services, workers, me, other, third)
    async with Watcher(gateway.url, me, team_id) as watcher:
        async with PlainClient(dies.url, other), PlainClient(dies.url, third):
            await watcher.sees(me, other, third)
            dies.kill()
        dies.start()
        await dies.wait_ready()
        async with PlainClient(dies.url, third):
            await watcher.sees(me, third)
            both = {(dies.url, other), (dies.url, third)}
            await eventually(lambda: named_in_topic(broker), lambda named: named & both == {(dies.url, third)})
            assert watcher.online == {me, third}


async def test_users_of_a_worker_that_leaves_are_not_seen_to_go_if_they_come_back_elsewhere(workers: Workers, services: Services) -> None:
    stays, goes, gateway = workers
    me, other, third = fresh(), fresh(), fresh()
    team_id = await team_of(services, workers, me, other, third)
    async with Watcher(gateway.url, me, team_id) as watcher:
        async with PlainClient(goes.url, other) as client:
            await watcher.sees(me, other)
            stopping = asyncio.create_task(goes.stop())
            assert await client.close_code() == 1001
        async with PlainClient(stays.url, other):
            await stopping
            # Who goes now is seen to go after whoever went with the worker.
            async with PlainClient(stays.url, third):
                await watcher.sees(me, other, third)
            await watcher.sees(me, other)
    assert not any(other in said.get("left", ()) for said in watcher.presence)


# --- disconnecting


async def disconnect(worker: Worker, user_id: Any) -> Answer:
    return await ask(worker, "POST", "/api/admin/disconnect", json={"userId": user_id, "reason": "ignored"})


async def test_an_administrator_ends_a_users_connections_to_every_worker(workers: Workers, services: Services) -> None:
    me, other = fresh(), fresh()
    team_id = await team_of(services, workers, me, other)
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(PlainClient(worker.url, me)) for worker in workers]
        clients.append(await stack.enter_async_context(Watcher(workers[1].url, me, team_id)))
        bystander = await stack.enter_async_context(PlainClient(workers[1].url, other))

        answer = await disconnect(workers[0], me)

        assert (answer.status, answer.body) == (200, {"closed": 4})
        assert [await client.close_code() for client in clients] == [4502] * 4
        assert not bystander.socket.closed
        assert (await disconnect(workers[2], me)).body == {"closed": 0}
        again = await stack.enter_async_context(PlainClient(workers[1].url, me))
        assert (await disconnect(workers[2], me)).body == {"closed": 1}, "it was no ban"
        assert await again.close_code() == 4502


async def test_a_worker_that_does_not_answer_is_named(workers: Workers, services: Services) -> None:
    first, silent, _gateway = workers
    me = fresh()
    await team_of(services, workers, me)
    async with PlainClient(first.url, me) as client:
        silent.signal(signal.SIGSTOP)
        try:
            answer = await disconnect(first, me)
        finally:
            silent.signal(signal.SIGCONT)
        assert (answer.status, answer.body) == (200, {"closed": 1, "unreachable": [silent.url]})
        assert await client.close_code() == 4502


async def test_a_bad_request_to_disconnect_is_refused_with_its_faults(workers: Workers) -> None:
    worker = workers[0]
    for bad in ({}, {"userId": "7"}, {"userId": 0}, [7]):
        answer = await ask(worker, "POST", "/api/admin/disconnect", json=bad)
        assert_problem(answer, 400)
        assert len(answer.body["errors"]) == 1
    assert_problem(await ask(worker, "POST", "/api/admin/disconnect", data=b"userId=7"), 415)
    assert_problem(await ask(worker, "GET", "/api/admin/disconnect"), 405)
