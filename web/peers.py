"""The other workers: who owns a partition, and how to ask them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

import aiohttp
import orjson

from app.domain.events import user_key
from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.cluster import Cluster
from app.kafka.partitioner import partition_of
from tables.seed import Seed, candidates, seed
from tables.table import StateTable

ASK_SECONDS = 10.0
TELL_SECONDS = 5.0
"""How long a worker that is told to do something is waited for."""
ASK_ALL_SECONDS = 3.0
"""Bound on an answer for which every worker is asked: who is slower is named in it in place of its part."""


class Peers:
    """Asks the owner of a partition, which may be this worker itself."""

    def __init__(self, table: StateTable, url: str, secret: str, cluster: Cluster, topics: Mapping[str, int]) -> None:
        """Know where to ask.

        Args:
            table: This worker's own rows.
            url: How others reach this worker.
            secret: What workers show each other.
            cluster: Who is there, and who owns what.
            topics: Topics and their partition counts.
        """
        self._table = table
        self._url = url
        self._secret = secret
        self._cluster = cluster
        self._topics = topics
        self._session: aiohttp.ClientSession | None = None

    def others(self) -> list[str]:
        """URLs of the other workers that have rows."""
        return sorted(url for url, worker in self._cluster.workers().items() if url != self._url and worker.role != "gateway")

    def with_sockets(self) -> list[str]:
        """URLs of the other workers that have sockets, gateways too.

        Raises:
            Unavailable: This worker has not heard of all of them yet.
        """
        if not self._cluster.settled:
            raise Unavailable("this worker does not know the others yet")
        return sorted(url for url, worker in self._cluster.workers().items() if url != self._url and worker.role != "pipeline")

    def everyone(self) -> list[str]:
        """URLs of the other workers."""
        return sorted(self._cluster.workers().keys() - {self._url})

    async def ask_all(self, urls: Iterable[str], path: str, **query: str) -> tuple[dict[str, Any], list[str]]:
        """GET an internal route of several workers at once: their JSON answers by URL, and the URLs of those that gave none in time."""

        async def one(url: str) -> Any:
            async with asyncio.timeout(ASK_ALL_SECONDS):
                return _read(url, orjson.loads, await self.ask(url, path, **query))

        asked = list(urls)
        answers = await asyncio.gather(*map(one, asked), return_exceptions=True)
        found: dict[str, Any] = {}
        unreachable = []
        for url, body in zip(asked, answers, strict=True):
            if isinstance(body, (Unavailable, TimeoutError)):
                unreachable.append(url)
            elif isinstance(body, BaseException):
                raise body
            else:
                found[url] = body
        return found, unreachable

    async def seed(self, key: str, partition: int) -> Seed:
        """The rows of a key, of whoever owns them.

        Raises:
            Unavailable: Nobody answers for the partition now.
        """
        if self._table.owns(partition):
            return seed(self._table, key, partition)
        owner = self._owner(partition)
        return _read(owner, parse_seed, await self.ask(owner, f"/internal/seeds/{key}"))

    async def candidates(self, user_id: int, upto: int) -> list[int]:
        """Teams in which a user may be a member, of all records of their partition up to offset ``upto``.

        Raises:
            Unavailable: Nobody answers for the user's partition now.
        """
        partition = partition_of(user_key(user_id).encode(), self._topics[UNIFIED])
        if self._table.owns(partition):
            return await candidates(self._table, user_id, self._topics[UNIFIED], upto)
        owner = self._owner(partition)
        return _read(owner, _parse_ids, await self.ask(owner, f"/internal/candidates/{user_id}", upto=str(upto)))

    async def ask_owner(self, partition: int, path: str, **query: str) -> bytes:
        """GET an internal route of the worker that owns a partition, which is not this one.

        Raises:
            Unavailable: Nobody owns it, or the owner does not answer with 200.
        """
        return await self.ask(self._owner(partition), path, **query)

    def _owner(self, partition: int) -> str:
        owner = self._cluster.owner(partition)
        if owner is None or owner == self._url:
            raise Unavailable(f"nobody owns partition {partition} now")
        return owner

    async def ask(self, url: str, path: str, **query: str) -> bytes:
        """GET an internal route of another worker.

        Raises:
            Unavailable: It does not answer, or not with 200.
        """
        return await self._request("GET", url, path, query, ASK_SECONDS)

    async def disconnect(self, url: str, user_id: int) -> int:
        """End a user's connections to another worker; how many there were.

        Raises:
            Unavailable: It does not answer within `TELL_SECONDS`, or not with a number.
        """
        return _read(url, _parse_closed, await self._request("DELETE", url, f"/internal/connections/{user_id}", {}, TELL_SECONDS))

    async def _request(self, method: str, url: str, path: str, query: Mapping[str, str], seconds: float) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._secret}"})
        try:
            async with self._session.request(method, url + path, params=query, timeout=aiohttp.ClientTimeout(total=seconds)) as response:
                if response.status != 200:
                    raise Unavailable(f"worker {url} answers {response.status}")
                return await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Unavailable(f"worker {url} is out of reach ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close the connections to other workers."""
        if self._session is not None:
            await self._session.close()


Answer = TypeVar("Answer")


def _read(worker: str, parse: Callable[[bytes], Answer], body: bytes) -> Answer:
    try:
        return parse(body)
    except (ValueError, TypeError, KeyError) as error:
        raise Unavailable(f"worker {worker} answers what cannot be read") from error


def _parse_ids(body: bytes) -> list[int]:
    return [int(one) for one in orjson.loads(body)]


def _parse_closed(body: bytes) -> int:
    return int(orjson.loads(body)["closed"])


def dump_seed(found: Seed) -> bytes:
    """A seed as it travels: a line with its offset and its key's newest record, then a line a row: key, tab, row as JSON."""
    return b"\n".join(
        [f"{found.offset} {found.last_offset} {found.last_check}".encode(), *(key.encode() + b"\t" + value for key, value in found.rows)]
    )


def parse_seed(body: bytes) -> Seed:
    """The seed that ``dump_seed`` wrote.

    Raises:
        ValueError: It is none.
    """
    first, *lines = body.split(b"\n")
    rows = [(key.decode(), value) for key, _, value in (line.partition(b"\t") for line in lines)]
    offset, last_offset, last_check = first.split(b" ")
    return Seed(int(offset), rows, int(last_offset), last_check.decode())
