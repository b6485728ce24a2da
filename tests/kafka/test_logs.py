"""A worker's log as a program reads it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from app.kafka.embedded_broker import EmbeddedKafka
from app.logs import BURST
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services
from tests.processes import Worker


async def test_from_start_to_stop_every_line_is_an_object_and_a_dead_letter_is_told_with_its_place(
    broker: EmbeddedKafka, tmp_path: Path
) -> None:
    env = {"LOG_FORMAT": "json", "ADMIN_TOKEN": "administrators-token-of-this-test"}
    async with Worker(broker.bootstrap, tmp_path, env=env) as worker, Services(broker.bootstrap) as services:
        bad = await services.send("task.created", b"no\njson", partition=1)
        team_id, owner = fresh(), fresh()
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)
        await worker.stop()

    lines = [json.loads(line) for line in worker.log().splitlines()]

    assert all({"timestamp", "level", "logger", "event"} <= line.keys() for line in lines)
    # The first who ever asks a new broker for a group's coordinator is told to come back, and aiokafka takes that for an error.
    assert {line["level"] for line in lines if not line["logger"].startswith("aiokafka")} <= {"info", "warning"}
    assert max(Counter(line["event"] for line in lines if line["level"] == "error").values(), default=0) <= BURST
    assert ("Worker", "Ready") in {(line.get("service"), line["event"]) for line in lines}
    told = [line for line in lines if line.get("code") == "not-json"]
    assert [(line["topic"], line["partition"], line["offset"]) for line in told] == [("task.created", 1, bad.offset)]
    assert "administrators-token" not in worker.log()
    assert not any("\\n" in line["event"] for line in lines)


async def test_log_level_holds_for_every_library(broker: EmbeddedKafka, tmp_path: Path) -> None:
    async with Worker(broker.bootstrap, tmp_path, env={"LOG_FORMAT": "json", "LOG_LEVEL": "WARNING"}) as worker:
        pass

    lines = [json.loads(line) for line in worker.log().splitlines()]

    assert {line["level"] for line in lines} <= {"warning", "error"}
    assert "authentication is off" in worker.log()
