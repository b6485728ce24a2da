"""Faust's web server, with our routes in place of its built-in ones."""

from __future__ import annotations

import logging
from time import monotonic
from typing import Any, ClassVar, Protocol, cast

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web import Application, RequestHandler
from faust.web.drivers import aiohttp as faust_web
from mode import Service

from app.domain.decode import MAX_VALUE_BYTES
from app.errors import StartRefused
from app.worker import HasSettings, refuse
from web.connections import Runner
from web.context import Context
from web.cors import add_cors
from web.headers import add_headers
from web.pages import add_pages
from web.problems import problems
from web.sockets.handshake import Sockets
from web.sweep import SWEEP_SECONDS, Sweep
from web.views import ALL


class HasContext(Protocol):
    """An application with this worker's parts."""

    context: Context


class Server(faust_web.Web):
    """aiohttp as Faust runs it: in the worker's own loop, and started with it."""

    default_blueprints: ClassVar[Any] = ()
    production_blueprints: ClassVar[Any] = ()
    debug_blueprints: ClassVar[Any] = ()
    optional_blueprints: ClassVar[Any] = ()

    def __init__(self, app: Any, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        self._runner = Runner(self.web_app, cast(HasSettings, app).settings.handshake_timeout)
        self._sweep = Sweep(self._connections)
        for name in ("aiohttp.server", "aiohttp.websocket"):
            logging.getLogger(name).addFilter(without_client_words)

    async def start_server(self) -> None:
        """Start listening; a port that is taken ends the process with one line."""
        try:
            await super().start_server()
        except OSError as error:
            conf = self.app.conf
            refuse(
                StartRefused(f"PORT: {conf.web_bind}:{conf.web_port} cannot be listened on: {error.strerror}. Choose another: PORT=8087")
            )

    def _connections(self) -> list[RequestHandler]:
        return self._runner.server.connections if self._runner.server is not None else []

    @Service.task
    async def _cut_stalled(self) -> None:
        while not self.should_stop:
            await self.sleep(SWEEP_SECONDS)
            self._sweep.step(monotonic())

    def add_routes(self, sockets: Sockets) -> None:
        """Add every view, the socket and the pages."""
        for view in ALL:
            view.view_name, view.view_path = f"{view.__module__}:{view.__name__}", view.path
            self.add_view(view)
        self.web_app.router.add_get("/ws", sockets.handle)
        self.web_app.router.add_get("/events", sockets.stream)
        add_pages(self.web_app)
        self._sweep.add_to(self.web_app)
        add_headers(self.web_app)
        add_cors(self.web_app, cast(HasSettings, self.app).settings)
        self.web_app.on_cleanup.append(self._let_go)

    async def _let_go(self, _application: Application) -> None:
        await cast(HasContext, self.app).context.authenticator.close()


def without_client_words(record: logging.LogRecord) -> bool:
    """A log filter: aiohttp quotes what came in place of HTTP, and subprotocols that we do not know. Either may hold a token."""
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, HttpProcessingError) and not (record.name == "aiohttp.websocket" and record.levelno < logging.ERROR)


def options() -> dict[str, Any]:
    """Options of the aiohttp application."""
    return {"middlewares": [problems], "client_max_size": MAX_VALUE_BYTES}
