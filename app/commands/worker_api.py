"""Asking a running worker over HTTP."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import click
import orjson
from faust.cli import option

from app.cluster_secret import cluster_secret
from app.errors import Unavailable
from app.settings import Settings

ASK_SECONDS = 15.0
PAGE = 1000


def _url(ctx: click.Context, param: click.Parameter, text: str | None) -> str | None:
    if text is not None and not re.fullmatch(r"https?://[^\s/?#@]+/?", text):
        raise click.BadParameter("must look like http://127.0.0.1:8086")
    return None if text is None else text.rstrip("/")


URL_OPTION = option(
    "--url", callback=_url, default=None, metavar="URL", help="Of a running worker; any will do. Default: that of this HOST and PORT."
)


class WorkerApi:
    """What a worker answers."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession, url: str | None = None) -> None:
        self.url = url or settings.url
        self._settings = settings
        self._session = session

    def at(self, url: str) -> WorkerApi:
        """Another worker."""
        return WorkerApi(self._settings, self._session, url)

    async def get(self, path: str, **query: str) -> Any:
        """The JSON of a route for administrators; ``None`` where there is nothing.

        Raises:
            Unavailable: Nobody answers, or not with what was asked for.
        """
        token = self._settings.admin_token
        body = await self._get(self.url, path, None if token is None else token.get_secret_value(), query)
        try:
            return None if body is None else orjson.loads(body)
        except ValueError:
            raise Unavailable(f"what answers at {self.url} is no worker: {path} is no JSON") from None

    async def pages(self, name: str, prefix: str = "", most: int | None = None) -> AsyncIterator[dict[str, Any]]:
        """Rows of a table, sorted by key, at most ``most``."""
        cursor: str | None = ""
        left = most
        while cursor is not None and (left is None or left > 0):
            more = {"cursor": cursor} if cursor else {}
            found = await self.get(f"/api/tables/{name}", prefix=prefix, limit=str(PAGE if left is None else min(left, PAGE)), **more)
            if found is None:
                raise Unavailable(f"what answers at {self.url} has no table {name}")
            for row in found["rows"]:
                yield row
            cursor = found["cursor"]
            left = None if left is None else left - len(found["rows"])

    async def internal(self, url: str, path: str) -> bytes:
        """What a worker tells only other workers.

        Raises:
            Unavailable: It does not answer, or takes us for nobody of its cluster.
        """
        body = await self._get(url, path, cluster_secret(self._settings), {})
        if body is None:
            raise Unavailable(f"the worker at {url} does not know us: CLUSTER_SECRET must be that of its cluster")
        return body

    async def _get(self, url: str, path: str, token: str | None, query: dict[str, str]) -> bytes | None:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        try:
            async with self._session.get(url + path, params=query, headers=headers, allow_redirects=False) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable(f"no worker answers at {url} ({type(error).__name__}): start one, or name one with --url") from None
        if answer.status == 200:
            return body
        if answer.status == 404:
            return None
        if answer.status in (401, 403):
            raise Unavailable(f"the worker at {url} refuses us ({answer.status}): ADMIN_TOKEN must be that of the worker")
        raise Unavailable(f"the worker at {url} answers {answer.status} to {path}{_detail(body)}")


def _detail(body: bytes) -> str:
    try:
        return f": {orjson.loads(body)['detail']}"
    except (ValueError, KeyError, TypeError):
        return ""


@asynccontextmanager
async def worker_api(settings: Settings, url: str | None) -> AsyncIterator[WorkerApi]:
    """A worker to ask, for as long as the block lasts."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ASK_SECONDS)) as session:
        yield WorkerApi(settings, session, url)
