"""GET /metrics."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import exposition

from app.metrics import REGISTRY
from web.identity import refuse_foreign_host, same
from web.problems import Problem
from web.views.base import View


class Metrics(View):
    """Everything measured, for Prometheus."""

    path = "/metrics"

    async def get(self, request: web.Request) -> web.Response:
        """The text format."""
        settings = self.context.settings
        refuse_foreign_host(request, settings)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if settings.metrics_token is not None and not same(token, settings.metrics_token.get_secret_value()):
            raise Problem(401, "the metrics token is needed", headers={"WWW-Authenticate": "Bearer"})
        return web.Response(body=exposition.generate_latest(REGISTRY), headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})


VIEWS = (Metrics,)
