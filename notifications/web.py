"""The web server: health, metrics, and the outbox for administrators.

Errors and the question who asks are the realtime service's own (`web.problems`, `web.identity`): one answer for both.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, ClassVar, cast

import faust.web
import orjson
from aiohttp import web
from aiohttp.web import Application
from faust.web.drivers import aiohttp as faust_web
from prometheus_client import exposition

from app.auth import Authenticator
from app.domain.decode import MAX_VALUE_BYTES
from app.errors import StartRefused
from app.metrics import READY, REGISTRY
from app.worker import refuse
from notifications.listing import Listed, live, page
from web.connections import Runner
from web.identity import bearer_of, caller_of, refuse_foreign_host, same, unauthorized, user_id_of
from web.problems import Problem, problems

if TYPE_CHECKING:
    from notifications.factory import Notifications

LIMIT = 100
LIMIT_MAX = 1000


class View(faust.web.View):
    """A Faust web view of the notification service."""

    path: ClassVar[str]

    @property
    def service(self) -> Notifications:
        """The application."""
        return cast("Notifications", self.app)

    async def admin(self, request: web.Request) -> None:
        """Let administrators pass.

        Raises:
            Problem: 401, 403 or 503.
        """
        authenticator = cast(Server, self.service.web).authenticator
        if not (await caller_of(request, self.service.settings, authenticator)).admin:
            raise Problem(403, "this takes the scope admin")


class Health(View):
    """GET /healthz: the process answers."""

    path = "/healthz"

    async def get(self, request: web.Request) -> web.Response:
        """200."""
        return answer({"status": "ok"})


class Ready(View):
    """GET /readyz: the worker has its partitions."""

    path = "/readyz"

    async def get(self, request: web.Request) -> web.Response:
        """200, or 503 with the reasons."""
        found = self.service.reasons()
        READY.set(not found)
        return answer({"status": "not ready", "reasons": found}, 503) if found else answer({"status": "ready"})


class Metrics(View):
    """GET /metrics: everything measured, for Prometheus."""

    path = "/metrics"

    async def get(self, request: web.Request) -> web.Response:
        """The text format."""
        settings = self.service.settings
        refuse_foreign_host(request, settings)
        if settings.metrics_token is not None and not same(bearer_of(request) or "", settings.metrics_token.get_secret_value()):
            raise unauthorized("the metrics token is needed")
        return web.Response(body=exposition.generate_latest(REGISTRY), headers={"Content-Type": exposition.CONTENT_TYPE_LATEST})


class Outboxes(View):
    """GET /api/outbox: mails of this worker's partitions that wait, in the order of their users."""

    path = "/api/outbox"

    async def get(self, request: web.Request) -> web.Response:
        """A page, and the cursor of the next one."""
        await self.admin(request)
        limit = _limit(request)
        user_id = request.query.get("user")
        if user_id is not None and user_id_of(user_id) is None:
            raise Problem(400, "user is no id")
        found, cursor = page(self.service.table, user_id_of(user_id), _after(request), limit)
        door = self.service.mailer.door
        return answer(
            {
                "server": {"reachable": not door.closed, "error": door.error if door.closed else None},
                "mails": [one.as_json() for one in found],
                "cursor": None if cursor is None else base64.urlsafe_b64encode(cursor).decode(),
            }
        )


class OutboxOfUser(View):
    """GET /api/outbox/{user}/{id}: one mail, and the event that it is about."""

    path = "/api/outbox/{user}/{identity}"

    async def get(self, request: web.Request, user: str, identity: str) -> web.Response:
        """The mail; 404 where this worker has none such."""
        await self.admin(request)
        user_id = user_id_of(user)
        found: Listed | None = None if user_id is None else live(self.service.table, user_id, identity)
        if found is None:
            raise Problem(404, "there is nothing here")
        return answer(found.as_json(whole=True))


VIEWS: tuple[type[View], ...] = (Health, Ready, Metrics, Outboxes, OutboxOfUser)


class Server(faust_web.Web):
    """aiohttp as Faust runs it: in the worker's own loop, and started with it."""

    default_blueprints: ClassVar[Any] = ()
    production_blueprints: ClassVar[Any] = ()
    debug_blueprints: ClassVar[Any] = ()
    optional_blueprints: ClassVar[Any] = ()

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = Runner(self.web_app, app.settings.handshake_timeout)
        self.authenticator = Authenticator(app.settings)

    async def start_server(self) -> None:
        """Start listening; a port that is taken ends the process with one line."""
        try:
            await super().start_server()
        except OSError as error:
            conf = self.app.conf
            refuse(
                StartRefused(f"PORT: {conf.web_bind}:{conf.web_port} cannot be listened on: {error.strerror}. Choose another: PORT=8091")
            )

    def add_routes(self) -> None:
        """Add every view."""
        for view in VIEWS:
            view.view_name, view.view_path = f"{view.__module__}:{view.__name__}", view.path
            self.add_view(view)
        self.web_app.on_cleanup.append(self._let_go)

    async def _let_go(self, _application: Application) -> None:
        await self.authenticator.close()


def options() -> dict[str, Any]:
    """Options of the aiohttp application."""
    return {"middlewares": [problems], "client_max_size": MAX_VALUE_BYTES}


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON answer, which no cache keeps."""
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json", headers={"Cache-Control": "no-store"})


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LIMIT))
    if not (text.isascii() and text.isdigit() and len(text) < 5 and 1 <= int(text) <= LIMIT_MAX):
        raise Problem(400, f"limit is not between 1 and {LIMIT_MAX}")
    return int(text)


def _after(request: web.Request) -> bytes:
    try:
        return base64.b64decode(request.query.get("cursor", ""), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise Problem(400, "cursor is none that this route gave") from None
