"""What every answer says to browsers, and what none tells of the server."""

from __future__ import annotations

from aiohttp import web


def add_headers(application: web.Application) -> None:
    """Set the headers of every answer, just before they are written: streams and errors have them too."""

    async def tell(_request: web.Request, response: web.StreamResponse) -> None:
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        # Which versions of Python and aiohttp run here is of use to attackers alone.
        response.headers.popall("Server", None)

    application.on_response_prepare.append(tell)
