"""GET /api/tables: looking into the tables of all workers."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

import orjson
from aiohttp import web

from app.errors import Unavailable
from tables import inspect
from tables.inspect import TABLES, Found
from web.problems import Problem, unavailable
from web.views.base import View, answer, bad_query

LIMIT = 100
LIMIT_MAX = 1000


def as_json(found: Found, worker: str) -> dict[str, Any]:
    """A row as the API tells it."""
    return {"key": found.key, "value": found.value, "partition": found.partition, "worker": worker}


def known(name: str) -> str:
    """The name of a table.

    Raises:
        Problem: 404.
    """
    if name not in TABLES:
        raise Problem(404, f"there is no such table; there are {', '.join(TABLES)}")
    return name


async def ask_all(view: View, path: str, **query: str) -> dict[str, Any]:
    """The JSON answers of every other worker, by URL.

    Raises:
        Problem: 503, naming the workers that did not answer: a part of the rows is no answer.
    """
    peers = view.context.peers
    urls = peers.others()
    answers = await asyncio.gather(*(peers.ask(url, path, **query) for url in urls), return_exceptions=True)
    silent = [url for url, body in zip(urls, answers, strict=True) if isinstance(body, Unavailable)]
    if silent:
        raise unavailable(f"no answer from {', '.join(silent)}")
    return {url: orjson.loads(body) for url, body in zip(urls, answers, strict=True) if isinstance(body, bytes)}


async def count_rows(view: View) -> dict[str, int]:
    """Rows of this worker by table; other requests go on between partitions."""
    table = view.context.table
    counts = dict.fromkeys(TABLES, 0)
    for partition in sorted(table.owned()):
        for name in TABLES:
            if table.rows.has(partition):
                counts[name] += inspect.count(table, name, partition)
            await asyncio.sleep(0)
    return counts


class Tables(View):
    """The tables and how many rows each has."""

    path = "/api/tables"

    async def get(self, request: web.Request) -> web.Response:
        """Rows of all workers."""
        await self.admin(request)
        totals = await count_rows(self)
        for counts in (await ask_all(self, "/internal/tables")).values():
            for name, number in counts.items():
                totals[name] += number
        return answer({"tables": [{"name": name, "rows": number} for name, number in totals.items()]})


class Rows(View):
    """Rows of a table, sorted by key."""

    path = "/api/tables/{name}"

    async def get(self, request: web.Request, name: str) -> web.Response:
        """A page, and the cursor of the next one."""
        await self.admin(request)
        known(name)
        prefix, limit, after = request.query.get("prefix", ""), _limit(request), _after(request)
        rows = [as_json(found, self.context.settings.url) for found in inspect.page(self.context.table, name, prefix, after, limit)]
        for others in (await ask_all(self, f"/internal/tables/{name}", prefix=prefix, after=after, limit=str(limit))).values():
            rows += others
        rows.sort(key=lambda row: row["key"])
        more = len(rows) >= limit
        cursor = base64.urlsafe_b64encode(rows[limit - 1]["key"].encode()).decode() if more else None
        return answer({"rows": rows[:limit], "cursor": cursor})


class Row(View):
    """One row."""

    path = "/api/tables/{name}/{key:.+}"

    async def get(self, request: web.Request, name: str, key: str) -> web.Response:
        """The row, wherever it is."""
        await self.admin(request)
        known(name)
        found = inspect.row(self.context.table, name, key)
        if found is not None:
            return answer(as_json(found, self.context.settings.url))
        for one in (await ask_all(self, f"/internal/tables/{name}", prefix=key, after="", limit="1")).values():
            if one and one[0]["key"] == key:
                return answer(one[0])
        raise Problem(404, "there is no such row")


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LIMIT))
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= LIMIT_MAX):
        raise bad_query("limit", f"limit is not between 1 and {LIMIT_MAX}")
    return int(text)


def _after(request: web.Request) -> str:
    try:
        return base64.b64decode(request.query.get("cursor", ""), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise bad_query("cursor", "cursor is none that this route gave") from None


VIEWS = (Tables, Rows, Row)
