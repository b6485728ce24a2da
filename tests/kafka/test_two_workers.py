"""Two workers of one group: each serves everyone, and what one leaves behind the other takes up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.asking import dump, team_with
from tests.kafka.ids import fresh, fresh_team
from tests.kafka.services import Sent, Services, member, task
from tests.kafka.sockets import PlainClient
from tests.kafka.waiting import eventually
from tests.processes import Worker

Pair = tuple[Worker, Worker]
#: Session time-out of the group, a rebalance, and what was not committed folded again.
TAKEOVER_SECONDS = 30.0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def started(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """Two workers."""
    folder = tmp_path_factory.mktemp("two-workers")
    first, second = Worker(broker.bootstrap, folder), Worker(broker.bootstrap, folder)
    try:
        async with first, second:
            yield first, second
    finally:
        first.kill()
        second.kill()


@pytest.fixture
async def workers(started: Pair) -> Pair:
    """Both running (again) and ready, with partitions of their own."""
    for worker in started:
        if not worker.running:
            worker.start()
    for worker in started:
        await worker.wait_ready()
    return started


@pytest.fixture
async def services(workers: Pair, broker: EmbeddedKafka) -> AsyncIterator[Services]:
    """Producers of events; the topics are there."""
    async with Services(broker.bootstrap) as producing:
        yield producing


async def teams_everywhere(services: Services, workers: Pair, owner: int) -> list[int]:
    """A team in each partition, known to both workers."""
    teams = [fresh_team(partition) for partition in range(8)]
    for team_id in teams:
        await services.make_team(team_id, owner)
    for worker in workers:
        for team_id in teams:
            await team_with(worker, team_id, owner, limit=TAKEOVER_SECONDS)
    return teams


async def rows_of(worker: Worker, teams: list[int]) -> list[dict[str, Any]]:
    """The rows of these teams, as soon as they are folded; clients may be ahead of the tables."""

    async def look() -> list[dict[str, Any]]:
        status, body = await worker.request("GET", "/api/tables/teams", params={"limit": "1000"})
        return [row for row in body["rows"] if int(row["key"]) in teams] if status == 200 else []

    return await eventually(look, lambda rows: len(rows) == len(teams), TAKEOVER_SECONDS)


async def numbered(services: Services, teams: list[int], actor: int, rounds: int, sent: list[Sent]) -> None:
    """Write `rounds` numbered events to each team; those of one team in one source partition, so that they have an order."""
    for number in range(rounds):
        for index, team_id in enumerate(teams):
            value = task("task.updated", team_id, 1, actor, number=number)
            sent.append(await services.send("task.updated", value, partition=index))


def numbers(client: PlainClient, team_id: int) -> list[int]:
    return [event["data"]["number"] for event in client.events if event["teamId"] == team_id]


async def test_they_share_the_partitions(workers: Pair, services: Services) -> None:
    owner = fresh()
    teams = await teams_everywhere(services, workers, owner)

    rows = await rows_of(workers[0], teams)

    owners = {row["partition"]: row["worker"] for row in rows}
    assert set(owners) == set(range(8))
    assert set(owners.values()) == {worker.url for worker in workers}


async def test_any_worker_answers_for_any_team_and_user_with_the_same_body(workers: Pair, services: Services) -> None:
    owner = fresh()
    teams = await teams_everywhere(services, workers, owner)

    for path in (*(f"/api/teams/{team_id}" for team_id in teams), f"/api/users/{owner}"):
        (status, first), (_, second) = [await worker.request("GET", path) for worker in workers]
        assert status == 200
        # Each worker says how far it has read; between two records of a team that may be more than one place.
        assert first | {"position": None} == second | {"position": None}


async def test_any_worker_shows_the_tables_of_both(workers: Pair, services: Services) -> None:
    owner = fresh()
    teams = await teams_everywhere(services, workers, owner)
    for worker in workers:
        await rows_of(worker, teams)

    first, second = [await dump(worker, limit=7) for worker in workers]

    assert first == second
    for rows in first.values():
        keys = [row["key"] for row in rows]
        assert keys == sorted(keys)
        assert len(keys) == len(set(keys))
    assert {str(team_id) for team_id in teams} <= {row["key"] for row in first["teams"]}
    counts = [(await worker.request("GET", "/api/tables"))[1] for worker in workers]
    assert counts[0] == counts[1]
    assert {one["name"]: one["rows"] for one in counts[0]["tables"]} == {name: len(rows) for name, rows in first.items()}
    for worker in workers:
        for team_id in teams:
            status, row = await worker.request("GET", f"/api/tables/teams/{team_id}")
            assert (status, row["key"]) == (200, str(team_id))


async def test_a_client_of_either_worker_gets_every_team_whoever_owns_it(workers: Pair, services: Services) -> None:
    owner = fresh()
    teams = await teams_everywhere(services, workers, owner)
    async with PlainClient(workers[0].url, owner) as first, PlainClient(workers[1].url, owner) as second:
        sent: list[Sent] = []
        await numbered(services, teams, owner, 5, sent)
        for client in (first, second):
            await client.until(lambda events: len(events) == len(sent))
            for team_id in teams:
                assert numbers(client, team_id) == [0, 1, 2, 3, 4]
        # Positions are the log's, not a worker's.
        assert {event["eventId"]: event["position"] for event in first.events} == {
            event["eventId"]: event["position"] for event in second.events
        }


async def test_a_member_added_gets_that_event_on_either_worker(workers: Pair, services: Services) -> None:
    owner, newcomer = fresh(), fresh()
    teams = [fresh_team(partition) for partition in range(8)]
    async with PlainClient(workers[0].url, newcomer) as first, PlainClient(workers[1].url, newcomer) as second:
        added = []
        for team_id in teams:
            await services.make_team(team_id, owner)
            added.append(await services.send("team.member_added", member("team.member_added", team_id, newcomer, owner)))
        for client in (first, second):
            for sent in added:
                await client.event(sent)
            assert client.types.count("team.member_added") == len(teams)


async def test_one_that_is_told_to_stop_leaves_in_time_and_the_other_delivers_everything(workers: Pair, services: Services) -> None:
    stays, goes = workers
    owner, rounds = fresh(), 60
    teams = await teams_everywhere(services, workers, owner)
    async with contextlib.AsyncExitStack() as stack:
        leaving = [await stack.enter_async_context(PlainClient(goes.url, owner)) for _ in range(5)]
        client = await stack.enter_async_context(PlainClient(stays.url, owner))
        sent: list[Sent] = []
        writing = asyncio.create_task(numbered(services, teams, owner, rounds, sent))
        await client.until(lambda events: len(events) > 40)

        await goes.stop()

        assert [await one.close_code() for one in leaving] == [1001] * 5
        await writing
        await client.until(lambda events: len(events) >= rounds * len(teams), TAKEOVER_SECONDS)
        for team_id in teams:
            assert numbers(client, team_id) == list(range(rounds))
        for team_id in teams:
            await team_with(stays, team_id, owner)


async def test_one_that_is_killed_is_replaced_and_nothing_is_lost(workers: Pair, services: Services) -> None:
    stays, dies = workers
    owner, rounds = fresh(), 150
    teams = await teams_everywhere(services, workers, owner)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(PlainClient(stays.url, owner))
        sent: list[Sent] = []
        writing = asyncio.create_task(numbered(services, teams, owner, rounds, sent))
        await client.until(lambda events: len(events) > 200)

        dies.kill()
        killed = time.monotonic()
        # Someone who comes in the middle of it waits, and is served.
        late = await stack.enter_async_context(PlainClient(stays.url, owner))
        await writing
        last = [one.event_id for one in sent[-len(teams) :]]

        left = TAKEOVER_SECONDS - (time.monotonic() - killed)
        await client.until(lambda events: len(events) >= rounds * len(teams), left)
        for team_id in teams:
            assert numbers(client, team_id) == list(range(rounds))
        assert len(client.events) == rounds * len(teams)
        for event_id in last:
            await late.event(event_id)
        for team_id in teams:
            got = numbers(late, team_id)
            assert got == list(range(got[0], rounds))
            await team_with(stays, team_id, owner)
        assert {row["worker"] for row in await rows_of(stays, teams)} == {stays.url}
