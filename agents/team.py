"""The team agent."""

from __future__ import annotations

from typing import Any

from faust.types import AgentT, AppT, StreamT

from agents.repartition import Repartition
from app.domain.topics import MEMBER_TOPICS, TEAM_TOPICS
from app.kafka.transport.batches import BatchSchema, batches


def register(app: AppT, repartition: Repartition) -> AgentT[Any]:
    """Add the agent to the application."""

    @app.agent(app.topic(*TEAM_TOPICS, *MEMBER_TOPICS, schema=BatchSchema()), name="team")
    async def repartition_teams(stream: StreamT[Any]) -> None:
        """Send team and member events to their team's place in the unified stream."""
        async for batch in batches(stream):
            await repartition.forward(batch)
            batch.ack()

    return repartition_teams
