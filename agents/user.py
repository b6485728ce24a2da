"""The user agent."""

from __future__ import annotations

from typing import Any

from faust.types import AgentT, AppT, StreamT

from agents.repartition import Repartition
from app.domain.topics import USER_TOPICS
from app.kafka.transport.batches import BatchSchema, batches


def register(app: AppT, repartition: Repartition) -> AgentT[Any]:
    """Add the agent to the application."""

    @app.agent(app.topic(*USER_TOPICS, schema=BatchSchema()), name="user")
    async def repartition_users(stream: StreamT[Any]) -> None:
        """Send user events to their user's place in the unified stream."""
        async for batch in batches(stream):
            await repartition.forward(batch)
            batch.ack()

    return repartition_users
