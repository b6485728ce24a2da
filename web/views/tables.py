"""GET /api/tables: looking into the tables of all workers."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import orjson
from aiohttp import web

from app.domain.topics import UNIFIED
from app.errors import Unavailable
from tables import inspect
from tables.inspect import TABLES
from web.openapi.schemas import CURSOR
from web.problems import Problem, bad_query, unavailable
from web.views.base import View, answer

Answer = dict[str, Any]

LIMIT = 100
LIMIT_MAX = 1000

_NUMBER = re.compile(r"[0-9]{1,15}")


def known(name: str) -> str:
    """The name of a table.

    Raises:
        Problem: 404.
    """
    if name not in TABLES:
        raise Problem(404, f"there is no such table; there are {', '.join(TABLES)}")
    return name


def own_rows(view: View, name: str, prefix: str, after: str, limit: int) -> Answer:
    """A page of this worker's rows, and the partitions that it is of."""
    table, worker = view.context.table, view.context.settings.url
    partitions = sorted(table.answerable())
    rows = [
        {"key": found.key, "value": found.value, "partition": found.partition, "worker": worker}
        for found in inspect.page(table, name, prefix, after, limit)
    ]
    return {"partitions": partitions, "rows": rows}


async def own_counts(view: View) -> Answer:
    """Rows of this worker by partition and table; other requests go on between partitions."""
    table = view.context.table
    counts: dict[str, dict[str, int]] = {}
    for partition in sorted(table.answerable()):
        if table.rows.has(partition):  # it may have gone while others were counted
            counts[str(partition)] = {name: inspect.count(table, name, partition) for name in TABLES}
        await asyncio.sleep(0)
    return {"partitions": [int(partition) for partition in counts], "counts": counts}


async def ask_all(view: View, own: Answer, path: str, **query: str) -> list[tuple[Answer, set[int]]]:
    """The answers of all workers, this one's ``own`` first, each with the partitions that are to be taken from it.

    Raises:
        Problem: 503, naming the workers that did not answer, or the partitions that nobody answers for: a part of the rows is no answer.
    """
    peers = view.context.peers
    urls = peers.others()
    answers = await asyncio.gather(*(peers.ask(url, path, **query) for url in urls), return_exceptions=True)
    silent = [url for url, body in zip(urls, answers, strict=True) if isinstance(body, Unavailable)]
    if silent:
        raise unavailable(f"no answer from {', '.join(silent)}")
    missing = set(range(view.context.topics[UNIFIED]))
    found: list[tuple[Answer, set[int]]] = []
    for one in [own, *(orjson.loads(body) for body in answers if isinstance(body, bytes))]:
        # Two may answer for a partition that moves: it is taken from one of them.
        taken = missing.intersection(one["partitions"])
        missing -= taken
        found.append((one, taken))
    if missing:
        raise unavailable(f"nobody answers for {', '.join(f'{UNIFIED}-{partition}' for partition in sorted(missing))}")
    return found


class Tables(View):
    """The tables and how many rows each has."""

    path = "/api/tables"

    async def get(self, request: web.Request) -> web.Response:
        """Rows of all workers."""
        await self.admin(request)
        totals = dict.fromkeys(TABLES, 0)
        for one, taken in await ask_all(self, await own_counts(self), "/internal/tables"):
            for partition in taken:
                for name, number in one["counts"][str(partition)].items():
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
        own = own_rows(self, name, prefix, after, limit)
        answers = await ask_all(self, own, f"/internal/tables/{name}", prefix=prefix, after=after, limit=str(limit))
        rows = [row for one, taken in answers for row in one["rows"] if row["partition"] in taken]
        rows.sort(key=lambda row: row["key"])
        more = len(rows) >= limit
        cursor = rows[limit - 1]["key"].encode().hex() if more else None
        return answer({"rows": rows[:limit], "cursor": cursor})


class Row(View):
    """One row."""

    path = "/api/tables/{name}/{key:.+}"

    async def get(self, request: web.Request, name: str, key: str) -> web.Response:
        """The row, wherever it is."""
        await self.admin(request)
        known(name)
        try:
            partition = inspect.partition_holding(name, key, self.context.topics[UNIFIED])
        except ValueError:
            raise Problem(404, "there is no such row") from None
        # Of the rows that begin with the key the first is the row itself, if it is there.
        own = own_rows(self, name, key, "", 1)
        if partition not in own["partitions"]:
            own = await self._ask_owner(partition, f"/internal/tables/{name}", prefix=key, after="", limit="1")
        for row in own["rows"]:
            if row["key"] == key:
                return answer(row)
        raise Problem(404, "there is no such row")

    async def _ask_owner(self, partition: int, path: str, **query: str) -> Answer:
        try:
            found: Answer = orjson.loads(await self.context.peers.ask_owner(partition, path, **query))
        except Unavailable as error:
            raise unavailable(str(error)) from None
        if partition not in found["partitions"]:
            raise unavailable(f"nobody answers for {UNIFIED}-{partition}")
        return found


def _limit(request: web.Request) -> int:
    text = request.query.get("limit", str(LIMIT))
    limit = int(text) if _NUMBER.fullmatch(text) else 0
    if not 1 <= limit <= LIMIT_MAX:
        raise bad_query("limit", f"limit is not between 1 and {LIMIT_MAX}")
    return limit


def _after(request: web.Request) -> str:
    cursor = request.query.get("cursor", "")
    if not CURSOR.fullmatch(cursor):
        raise bad_query("cursor", "cursor is none that this route gave")
    return bytes.fromhex(cursor).decode()


VIEWS = (Tables, Rows, Row)
