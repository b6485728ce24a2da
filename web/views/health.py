"""Health: is the process alive, and should a balancer send it clients?"""

from __future__ import annotations

from aiohttp import web

from app.metrics import READY
from web.context import Context
from web.views.base import View, answer


def reasons(view: View) -> list[str]:
    """Why this worker is not ready; empty when it is."""
    context: Context = view.context
    app = view.app
    found = []
    if context.draining.is_set():
        found.append("going away")
    if context.settings.role != "gateway":
        if app.rebalancing or not app.tables.actives_ready:
            found.append("tables are being recovered")
        elif not app.consumer.assignment():
            found.append("no partitions assigned")
    if not context.tail.caught_up:
        found.append("the end of the log has not been reached")
    elif context.tail.behind_too_long:
        found.append(f"{context.tail.lag_seconds:.0f} s behind the log")
    return found


class Health(View):
    """GET /healthz: the process answers."""

    path = "/healthz"

    async def get(self, request: web.Request) -> web.Response:
        """200."""
        return answer({"status": "ok"})


class Ready(View):
    """GET /readyz: the worker serves clients."""

    path = "/readyz"

    async def get(self, request: web.Request) -> web.Response:
        """200, or 503 with the reasons; either with what else wants attention, though it keeps no client from being served."""
        found = reasons(self)
        READY.set(not found)
        warnings = self.context.measures.warnings()
        more = {"warnings": warnings} if warnings else {}
        return answer({"status": "not ready", "reasons": found, **more}, 503) if found else answer({"status": "ready", **more})


VIEWS = (Health, Ready)
