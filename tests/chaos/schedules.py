"""Schedules that must happen in one order, each with a name."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiokafka import AIOKafkaConsumer, OffsetAndMetadata, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.kafka.topics import CHANGELOG
from tests.chaos import reading
from tests.chaos.clients import Client
from tests.chaos.cluster import Cluster
from tests.chaos.history import ClientHistory
from tests.chaos.producer import Services as Traffic
from tests.chaos.producer import World
from tests.chaos.proxy import produce_to
from tests.chaos.replica import subject_key
from tests.chaos.round import Result, settle
from tests.kafka.ids import fresh, fresh_team
from tests.kafka.services import Services, task
from tests.processes import Worker

LIMIT_SECONDS = 60.0


async def until(wanted: Callable[[], Awaitable[bool]], what: str) -> None:
    """Wait for something; fail with its name."""
    deadline = time.monotonic() + LIMIT_SECONDS
    while not await wanted():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {LIMIT_SECONDS:.0f} s: {what}")
        await asyncio.sleep(0.1)


async def title_of(worker: Worker, team: int, task_id: int) -> str | None:
    """The title of a task as a worker's table has it; ``None`` where it has none, or does not answer yet."""
    try:
        status, body = await worker.request("GET", f"/api/tables/tasks/{team}/{task_id}", timeout=3)
    except (aiohttp.ClientError, TimeoutError):
        return None
    return str(body["value"]["title"]) if status == 200 else None


async def stale_batch(cluster: Cluster) -> str | None:
    """An owner stopped with a changelog batch unsent.

    A survivor takes over and writes the same rows; the owner continues, and its batch comes behind the survivor's; the
    survivor is killed and its data folder with it; a third worker recovers.

    Returns:
        The title that the third worker has of a task: "Newest", or "Stale" where what comes last in the changelog wins.
    """
    owner, survivor, third = cluster.slots[:3]
    async with Services(cluster.bootstrap) as services:
        user, task_id = fresh(), fresh()
        team, partition = await team_owned_by(owner.worker, services, user)
        await services.send("task.created", task("task.created", team, task_id, user, title="First"))

        async def has(worker: Worker, title: str) -> bool:
            return await title_of(worker, team, task_id) == title

        await until(lambda: has(owner.worker, "First"), "the task in the owner's table")
        owner.door.hold(produce_to(CHANGELOG))
        await services.send("task.updated", task("task.updated", team, task_id, user, title="Stale"))

        async def held() -> bool:
            return owner.door.held > 0

        await until(held, "a changelog batch that is held back")
        owner.pause()

        await until(lambda: has(survivor.worker, "Stale"), "the survivor folding what the owner had not finished")
        await services.send("task.updated", task("task.updated", team, task_id, user, title="Newest"))
        await until(lambda: has(survivor.worker, "Newest"), "the survivor's newer row")
        await cluster.finished()

        before = await reading.ends(cluster.bootstrap, [CHANGELOG])
        owner.door.release()
        owner.resume()

        async def stale_is_last() -> bool:
            records = await reading.read(cluster.bootstrap, before, [CHANGELOG])
            return any(record.partition == partition and b"Stale" in (record.value or b"") for record in records)

        await until(stale_is_last, "the owner's batch in the changelog behind the survivor's")
    await cluster.ready()
    await cluster.finished()
    for slot in (survivor, owner):
        slot.kill(wanted=False)
        slot.forget()
    await third.start()
    return await title_of(third.worker, team, task_id)


async def team_owned_by(worker: Worker, services: Services, user: int) -> tuple[int, int]:
    """A team whose rows a worker holds, and its partition."""
    teams = {fresh_team(partition): partition for partition in range(8)}
    for team in teams:
        await services.make_team(team, user)
    found: dict[int, str] = {}

    async def all_there() -> bool:
        for team in teams:
            status, body = await worker.request("GET", f"/api/tables/teams/{team}")
            if status == 200:
                found[team] = body["worker"]
        return found.keys() == teams.keys()

    await until(all_there, "a team in every partition")
    return next((team, teams[team]) for team, url in found.items() if url == worker.url)


async def log_made_anew(cluster: Cluster, folder: Path, seed: int = 1) -> tuple[Result, list[str]]:
    """``team.events`` and its changelog deleted, and made anew out of the source topics, while clients hold old positions.

    Returns:
        The verdict on everything since, and what went on from an old position without a gap (must be nothing).
    """
    result, chance = Result(0, "log_made_anew"), random.Random(seed)
    world = World(800)
    traffic = Traffic(cluster.bootstrap, world, chance)
    clients = [Client(f"rich-{user}", user, lambda: cluster.url(chance), chance, rich=True, patient=False) for user in world.users[:8]]
    async with aiohttp.ClientSession() as http:
        try:
            await traffic.start()
            await traffic.found()
            await asyncio.gather(*(client.start(http) for client in clients))
            await traffic.burst(300)
            await traffic.flush()
            await cluster.finished()
            running = cluster.live
            for slot in running:
                slot.kill(wanted=False)
                slot.forget()
            await make_anew(cluster.bootstrap)
            restarted = time.time() * 1000
            for slot in running:
                await slot.start()
            await traffic.burst(300)
            await traffic.flush()
            await cluster.ready()
            await cluster.finished()
            before = [client.history for client in clients]
            for client, old in zip(clients, before, strict=True):
                while not client.connected:  # noqa: ASYNC110  (looked at from outside)
                    await asyncio.sleep(0.1)
                client.history = ClientHistory(old.name, old.user_id, True, [one for one in old.sessions if one.opened > restarted])
            skipped = [what for client in clients for what in silent_skips(client.history)]
            verdict = await settle(cluster, world, traffic, clients, {}, folder, 100_000, result)
        finally:
            for client in clients:
                await client.stop()
            await traffic.stop()
    result.counts, result.findings, result.gaps = verdict.numbers(), verdict.findings, dict(verdict.gaps)
    result.delivered, result.snapshots = verdict.delivered, verdict.snapshots
    return result, skipped


def silent_skips(history: ClientHistory) -> list[str]:
    """Streams that a client went on with from a position of another log, and was given neither a gap nor a refusal."""
    first = next(
        (session for session in history.sessions if session.subscribed and any(one["type"] == "reply" for one in session.messages)), None
    )
    if first is None:
        return [f"{history.name} never got an answer"]
    told = {subject_key(one) for one in first.messages if one["type"] == "gap"}
    told |= {f"team:{team}" for one in first.messages if one["type"] == "reply" for team in one.get("refused", ())}
    return [f"{history.name} {key}" for key in first.since if key not in told]


async def make_anew(bootstrap: str) -> None:
    """Delete the log and the changelog, and let the group read the source topics from their beginning."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([UNIFIED, CHANGELOG])

        async def gone() -> bool:
            return not {UNIFIED, CHANGELOG} & set(await admin.list_topics())

        await until(gone, "topics deleted")
    finally:
        await admin.close()
    sources = [TopicPartition(name, number) for name in SOURCE_TOPICS for number in range(8)]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=reading.GROUP, enable_auto_commit=False)

    async def nobody_left() -> bool:
        # Members that were killed hold the group until their session ends.
        try:
            await consumer.commit({tp: OffsetAndMetadata(0, "") for tp in sources})  # those of the deleted topics went with them
        except KafkaError:
            return False
        return True

    try:
        await consumer.start()
        consumer.assign(sources)
        await until(nobody_left, "the group without members")
    finally:
        await consumer.stop()
