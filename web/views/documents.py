"""The documents that describe this server, for anyone: they hold no data, and clients are written from them."""

from __future__ import annotations

from pathlib import Path

import orjson
from aiohttp import web

from web.openapi.document import document
from web.views.base import View

ASYNCAPI = (Path(__file__).parent.parent / "asyncapi.yaml").read_bytes()
OPENAPI = orjson.dumps(document())
HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


class Asyncapi(View):
    """GET /asyncapi.yaml: the messages of the socket."""

    path = "/asyncapi.yaml"

    async def get(self, request: web.Request) -> web.Response:
        """AsyncAPI 3.0."""
        return web.Response(body=ASYNCAPI, content_type="application/yaml", headers=HEADERS)


class Openapi(View):
    """GET /openapi.json: the routes beside it."""

    path = "/openapi.json"

    async def get(self, request: web.Request) -> web.Response:
        """OpenAPI 3.1."""
        return web.Response(body=OPENAPI, content_type="application/json", headers=HEADERS)


VIEWS = (Asyncapi, Openapi)
