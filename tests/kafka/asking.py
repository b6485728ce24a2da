"""HTTP as a client sees it: status, headers and body of one answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.kafka.waiting import LIMIT_SECONDS, eventually
from tests.processes import Worker


@dataclass(slots=True, frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: Any
    """Parsed, where it is JSON."""


async def ask(worker: Worker, method: str, path: str, **arguments: Any) -> Answer:
    """Send one request."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        session.request(method, worker.url + path, **arguments) as answer,
    ):
        if answer.content_type == "text/event-stream":
            body = ""  # it never ends
        elif "json" in answer.content_type and method != "HEAD":
            body = await answer.json(content_type=None)
        else:
            body = await answer.text()
        return Answer(answer.status, {name.lower(): value for name, value in answer.headers.items()}, body)


def assert_problem(answer: Answer, status: int) -> None:
    """It is an RFC 9457 problem with this status."""
    assert answer.status == status, answer
    assert answer.headers["content-type"].partition(";")[0] == "application/problem+json", answer
    assert answer.body["status"] == status
    assert isinstance(answer.body["type"], str)
    assert answer.body["title"]
    assert answer.body["detail"]


async def team_with(worker: Worker, team_id: int, *members: int, limit: float = LIMIT_SECONDS) -> dict[str, Any]:
    """GET /api/teams/{id}, once these users are its members (and nobody else is)."""

    async def look() -> tuple[int, Any]:
        return await worker.request("GET", f"/api/teams/{team_id}", timeout=limit)

    def there(found: tuple[int, Any]) -> bool:
        return found[0] == 200 and {one["userId"] for one in found[1]["members"]} == set(members)

    body: dict[str, Any] = (await eventually(look, there, limit))[1]
    return body


async def dump(worker: Worker, limit: int = 1000) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, a page at a time."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name in ("teams", "members", "tasks", "users"):
        rows: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            status, body = await worker.request("GET", f"/api/tables/{name}", params=query)
            assert status == 200, body
            rows += body["rows"]
            cursor = body["cursor"]
        found[name] = rows
    return found
