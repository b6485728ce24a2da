"""A real Prometheus: it scrapes a running worker, records, and tells of a consumer that stands still."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import ROOT, Worker
from tests.prometheus import executable

OPS = ROOT / "ops" / "prometheus"
TOKEN = "prometheus-token-of-this-test"


@contextlib.asynccontextmanager
async def prometheus(folder: Path, *targets: str) -> AsyncIterator[str]:
    """Prometheus with the project's own configuration, but for the targets, a token, and a quicker pace; its URL."""
    settings: Any = yaml.safe_load((OPS / "prometheus.yml").read_text(encoding="utf-8"))
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(OPS / name) for name in settings["rule_files"]]
    settings["scrape_configs"][0]["static_configs"] = [{"targets": list(targets)}]
    settings["scrape_configs"][0]["authorization"] = {"credentials": TOKEN}
    (folder / "prometheus.yml").write_text(json.dumps(settings))
    address = f"127.0.0.1:{free_port()}"
    arguments = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address={address}")
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([executable("prometheus"), *arguments], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def ask(url: str, path: str, **query: str) -> Any:
    with contextlib.suppress(aiohttp.ClientError):
        async with aiohttp.ClientSession() as session, session.get(f"{url}/api/v1/{path}", params=query) as answer:
            return (await answer.json())["data"]
    return None


async def query(url: str, expression: str) -> dict[str, float]:
    """An instant query: values by topic, or by ""."""
    found = await ask(url, "query", query=expression)
    return {one["metric"].get("topic", ""): float(one["value"][1]) for one in found["result"]} if found else {}


async def test_it_scrapes_a_running_system_and_sees_what_is_not_read(broker: EmbeddedKafka, tmp_path: Path) -> None:
    executable("prometheus")
    team_id, owner = fresh(), fresh()
    env = {"METRICS_TOKEN": TOKEN}
    gateway = Worker(broker.bootstrap, tmp_path, env=env | {"ROLE": "gateway"})
    worker = Worker(broker.bootstrap, tmp_path, env=env)
    async with (
        gateway,
        worker,
        Services(broker.bootstrap) as services,
        prometheus(tmp_path, f"127.0.0.1:{gateway.port}", f"127.0.0.1:{worker.port}") as url,
    ):
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)

        up = await eventually(lambda: query(url, "sum(up)"), lambda found: found.get("") == 2, 30)
        assert up
        await eventually(lambda: query(url, "count(teamcast:consumer_lag:partition)"), lambda found: found.get("") == 96, 40)
        await eventually(lambda: query(url, "sum(teamcast_group_members)"), lambda found: found.get("") == 1, 30)
        targets = (await ask(url, "targets"))["activeTargets"]
        assert [target["lastError"] for target in targets] == ["", ""]
        rules = [rule for group in (await ask(url, "rules"))["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}

        await worker.stop()
        for number in range(4):
            await services.send("task.updated", task("task.updated", team_id, number + 1, owner), partition=2)
        await eventually(lambda: query(url, "teamcast:consumer_lag:topic"), lambda found: found.get("task.updated") == 4, 40)

        async def alerts() -> set[str]:
            return {alert["labels"]["alertname"] for alert in (await ask(url, "alerts"))["alerts"]}

        # Pending is enough: for how long it has to last, the rules' own tests say.
        await eventually(alerts, lambda found: {"TeamcastNoMembers", "TeamcastNotReady"} <= found, 40)
