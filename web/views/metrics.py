"""GET /metrics."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import exposition

from app.metrics import READY, REGISTRY
from web.identity import bearer_of, refuse_foreign_host, same, unauthorized
from web.views.base import View
from web.views.health import reasons

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The format that every Prometheus reads; none of our names needs what is newer."""


class Metrics(View):
    """Everything measured, for Prometheus."""

    path = "/metrics"

    async def get(self, request: web.Request) -> web.Response:
        """The text format."""
        settings = self.context.settings
        refuse_foreign_host(request, settings)
        if settings.metrics_token is not None and not same(bearer_of(request) or "", settings.metrics_token.get_secret_value()):
            raise unauthorized("the metrics token is needed")
        READY.set(not reasons(self))
        self.context.measures.collect()
        return web.Response(body=exposition.generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE})


VIEWS = (Metrics,)
