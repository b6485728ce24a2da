"""A check that cannot fail says nothing: with one agent missing, the check of the flow finds the step that is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.flow import StepMissing, check_flow
from tests.kafka.services import Services
from tests.processes import Worker


@pytest.mark.parametrize(
    ("agent", "step"),
    [
        ("user", "event of the user's own stream"),
        ("team", "unified record of the team"),
        ("fold", "state of the team"),
        ("task", "unified record of the task"),
    ],
)
async def test_the_flow_fails_without_an_agent(broker: EmbeddedKafka, tmp_path: Path, agent: str, step: str) -> None:
    env = {"CRIPPLED_AGENT": agent}
    async with (
        Worker(broker.bootstrap, tmp_path, app="tests.kafka.crippled:app", env=env) as worker,
        Services(broker.bootstrap) as services,
    ):
        with pytest.raises(StepMissing, match=f"^{step}:"):
            await check_flow(worker, services, limit=3)
