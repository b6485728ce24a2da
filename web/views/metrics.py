"""GET /metrics."""

from __future__ import annotations

from aiohttp import web
from prometheus_client import exposition

from app.metrics import REGISTRY
from web.identity import bearer_of, refuse_foreign_host, same, unauthorized
from web.views.base import View


class Metrics(View):
    """Everything measured, for Prometheus."""

    path = "/metrics"

    async def get(self, request: web.Request) -> web.Response:
        """The text format."""
        settings = self.context.settings
        refuse_foreign_host(request, settings)
        if settings.metrics_token is not None and not same(bearer_of(request) or "", settings.metrics_token.get_secret_value()):
            raise unauthorized("the metrics token is needed")
        return web.Response(body=exposition.generate_latest(REGISTRY), headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})


VIEWS = (Metrics,)
