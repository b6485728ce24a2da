"""A worker that takes no streams now: what an EventSource is answered, and what everybody else is."""

from __future__ import annotations

import asyncio
from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp.test_utils import make_mocked_request

from app.settings import Settings
from web.problems import Problem
from web.sockets.handshake import Sockets

HOST = {"Host": "127.0.0.1"}
EVENT_SOURCE = {"Accept": "text/event-stream"}


def sockets(*, draining: bool = False, caught_up: bool = True) -> Sockets:
    settings = Settings(_env_file=None, max_connections=1)
    context = SimpleNamespace(settings=settings, draining=asyncio.Event(), tail=SimpleNamespace(caught_up=caught_up))
    if draining:
        context.draining.set()
    return Sockets(cast(Any, context))


def request(accept: dict[str, str]) -> Any:
    return make_mocked_request("GET", "/events?userId=7", headers=HOST | accept)


@pytest.mark.parametrize("state", [{"draining": True}, {"caught_up": False}], ids=str)
async def test_an_event_source_is_sent_away_by_a_stream_that_ends(state: dict[str, Any]) -> None:
    answer = cast(Any, await sockets(**state).stream(request(EVENT_SOURCE)))
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    # No id: what the browser has stays what it sends next.
    assert answer.body == b"retry: 3000\n\n: out of reach, come back\n\n"


async def test_an_event_source_that_finds_no_place_is_too() -> None:
    full = sockets()
    full._places.enter("127.0.0.1", monotonic())
    assert cast(Any, await full.stream(request(EVENT_SOURCE))).status == 200


@pytest.mark.parametrize("accept", [{}, {"Accept": "*/*"}, {"Accept": "text/event-stream, */*"}], ids=str)
async def test_a_program_is_told_503_and_when_to_come_back(accept: dict[str, str]) -> None:
    with pytest.raises(Problem) as refused:
        await sockets(draining=True).stream(request(accept))
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
