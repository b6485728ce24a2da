"""What pages of other origins may do, over a real server with every kind of route."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from app.settings import Settings
from tests.ports import free_port
from tests.tokens import SECRET
from web.cors import add_cors
from web.problems import Problem, problems
from web.server import without_client_words

APP = "https://app.example.org"
EVIL = "https://evil.example"
HOST = "teamcast.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}


async def _found(_request: web.Request) -> web.StreamResponse:
    return web.json_response({})


async def _refused(_request: web.Request) -> web.StreamResponse:
    raise Problem(401, "no token", headers={"WWW-Authenticate": "Bearer"})


async def _fault(_request: web.Request) -> web.StreamResponse:
    raise ValueError("a fault")


async def _stream(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Vary": "Accept"})
    await response.prepare(request)
    await response.write(b"id: 1\n\n")
    return response


class Client:
    """Asks one server."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._port, self._session = port, session

    async def ask(self, method: str, path: str, **headers: str) -> aiohttp.ClientResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = await self._session.request(method, f"http://127.0.0.1:{self._port}{path}", headers={"Host": HOST, **names})
        await answer.read()
        return answer


async def _serve(settings: Settings) -> AsyncIterator[Client]:
    application = web.Application(middlewares=[problems])
    for path in ("/", "/healthz", "/metrics", "/ws", "/api/teams/1", "/internal/tables", "/sdk/teamcast.js"):
        application.router.add_get(path, _found)
    application.router.add_post("/api/events/task.created", _found)
    application.router.add_get("/api/tables", _refused)
    application.router.add_get("/api/fault", _fault)
    application.router.add_get("/events", _stream)
    add_cors(application, settings)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession() as session:
        yield Client(port, session)
    await runner.cleanup()


@pytest.fixture
async def guarded() -> AsyncIterator[Client]:
    async for client in _serve(Settings(_env_file=None, jwt_secret=SECRET, allowed_origins=(APP, "https://*.example.net"))):
        yield client


@pytest.fixture
async def unguarded() -> AsyncIterator[Client]:
    async for client in _serve(Settings(_env_file=None)):
        yield client


def cors_of(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control")}


@pytest.mark.parametrize("path", ["/api/teams/1", "/api/events/task.created", "/api/nothing", "/events"])
@pytest.mark.parametrize("origin", [APP, "https://a.example.net", f"http://{HOST}:3000"])
async def test_a_preflight_of_an_allowed_origin_is_204_for_every_route(guarded: Client, path: str, origin: str) -> None:
    answer = await guarded.ask("OPTIONS", path, Origin=origin, **PREFLIGHT)
    assert answer.status == 204
    assert cors_of(answer)["Access-Control-Allow-Origin"] == origin
    assert "POST" in cors_of(answer)["Access-Control-Allow-Methods"]
    for name in ("Authorization", "Content-Type", "Last-Event-ID"):
        assert name in cors_of(answer)["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("origin", [EVIL, "null", "https://example.net", APP + ".evil.example", "http://app.example.org"])
async def test_a_foreign_origin_gets_nothing(guarded: Client, origin: str) -> None:
    preflight = await guarded.ask("OPTIONS", "/api/teams/1", Origin=origin, **PREFLIGHT)
    assert preflight.status == 403
    assert preflight.content_type == "application/problem+json"
    posted = await guarded.ask("POST", "/api/events/task.created", Origin=origin)
    assert posted.status == 403
    streamed = await guarded.ask("GET", "/events", Origin=origin)
    assert streamed.status == 403
    read = await guarded.ask("GET", "/api/teams/1", Origin=origin)
    loaded = await guarded.ask("GET", "/sdk/teamcast.js", Origin=origin)
    for answer in (preflight, posted, streamed, read, loaded):
        assert cors_of(answer) == {}
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/teams/1", 200),
        ("POST", "/api/events/task.created", 200),
        ("GET", "/events", 200),
        ("GET", "/sdk/teamcast.js", 200),
        ("GET", "/api/tables", 401),
        ("GET", "/api/nothing", 404),
        ("POST", "/api/teams/1", 405),
        ("GET", "/api/fault", 500),
    ],
)
async def test_an_allowed_origin_reads_every_answer(guarded: Client, method: str, path: str, status: int) -> None:
    answer = await guarded.ask(method, path, Origin=APP)
    assert answer.status == status
    assert answer.headers["Access-Control-Allow-Origin"] == APP
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
    assert "Origin" in answer.headers.getall("Vary")


async def test_without_an_origin_nothing_is_said_but_that_it_varies(guarded: Client) -> None:
    answer = await guarded.ask("GET", "/api/teams/1")
    assert answer.status == 200
    assert cors_of(answer) == {}
    assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/ws", "/internal/tables"])
async def test_other_routes_are_for_their_own_pages(guarded: Client, path: str) -> None:
    assert cors_of(await guarded.ask("GET", path, Origin=APP)) == {}
    assert (await guarded.ask("OPTIONS", path, Origin=APP, **PREFLIGHT)).status == 405


async def test_options_that_ask_for_nothing_are_no_preflight(guarded: Client) -> None:
    assert (await guarded.ask("OPTIONS", "/api/teams/1", Origin=APP)).status == 405
    assert (await guarded.ask("OPTIONS", "/api/teams/1", **PREFLIGHT)).status == 405


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/ws", "/events", "/api/teams/1", "/api/nothing", "/nothing"])
async def test_without_authentication_a_foreign_host_is_403_everywhere(unguarded: Client, path: str) -> None:
    answer = await unguarded.ask("GET", path)
    assert answer.status == 403
    assert (await unguarded.ask("OPTIONS", path, Origin=f"http://{HOST}", **PREFLIGHT)).status == 403
    assert (await unguarded.ask("GET", path, Host="127.0.0.1", X_Forwarded_For="127.0.0.1")).status == 403
    assert (await unguarded.ask("GET", path, Host="127.0.0.1")).status != 403


async def test_workers_reach_each_other_by_any_name(unguarded: Client) -> None:
    assert (await unguarded.ask("GET", "/internal/tables")).status == 200


def _record(error: Exception | None, name: str = "aiohttp.server") -> logging.LogRecord:
    found: Any = (type(error), error, None) if error else None
    return logging.LogRecord(name, logging.ERROR if error else logging.WARNING, "", 0, "Error handling request", None, found)


def test_what_a_client_sent_is_not_quoted_in_the_log_and_faults_are() -> None:
    assert not without_client_words(_record(BadHttpMessage("Bearer secret")))
    assert not without_client_words(_record(None, "aiohttp.websocket"))
    for name in ("aiohttp.server", "aiohttp.websocket"):
        assert without_client_words(_record(ValueError("a fault"), name))
    assert without_client_words(_record(None))
