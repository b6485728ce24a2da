"""A check that cannot fail says nothing: with one agent missing, the check of the flow finds the step that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.flow import StepMissing, check_flow
from tests.kafka.services import Services
from tests.processes import Worker


@pytest.mark.parametrize(
    ("agent", "step"), [("task", "unified record of the task"), ("team", "unified record of the team"), ("fold", "state of the team")]
)
async def test_the_flow_fails_without_an_agent(broker: EmbeddedKafka, tmp_path: Path, agent: str, step: str) -> None:
    env = {"CRIPPLED_AGENT": agent}
    async with Worker(broker.bootstrap, tmp_path, app="tests.kafka.crippled:app", env=env) as worker, Services(broker.bootstrap) as services:
        with pytest.raises(StepMissing, match=f"^{step}:"):
            await check_flow(worker, services, limit=4)


async def test_the_flow_goes_through_when_none_is_missing(broker: EmbeddedKafka, tmp_path: Path) -> None:
    async with Worker(broker.bootstrap, tmp_path, app="tests.kafka.crippled:app") as worker, Services(broker.bootstrap) as services:
        await check_flow(worker, services)
