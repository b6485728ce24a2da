"""The same record twice in the log is delivered once; what has not been seen is never dropped."""

from __future__ import annotations

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, now, task
from tests.kafka.sockets import PlainClient, fence
from tests.processes import Worker

SOURCE_MS = 1_700_000_000_000


def by_hand(team_id: int, actor: int, event_id: str, timestamp: str, name: str) -> bytes:
    return log.unified_value(event_id, "team.updated", team_id, actor, timestamp, {"teamId": team_id, "name": name})


async def test_a_unified_record_written_twice_is_delivered_once(worker: Worker, services: Services) -> None:
    team_id, owner, offset = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    headers = log.source_headers("team.updated", 0, offset, SOURCE_MS)
    value = by_hand(team_id, owner, f"team.updated-0-{offset}-{SOURCE_MS}", now(), "By hand")
    async with PlainClient(worker.url, owner) as client:
        for _ in range(3):
            await log.write_unified(services.bootstrap, f"team:{team_id}", (value, headers))
        await client.until(len)
        await fence(services, client)
        last = await services.send("task.created", task("task.created", team_id, fresh(), owner))
        await client.event(last)

        assert client.types == ["team.updated", "task.created"]


async def test_the_same_record_of_another_key_is_none(worker: Worker, services: Services) -> None:
    first, second, owner, offset = fresh(), fresh(), fresh(), fresh()
    for team_id in (first, second):
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)
    headers = log.source_headers("team.updated", 0, offset, SOURCE_MS)
    async with PlainClient(worker.url, owner) as client:
        for team_id in (first, second):
            value = by_hand(team_id, owner, f"team.updated-0-{offset}-{SOURCE_MS}", now(), "By hand")
            await log.write_unified(services.bootstrap, f"team:{team_id}", (value, headers))

        await client.until(lambda events: {event["teamId"] for event in events} == {first, second})


async def test_an_offset_that_a_new_source_topic_gives_again_is_none(worker: Worker, services: Services) -> None:
    team_id, owner, offset = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as client:
        for milliseconds in (SOURCE_MS, SOURCE_MS + 1):
            value = by_hand(team_id, owner, f"team.updated-0-{offset}-{milliseconds}", now(), f"At {milliseconds}")
            headers = log.source_headers("team.updated", 0, offset, milliseconds)
            await log.write_unified(services.bootstrap, f"team:{team_id}", (value, headers))

        await client.until(lambda events: len(events) == 2)


async def test_an_event_that_its_producer_sends_twice_is_delivered_once(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    value = task("task.created", team_id, fresh(), owner, title="Once") | {"eventId": f"own-{fresh()}"}
    async with PlainClient(worker.url, owner) as client:
        for partition in (1, 6, 1):
            sent = await services.send("task.created", value, partition=partition)
            await log.unified(services.bootstrap, sent)
        last = await services.send("task.updated", task("task.updated", team_id, value["taskId"], owner, title="Then"))
        await client.event(last)
        await fence(services, client)

        assert [event["eventId"] for event in client.events] == [value["eventId"], last.event_id]


async def test_an_event_id_used_again_for_something_else_is_delivered(worker: Worker, services: Services, broker: EmbeddedKafka) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    value = task("task.created", team_id, fresh(), owner, title="One") | {"eventId": f"own-{fresh()}"}
    async with PlainClient(worker.url, owner) as client:
        for other in (value, value | {"payload": {"title": "Two"}}, value | {"timestamp": now()}):
            await log.unified(services.bootstrap, await services.send("task.created", other))

        await client.until(lambda events: len(events) == 3)
        assert {event["data"]["title"] for event in client.events} == {"One", "Two"}
