"""What all views share."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final, Protocol, cast

import faust.web
import orjson
from aiohttp import web

from web.context import Context
from web.identity import Caller, caller_of, user_id_of
from web.problems import Problem

BODY_SECONDS: Final = 10.0
"""How long a client may take to send a body of at most 512 KiB."""
HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class Application(Protocol):
    """What views need of the application beside Faust's own."""

    context: Context
    cluster_secret: str


class View(faust.web.View):
    """A Faust web view with this worker's parts at hand."""

    path: ClassVar[str]

    def get_methods(self) -> set[str]:
        """The methods that the router knows of this view: HEAD only beside GET."""
        found: set[str] = super().get_methods()
        return found if "GET" in found else found - {"HEAD"}

    @property
    def teamcast(self) -> Application:
        """The application, with what this project adds to Faust's."""
        return cast(Application, self.app)

    @property
    def context(self) -> Context:
        """This worker's parts."""
        return self.teamcast.context

    async def caller(self, request: web.Request) -> Caller:
        """Who asks.

        Raises:
            Problem: 401, 403, or 503 while a token cannot be proven.
        """
        return await caller_of(request, self.context.settings, self.context.authenticator)

    async def admin(self, request: web.Request) -> None:
        """Let administrators pass.

        Raises:
            Problem: 401, 403 or 503.
        """
        if not (await self.caller(request)).admin:
            raise Problem(403, "this takes the scope admin")


async def json_body(request: web.Request) -> bytes:
    """The body of a request that is said to be JSON.

    Raises:
        Problem: 415 where it is said to be something else; 408 where it does not come in time.
    """
    if request.content_type != "application/json":
        raise Problem(415, "the body must be application/json")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await request.read()
    except TimeoutError:
        raise Problem(408, "the body did not come in time", headers={"Connection": "close"}) from None


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON answer, which no cache keeps."""
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json", headers=HEADERS)


def id_in_path(text: str) -> int:
    """An id of a path.

    Raises:
        Problem: 404; what is no id names nothing.
    """
    found = user_id_of(text)
    if found is None:
        raise Problem(404, "there is nothing here")
    return found
