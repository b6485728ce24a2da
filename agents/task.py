"""The task agent."""

from __future__ import annotations

from typing import Any

from faust.types import AgentT, AppT, StreamT

from agents.repartition import Repartition
from app.domain.topics import TASK_TOPICS
from app.kafka.transport.batches import BatchSchema, batches


def register(app: AppT, repartition: Repartition) -> AgentT[Any]:
    """Add the agent to the application."""

    @app.agent(app.topic(*TASK_TOPICS, schema=BatchSchema()), name="task")
    async def repartition_tasks(stream: StreamT[Any]) -> None:
        """Send task events to their team's place, or their creator's, in the unified stream."""
        async for batch in batches(stream):
            await repartition.forward(batch)
            batch.ack()

    return repartition_tasks
