"""GET /ws in plain mode: the handshake, what is ignored, and every close code that it can give."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiohttp
import pytest

from tests.kafka.asking import ask, assert_problem
from tests.kafka.ids import fresh
from tests.kafka.services import Services, user
from tests.kafka.sockets import PlainClient, fence
from tests.processes import Worker


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        ((), None),
        (("teamcast.plain",), "teamcast.plain"),
        (("bearer.secret", "teamcast.plain"), "teamcast.plain"),
        (("teamcast.plain", "bearer.secret"), "teamcast.plain"),
        (("bearer.secret",), None),
        (("something.else",), None),
    ],
)
async def test_the_plain_protocol_is_selected_and_a_token_never_echoed(
    worker: Worker, services: Services, offered: Sequence[str], selected: str | None
) -> None:
    async with PlainClient(worker.url, fresh(), protocols=offered) as client:
        assert client.socket.protocol == selected
        await fence(services, client)


async def test_incoming_text_is_ignored(worker: Worker, services: Services) -> None:
    async with PlainClient(worker.url, fresh()) as client:
        for text in ("", "hello", '{"id":1,"type":"ping"}', "x" * 60_000):
            await client.socket.send_str(text)
        await fence(services, client)

        assert client.events == []


async def test_text_of_exactly_64_kib_is_ignored_too(worker: Worker, services: Services) -> None:
    async with PlainClient(worker.url, fresh()) as client:
        await client.socket.send_str("x" * 65_536)
        await fence(services, client)


async def test_a_binary_message_closes_with_1003(worker: Worker) -> None:
    async with PlainClient(worker.url, fresh()) as client:
        await client.socket.send_bytes(b"{}")

        assert await client.close_code() == 1003


async def test_a_message_over_64_kib_closes_with_1009(worker: Worker) -> None:
    async with PlainClient(worker.url, fresh()) as client:
        await client.socket.send_str("x" * 65_537)

        assert await client.close_code() == 1009


async def test_text_that_is_no_utf8_closes_with_1007(worker: Worker) -> None:
    async with PlainClient(worker.url, fresh()) as client:
        await client.socket.send_frame(b"\xff\xfe", aiohttp.WSMsgType.TEXT)

        assert await client.close_code() == 1007


async def test_a_ping_is_answered(worker: Worker) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{worker.url}/ws?userId={fresh()}", autoping=False) as socket:
        await socket.ping(b"there?")
        message = await socket.receive(timeout=10)

    assert message.type is aiohttp.WSMsgType.PONG
    assert message.data == b"there?"


@pytest.mark.parametrize("user_id", [None, "", "0", "-1", "01", "x", "1.0", "9007199254740992", "12345678901234567"])
async def test_a_user_id_that_is_none_is_told_after_the_upgrade(worker: Worker, user_id: str | None) -> None:
    async with PlainClient(worker.url, user_id) as client:
        assert await client.close_code() == 4501
        assert client.events == []


async def test_the_largest_id_is_one(worker: Worker) -> None:
    async with PlainClient(worker.url, 2**53 - 1, [2**53 - 1]) as client:
        await client.socket.ping()
        assert not client.socket.closed


@pytest.mark.parametrize("teams", [["0"], ["x"], [""], ["42", "-1"], ["9007199254740992"]])
async def test_a_team_id_that_is_none_is_a_protocol_violation(worker: Worker, teams: list[str]) -> None:
    async with PlainClient(worker.url, fresh(), teams) as client:
        assert await client.close_code() == 4503


async def test_without_an_upgrade_it_is_426(worker: Worker) -> None:
    answer = await ask(worker, "GET", f"/ws?userId={fresh()}")

    assert_problem(answer, 426)
    assert answer.headers["upgrade"].lower() == "websocket"


async def status_of_handshake(worker: Worker, headers: dict[str, str]) -> int:
    try:
        async with PlainClient(worker.url, fresh(), headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Origin": "http://127.0.0.1:1"}, 101),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "http://127.0.0.1.evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost"}, 101),
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:80"}, 403),
        ({"X-Forwarded-For": "10.0.0.1"}, 403),
        ({"Forwarded": "for=10.0.0.1"}, 403),
    ],
)
async def test_only_this_machine_and_its_own_pages_get_a_socket(worker: Worker, headers: dict[str, str], status: int) -> None:
    assert await status_of_handshake(worker, headers) == status


async def test_a_client_that_leaves_is_closed_cleanly(worker: Worker, services: Services) -> None:
    user_id = fresh()
    client = PlainClient(worker.url, user_id)
    async with client:
        await services.send("user.created", user(user_id))
        await client.until(len)
    assert client.socket.close_code == 1000


async def test_one_user_has_twenty_sockets_and_no_more(worker: Worker) -> None:
    user_id = fresh()
    async with aiohttp.ClientSession() as session:
        sockets = await asyncio.gather(*(session.ws_connect(f"{worker.url}/ws?userId={user_id}") for _ in range(20)))
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{worker.url}/ws?userId={user_id}")
        await asyncio.gather(*(socket.close() for socket in sockets))

    assert refused.value.status == 429
    assert refused.value.headers is not None
    assert int(refused.value.headers["Retry-After"]) > 0
