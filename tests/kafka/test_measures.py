"""What the system tells of itself: lag as the brokers know it, sums that are right over all workers, and nothing that is old."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.kafka.embedded_broker import EmbeddedKafka
from app.kafka.topics import GROUP
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.sockets import PlainClient
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import Worker
from tests.prometheus import check_metrics

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]
PARTITIONS = {(topic, str(number)) for topic in (*SOURCE_TOPICS, UNIFIED) for number in range(8)}


async def scrape(worker: Worker) -> Series:
    status, text = await worker.request("GET", "/metrics")
    assert status == 200
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def lags(found: Series) -> dict[tuple[str, str], float]:
    """Consumer lag by topic and partition."""
    named = ((dict(labels), value) for (name, labels), value in found.items() if name == "teamcast_consumer_lag")
    return {(labels["topic"], labels["partition"]): value for labels, value in named if labels["group"] == GROUP}


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((name, frozenset(labels.items())))


def lag_of(body: dict[str, Any], topic: str) -> int:
    return sum(one["lag"] for group in body["groups"] for one in group["partitions"] if one["topic"] == topic)


async def api(worker: Worker, name: str) -> dict[str, Any]:
    status, body = await worker.request("GET", f"/api/{name}")
    assert status == 200, body
    return dict(body)


async def test_lag_of_a_stopped_consumer_is_told_by_whoever_is_left(broker: EmbeddedKafka, tmp_path: Path) -> None:
    """A worker commits, and goes; a gateway reads nothing of the group, and tells what nobody reads."""
    async with Services(broker.bootstrap) as services:
        async with Worker(broker.bootstrap, tmp_path) as worker:
            team_id, owner = fresh(), fresh()
            await services.make_team(team_id, owner)
            await team_with(worker, team_id, owner)
            await eventually(lambda: api(worker, "lag"), lambda body: lag_of(body, "team.created") == lag_of(body, UNIFIED) == 0)
            assert set(lags(await eventually(lambda: scrape(worker), lags))) == PARTITIONS
        async with Worker(broker.bootstrap, tmp_path, env={"ROLE": "gateway"}) as gateway:
            for number in range(3):
                await services.send("task.updated", task("task.updated", team_id, number + 1, owner), partition=5)

            body = await eventually(lambda: api(gateway, "lag"), lambda body: lag_of(body, "task.updated") == 3)
            [group] = body["groups"]
            assert (group["group"], group["members"]) == (GROUP, 0)
            [one] = [one for one in group["partitions"] if one["lag"]]
            assert (one["topic"], one["partition"], one["end"] - one["committed"]) == ("task.updated", 5, 3)
            assert 0 <= one["seconds"] < 60

            found = await eventually(lambda: scrape(gateway), lambda found: lags(found).get(("task.updated", "5")) == 3)
            assert set(lags(found)) == PARTITIONS
            assert value(found, "teamcast_group_members", group=GROUP) == 0
            await eventually(
                lambda: scrape(gateway),
                lambda found: 0 < (value(found, "teamcast_retention_headroom_seconds", topic="task.updated") or 0) < 7 * 86400,
            )
            check_metrics((await gateway.request("GET", "/metrics"))[1])
            async with Worker(broker.bootstrap, tmp_path) as worker:
                await eventually(lambda: api(worker, "lag"), lambda body: lag_of(body, "task.updated") == 0)


async def test_of_two_workers_each_partition_is_told_by_one_and_a_silent_one_is_named(broker: EmbeddedKafka, tmp_path: Path) -> None:
    first, second = Worker(broker.bootstrap, tmp_path), Worker(broker.bootstrap, tmp_path)
    async with first, second, Services(broker.bootstrap) as services:

        async def both() -> list[set[tuple[str, str]]]:
            return [set(lags(await scrape(worker))) for worker in (first, second)]

        one, other = await eventually(both, lambda told: all(told) and told[0] | told[1] == PARTITIONS, 40)
        assert not one & other

        members = [value(await scrape(worker), "teamcast_group_members", group=GROUP) for worker in (first, second)]
        assert sorted(members, key=str) == [2.0, None]

        team_id, owner = fresh(), fresh()
        await services.make_team(team_id, owner)
        await team_with(first, team_id, owner)
        async with PlainClient(first.url, owner, [team_id]), PlainClient(second.url, owner, [team_id]), PlainClient(second.url, fresh()):
            wanted = [{"worker": first.url, "connections": 1}, {"worker": second.url, "connections": 2}]
            body = await eventually(lambda: api(first, "connections"), lambda body: {"teamId": team_id, "connections": 2} in body["teams"])
            assert body["workers"] == sorted(wanted, key=lambda one: str(one["worker"]))
            told = [value(await scrape(worker), "teamcast_team_connections", team=str(team_id)) for worker in (first, second)]
            assert told == [1, 1]

        async def team_lags() -> list[float | None]:
            return [value(await scrape(worker), "teamcast_team_lag_seconds", team=str(team_id)) for worker in (first, second)]

        assert sorted(await eventually(team_lags, lambda told: 0.0 in told), key=str) == [0.0, None]
        position = (await team_with(second, team_id, owner))["position"]
        teams = (await eventually(lambda: api(second, "lag"), lambda body: [one for one in body["teams"] if one["teamId"] == team_id]))[
            "teams"
        ]
        assert {"teamId": team_id, "position": position, "ageSeconds": 0.0} in teams

        cluster = await api(second, "cluster")
        assert {worker["url"] for worker in cluster["workers"]} == {first.url, second.url}
        assert sorted(partition for worker in cluster["workers"] for partition in worker["partitions"]) == list(range(8))
        assert {name for worker in cluster["workers"] for name in worker} == {"url", "version", "partitions", "standbys"}
        # Workers that earlier tests killed may be silent still.
        before = set(cluster.get("unreachable", ()))
        assert not before & {first.url, second.url}

        second.signal(signal.SIGSTOP)
        try:
            for name in ("lag", "connections", "cluster"):
                named = set((await api(first, name))["unreachable"])
                assert second.url in named <= before | {second.url}
        finally:
            second.signal(signal.SIGCONT)


async def test_a_broker_outage_hangs_nothing_and_what_was_measured_before_is_not_shown(tmp_path: Path) -> None:
    kafka = EmbeddedKafka(tmp_path / "kafka", free_port(2), say=lambda _line: None)
    await asyncio.to_thread(kafka.start)
    worker = Worker(kafka.bootstrap, tmp_path)
    try:
        async with worker:
            await eventually(lambda: scrape(worker), lags)
            await asyncio.to_thread(kafka.stop)

            async def quick() -> Series:
                async with asyncio.timeout(2):
                    return await scrape(worker)

            gone = await eventually(quick, lambda found: (value(found, "teamcast_lag_age_seconds") or 0) >= 15, 40)
            assert lags(gone) == {}
            assert value(gone, "teamcast_group_members", group=GROUP) is None
            assert not [name for name, _labels in gone if name == "teamcast_retention_headroom_seconds"]
            async with asyncio.timeout(15):
                status, _body = await worker.request("GET", "/api/lag")
            assert status == 503

            await asyncio.to_thread(kafka.start)
            assert set(lags(await eventually(quick, lags, 40))) == PARTITIONS
            worker.kill()
    finally:
        worker.kill()
        await asyncio.to_thread(kafka.stop)


async def test_one_measurement_is_no_more_than_the_settings_allow(tmp_path: Path, broker: EmbeddedKafka) -> None:
    """Series of teams are bounded, whatever the number of teams."""
    async with Worker(broker.bootstrap, tmp_path, env={"TEAM_SERIES_MAX": "2"}) as worker, Services(broker.bootstrap) as services:
        owner = fresh()
        teams = [fresh() for _ in range(4)]
        for team_id in teams:
            await services.make_team(team_id, owner)
        for team_id in teams:
            await team_with(worker, team_id, owner)
        async with PlainClient(worker.url, owner):

            async def told() -> dict[str, dict[str, float]]:
                found: dict[str, dict[str, float]] = {"teamcast_team_lag_seconds": {}, "teamcast_team_connections": {}}
                for (name, labels), number in (await scrape(worker)).items():
                    if name in found:
                        found[name][dict(labels)["team"]] = number
                return found

            found = await eventually(told, lambda found: sum(found["teamcast_team_connections"].values()) == 4)
            assert len(found["teamcast_team_connections"]) == 3
            assert found["teamcast_team_connections"]["other"] == 2
            lag = await eventually(told, lambda found: len(found["teamcast_team_lag_seconds"]) == 3)
            assert "other" in lag["teamcast_team_lag_seconds"]
