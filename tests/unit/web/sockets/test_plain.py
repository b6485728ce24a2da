"""A plain connection on a real socket: whoever has the answer to the handshake is told of all that follows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import orjson
import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from aiohttp.test_utils import TestServer

from delivery import owners
from tests.unit.delivery.fakes import record, until
from tests.unit.delivery.test_hub import BEGINNING, OTHER, World, task
from tests.unit.delivery.test_hub import world as world  # noqa: PLC0414  (a fixture)
from web.sockets import opening
from web.sockets.close_codes import CloseCode
from web.sockets.plain import PlainConnection

REMOVED = record("team.member_removed", 30, userId=OTHER)


@pytest.fixture
async def connecting(world: World) -> AsyncIterator[asyncio.Task[ClientWebSocketResponse]]:
    """A handshake under way, with the owner of the rows out of reach."""
    world.read(*BEGINNING)
    world.owner.held = []

    async def handle(request: web.Request) -> web.StreamResponse:
        return await PlainConnection(world.hub, OTHER, None, None).serve(request)

    app = web.Application()
    app.router.add_get("/ws", handle)
    async with TestServer(app, host="127.0.0.1") as server, ClientSession() as session:

        async def connect() -> ClientWebSocketResponse:
            return await session.ws_connect(server.make_url("/ws"))

        handshake = asyncio.create_task(connect())
        yield handshake
        await (await handshake).close()


async def event(socket: ClientWebSocketResponse) -> str:
    """The id of the next event."""
    return str(orjson.loads(await socket.receive_str(timeout=5))["eventId"])


def reachable(world: World) -> None:
    """The owner answers again."""
    world.owner.release()
    world.owner.held = None


async def test_the_answer_comes_once_every_team_is_joined(world: World, connecting: asyncio.Task[ClientWebSocketResponse]) -> None:
    await until(lambda: world.owner.held)
    await asyncio.sleep(0.05)
    assert not connecting.done()
    reachable(world)
    socket = await connecting
    world.read(REMOVED, task(31))
    world.read(record("team.member_added", 40, userId=OTHER, role="member"))
    assert [await event(socket), await event(socket)] == ["e30", "e40"]


async def test_an_owner_out_of_reach_delays_events_and_not_the_answer(
    world: World, connecting: asyncio.Task[ClientWebSocketResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.01)
    socket = await connecting
    world.read(task(10))
    reachable(world)
    assert await event(socket) == "e10"


async def test_what_comes_while_the_handshake_waits_comes_behind_its_answer(
    world: World, connecting: asyncio.Task[ClientWebSocketResponse]
) -> None:
    await until(lambda: world.owner.held)
    world.read(task(10))
    reachable(world)
    socket = await connecting
    world.read(task(11))
    assert [await event(socket), await event(socket)] == ["e10", "e11"]


async def test_an_owner_that_stays_out_of_reach_closes_it_behind_the_answer(
    world: World, connecting: asyncio.Task[ClientWebSocketResponse], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "JOIN_SECONDS", 0.01)
    world.owner.refuse = 10_000
    reachable(world)
    socket = await connecting
    assert (await socket.receive(timeout=5)).type is WSMsgType.CLOSE
    assert socket.close_code == CloseCode.UNAVAILABLE
