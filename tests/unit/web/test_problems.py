"""Errors are problem details (RFC 9457), wherever they come from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.errors import Moved, Unavailable
from web.problems import Problem, problems, unavailable

REQUEST = make_mocked_request("GET", "/api/teams/1")


def failing(error: Exception) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handler(_request: web.Request) -> web.StreamResponse:
        raise error

    return handler


async def answer_to(error: Exception) -> tuple[web.Response, dict[str, Any]]:
    response = await problems(REQUEST, failing(error))
    assert isinstance(response, web.Response)
    assert response.content_type == "application/problem+json"
    assert isinstance(response.body, bytes)
    body = orjson.loads(response.body)
    assert body["status"] == response.status
    assert body["title"]
    return response, body


async def test_a_problem_is_its_status_title_and_detail_with_its_own_members() -> None:
    response, body = await answer_to(Problem(400, "bad", headers={"X": "1"}, errors=[{"field": "a"}]))
    assert body == {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "bad", "errors": [{"field": "a"}]}
    assert response.headers["X"] == "1"


@pytest.mark.parametrize("error", [Unavailable("the owner is away"), Moved("elsewhere"), unavailable("not now")])
async def test_what_is_out_of_reach_for_now_is_503_and_says_when_to_come_back(error: Exception) -> None:
    response, _body = await answer_to(error)
    assert response.status == 503
    assert int(response.headers["Retry-After"]) >= 1


async def test_what_the_router_does_not_find_is_404() -> None:
    response, body = await answer_to(web.HTTPNotFound())
    assert (response.status, body["detail"]) == (404, "there is nothing here")


async def test_a_wrong_method_says_which_are_right() -> None:
    response, _body = await answer_to(web.HTTPMethodNotAllowed("POST", ["GET", "HEAD"]))
    assert (response.status, response.headers["Allow"]) == (405, "GET,HEAD")


async def test_a_body_that_is_too_large_is_413() -> None:
    assert (await answer_to(web.HTTPRequestEntityTooLarge(1, 2)))[0].status == 413


async def test_a_redirect_is_no_error() -> None:
    with pytest.raises(web.HTTPFound):
        await problems(REQUEST, failing(web.HTTPFound("/")))


async def test_a_fault_of_the_server_is_500_tells_nothing_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    response, body = await answer_to(RuntimeError("the password is hush"))
    assert response.status == 500
    assert "hush" not in orjson.dumps(body).decode()
    assert "GET /api/teams/1 failed" in caplog.text


async def test_a_good_answer_passes() -> None:
    async def handler(_request: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    assert (await problems(REQUEST, handler)).status == 200
