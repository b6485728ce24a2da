"""What a browser's page of another origin may do (CORS, fetch.spec.whatwg.org), and who may speak to this server at all."""

from __future__ import annotations

from collections.abc import Awaitable

from aiohttp import web

from app.settings import Settings
from web.identity import origin_allowed, refuse_foreign_host, refuse_foreign_origin
from web.problems import Handler

PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, Last-Event-ID, Cache-Control",
    "Access-Control-Max-Age": "600",
}
"""Ten minutes, the most that Chromium keeps an answer for."""
EXPOSED = "Retry-After, WWW-Authenticate"
_READING = ("GET", "HEAD", "OPTIONS")


def add_cors(application: web.Application, settings: Settings) -> None:
    """Guard every route by its host, and open /api, /events and /sdk to allowed origins. There are no cookies, so no credentials either."""
    # What the first two leave behind is the handler's own coroutine: one of theirs would be there as long as a socket.

    @web.middleware
    def hosts(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        if not request.path.startswith("/internal/"):  # which workers reach by any name, with their secret
            refuse_foreign_host(request, settings)
        return handler(request)

    @web.middleware
    def origins(request: web.Request, handler: Handler) -> Awaitable[web.StreamResponse]:
        return guarded(request, handler) if open_to_origins(request.path) else handler(request)

    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.method == "OPTIONS" and "Origin" in request.headers and "Access-Control-Request-Method" in request.headers:
            refuse_foreign_origin(request, settings)
            return web.Response(status=204, headers=PREFLIGHT)
        if request.method not in _READING or request.path == "/events":
            refuse_foreign_origin(request, settings)
        return await handler(request)

    async def tell(request: web.Request, response: web.StreamResponse) -> None:
        # Just before the headers are written: streams and errors have them too.
        if open_to_origins(request.path):
            response.headers.add("Vary", "Origin")
            response.headers.update(_allowance(request, settings))

    application.middlewares.extend((hosts, origins))
    application.on_response_prepare.append(tell)


def open_to_origins(path: str) -> bool:
    """Whether pages of allowed origins may use a route."""
    # Who may not connect has no use for the client either, and need not learn that there is a server here.
    return path == "/events" or path.startswith(("/api/", "/sdk/"))


def _allowance(request: web.Request, settings: Settings) -> dict[str, str]:
    origins = request.headers.getall("Origin", [])
    if len(origins) != 1 or not origin_allowed(origins[0], request.headers.get("Host", ""), settings.allowed_origins):
        return {}
    return {"Access-Control-Allow-Origin": origins[0], "Access-Control-Expose-Headers": EXPOSED}
