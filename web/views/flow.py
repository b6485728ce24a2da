"""GET /api/flow: what comes in and goes out in a second, over all workers."""

from __future__ import annotations

from time import time
from typing import Any

from aiohttp import web

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.kafka.lag import Lag
from web.measures import flow
from web.views.base import View, answer

HOT_TEAMS = 20


def topics(found: flow.Flow, lag: Lag, now: float) -> list[dict[str, Any]]:
    """Each topic that records come in by, and the unified stream: what flows, and how much time is left to read what is unread."""
    headroom = lag.headroom([one for group in lag.groups for one in group.partitions], now)
    return [
        {
            "topic": topic,
            "perSecond": found.events.get(topic) if topic != UNIFIED else None,
            "deadLettersPerSecond": found.dead_letters.get(topic, 0.0),
            "retentionSeconds": lag.retention.get(topic),
            "headroomSeconds": headroom.get(topic),
        }
        for topic in (*SOURCE_TOPICS, UNIFIED)
    ]


class Flow(View):
    """Rates by topic, delivery times, hot teams."""

    path = "/api/flow"

    async def get(self, request: web.Request) -> web.Response:
        """Of the last seconds; workers that are missing from it are named."""
        await self.admin(request)
        context = self.context
        lag = await context.measures.lag()
        others, unreachable = await context.peers.ask_all(context.peers.everyone(), "/internal/flow")
        found = flow.together([context.measures.flow(), *map(flow.Flow.parse, others.values())])
        p50, p99 = (flow.quantile(found.delivered, share) for share in flow.QUANTILES)
        body = {
            "seconds": flow.WINDOW_SECONDS,
            "topics": topics(found, lag, time()),
            "delivery": {"perSecond": max(found.delivered.values(), default=0.0), "p50": p50, "p99": p99},
            "teams": await context.measures.hot_teams(HOT_TEAMS),
        }
        return answer(body | ({"unreachable": sorted(set(unreachable))} if unreachable else {}))


VIEWS = (Flow,)
