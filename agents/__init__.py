"""The agents: each a thin loop over batches; what it does is a function beside it that a test can call without Kafka."""

from __future__ import annotations

from agents.fold import register as register_fold
from agents.task import register as register_task
from agents.team import register as register_team
from agents.user import register as register_user

__all__ = ["register_fold", "register_task", "register_team", "register_user"]
