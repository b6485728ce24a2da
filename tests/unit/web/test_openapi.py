"""The OpenAPI document: what the router has, what callers get, and what the decoder takes."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from aiohttp import web
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from app.domain.decode import faults
from app.domain.topics import SOURCE_TOPICS
from app.factory import create
from app.settings import Settings
from tests.kafka.test_auth import ROUTES
from web.openapi.document import OPERATIONS, document
from web.openapi.schemas import SCHEMAS, body_of
from web.views import ALL, View
from web.views.teams import Members

DOCUMENT = document()
#: Given outside of the views: by the guard of hosts, by aiohttp (a body that is too large), and by what a view asks and waits for.
FROM_ELSEWHERE = {200, 403, 413, 503}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> web.UrlDispatcher:
    """The router of a worker that never starts."""
    folder = tmp_path_factory.mktemp("openapi")
    application: Any = create(Settings(_env_file=None, data_dir=folder, cluster_secret="x" * 32))
    found: web.UrlDispatcher = application.web.web_app.router
    return found


def plain(path: str) -> str:
    """A router's path without patterns in it."""
    return re.sub(r"\{(\w+):[^}]*\}", r"{\1}", path)


def expanded(method: str, path: str) -> Iterator[tuple[str, str]]:
    """A route as the document has it: the topics are written out."""
    for topic in SOURCE_TOPICS if "{topic}" in path else ("",):
        yield method, path.replace("{topic}", topic)


def routes(router: web.UrlDispatcher, *, pages: bool) -> set[tuple[str, str]]:
    """What the router has for clients, with or without the files of pages."""
    return {
        one
        for route in router.routes()
        if route.resource is not None and not route.resource.canonical.startswith("/internal/")
        if pages or route.handler.__module__ != "web.pages"
        for one in expanded(route.method, plain(route.resource.canonical))
    }


def test_every_route_of_the_router_is_described_and_no_other(router: web.UrlDispatcher) -> None:
    told = {(one.method, one.path) for one in OPERATIONS}

    assert {one for one in routes(router, pages=False) if one[0] != "HEAD"} - told == set(), "describe it in web/openapi/document.py"
    assert told - routes(router, pages=True) == set()


def test_there_is_head_where_there_is_get_and_nowhere_else(router: web.UrlDispatcher) -> None:
    served = routes(router, pages=True)

    assert {path for method, path in served if method == "HEAD"} == {path for method, path in served if method == "GET"}


def test_every_status_that_a_caller_gets_is_described() -> None:
    told = {(one.method, one.path): set(one.statuses) for one in OPERATIONS}
    for method, pattern, _path, answers in ROUTES:
        for key in expanded(method, plain(pattern)):
            assert key[1].startswith("/internal/") or set(answers.values()) <= told[key], key


def statuses(function: Any, view: type[View], seen: set[Any]) -> set[int]:
    """The statuses that the code of a view names, and that of the functions of this package which it calls."""
    if function in seen or not inspect.isfunction(function) or not function.__module__.startswith("web."):
        return set()
    seen.add(function)
    found: set[int] = set()
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        match node:
            case ast.Call(func=ast.Name("Problem"), args=[ast.Constant(int(status)), *_]):
                found.add(status)
            case ast.Call(func=ast.Name("answer"), args=[_, ast.Constant(int(status))]):
                found.add(status)
            case ast.Call(func=ast.Name(name)):
                found |= statuses(function.__globals__.get(name), view, seen)
            case ast.Call(func=ast.Attribute(ast.Name("self" | "view"), name)):
                found |= statuses(getattr(View if name in vars(View) else view, name, None), view, seen)
    return found


@pytest.mark.parametrize(
    ("view", "method"),
    [(view, name) for view in ALL for name in ("get", "post", "delete") if name in vars(view) and not view.path.startswith("/internal/")],
)
def test_every_status_that_a_view_can_give_is_described_and_no_other(view: type[View], method: str) -> None:
    given = statuses(vars(view)[method], view, set())
    if "{topic}" in view.path:
        given.remove(404)  # for a topic that is none of those written out
    for key in expanded(method.upper(), plain(view.path)):
        [told] = [set(one.statuses) for one in OPERATIONS if (one.method, one.path) == key]

        assert given <= told
        assert told - given <= FROM_ELSEWHERE


def test_statuses_are_found_in_what_a_view_calls() -> None:
    assert statuses(Members.get, Members, set()) == {400, 401, 403, 404, 503}


def test_operations_are_told_apart_by_their_ids() -> None:
    ids = [one["operationId"] for path in DOCUMENT["paths"].values() for one in path.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)


@pytest.mark.parametrize("schema", [*SCHEMAS.values(), *map(body_of, SOURCE_TOPICS)])
def test_every_schema_is_one(schema: dict[str, Any]) -> None:
    Draft202012Validator.check_schema(schema)


def test_every_reference_leads_somewhere() -> None:
    registry: Registry[Any] = Registry().with_resource("", DRAFT202012.create_resource(DOCUMENT))
    resolver = registry.resolver()
    for name in set(re.findall(r'"\$ref":"(#[^"]+)"', orjson.dumps(DOCUMENT).decode())):
        assert resolver.lookup(name).contents


IDS = {"taskId": 1, "teamId": 2, "actorId": 3, "userId": 4, "role": "x", "ownerId": 5, "creatorId": 3, "assigneeId": 6}
CHANGES: list[dict[str, Any]] = [
    {},
    {"timestamp": "2026-02-28T10:00:00.1Z"},
    {"eventId": "é"},
    {"eventId": "x" * 201},
    {"payload": {"title": "t", "name": None, "completed": True, "priority": 2.5, "username": "u", "email": "a@example.org", "new": "x"}},
    {"payload": None},
    {"payload": []},
    {"payload": {"title": 1, "name": 1, "username": 1}},
    {"payload": {"email": "a b@example.org"}},
    {"taskId": 0, "teamId": 0, "userId": 0},
    {"teamId": None, "userId": None},
    {"taskId": 2**53, "userId": "4", "teamId": True},
    {"creatorId": None, "teamId": None, "userId": None},
    {"eventType": "other"},
    {"timestamp": "yesterday"},
    {"role": ""},
]


@pytest.mark.parametrize("topic", SOURCE_TOPICS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_body_is_described_as_the_decoder_takes_it(topic: str, change: dict[str, Any]) -> None:
    value = {**IDS, **change}
    known = body_of(topic)["properties"]
    value = {name: found for name, found in value.items() if name in known}
    if isinstance(value.get("payload"), dict):
        payload = known["payload"]["properties"]
        value["payload"] = {name: found for name, found in value["payload"].items() if name in payload or name == "new"}

    assert Draft202012Validator(body_of(topic)).is_valid(value) is (faults(topic, orjson.dumps(value)) == [])
