"""An event stream on a real socket: its framing, its heartbeat, its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from time import time
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from hypothesis import given
from hypothesis import strategies as st

from delivery import owners
from tests.unit.delivery.fakes import until
from tests.unit.delivery.test_hub import BEGINNING, ME, World, task
from tests.unit.delivery.test_hub import world as world  # noqa: PLC0414  (a fixture)
from web.sockets import opening
from web.sockets import stream as streams
from web.sockets.close_codes import CloseCode
from web.sockets.stream import EventStream
from web.sockets.stream_sink import block

Open = Callable[..., Any]
OUT_OF_REACH = b"retry: 3000\n\n: out of reach, come back\n\n"


@given(
    st.recursive(st.text(max_size=9) | st.integers(0, 9), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner), max_leaves=5),
    st.booleans(),
)
def test_a_block_is_one_line_of_data_whatever_the_json_looks_like(value: Any, indented: bool) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else 0).replace(b"\n", b"\r\n")
    lines = block(text, event="gap", event_id="x").split(b"\n")
    assert lines[:2] == [b"event: gap", b"id: x"]
    assert lines[3:] == [b"", b""]
    assert not lines[2].count(b"\r")
    assert orjson.loads(lines[2].removeprefix(b"data: ")) == value


def test_a_block_without_a_name_has_no_event_line() -> None:
    assert block(b"{}", event_id="x") == b"id: x\ndata: {}\n\n"
    assert block(b"{}", event="gap") == b"event: gap\ndata: {}\n\n"


@pytest.fixture
async def opened(world: World) -> AsyncIterator[Open]:
    """Opens a stream; gives it, and what reads it."""
    made: list[EventStream] = []
    writers: list[asyncio.StreamWriter] = []
    world.read(*BEGINNING)

    async def handle(request: web.Request) -> web.StreamResponse:
        return await made[-1].serve(request)

    app = web.Application()
    app.router.add_get("/events", handle)
    async with TestServer(app, host="127.0.0.1") as server:

        async def open_one(version: str = "1.1", **more: Any) -> tuple[EventStream, asyncio.StreamReader]:
            options = {"wanted": None, "close_at": None, "last_id": None, **more}
            made.append(EventStream(world.hub, ME, **options))
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writers.append(writer)
            writer.write(f"GET /events HTTP/{version}\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n".encode())
            await reader.readuntil(b"\r\n\r\n")
            return made[-1], reader

        yield open_one
        for one in made:
            one.close(CloseCode.GOING_AWAY)
        for writer in writers:
            writer.close()


async def chunk(reader: asyncio.StreamReader) -> str:
    """The next chunk of an answer in chunks."""
    async with asyncio.timeout(5):
        size = int(await reader.readuntil(b"\r\n"), 16)
        return (await reader.readexactly(size + 2))[:-2].decode()


async def begun(one: EventStream) -> None:
    await until(one.sink.ready)


async def test_it_begins_with_an_id_and_each_event_has_its_own(opened: Open, world: World) -> None:
    one, reader = await opened()
    first = (await chunk(reader)).split("\n")
    assert first[0] == "retry: 3000"
    assert first[1].startswith("id: ")
    await begun(one)
    world.read(task(10))
    said = (await chunk(reader)).split("\n")
    assert said[0].startswith("id: ")
    assert said[0] != first[1]
    assert orjson.loads(said[1].removeprefix("data: "))["eventId"] == "e10"
    assert said[2:] == ["", ""]


async def test_what_comes_before_every_feed_has_begun_waits(opened: Open, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.01)
    world.owner.held = []
    one, reader = await opened()
    await chunk(reader)
    world.read(task(10), task(11))
    await until(lambda: world.owner.held)
    assert not one.sink.ready()
    world.owner.release()
    world.owner.held = None
    assert "e10" in await chunk(reader)
    assert "e11" in await chunk(reader)


async def test_an_old_client_gets_no_chunks(opened: Open, world: World) -> None:
    one, reader = await opened("1.0")
    async with asyncio.timeout(5):
        assert (await reader.readuntil(b"\n\n")).startswith(b"retry: 3000\nid: ")
        await begun(one)
        world.read(task(10))
        assert (await reader.readuntil(b"\n\n")).startswith(b"id: ")
        one.close(CloseCode.GOING_AWAY)
        assert await reader.read() == b": going away\n\n"


async def test_a_comment_keeps_it_open_and_the_id_goes_on_with_it(opened: Open, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.02)
    one, reader = await opened()
    await chunk(reader)
    await begun(one)
    world.log.append_other(3)
    said = [await chunk(reader) for _ in range(3)]
    assert sum(text.startswith(":\nid: ") for text in said) == 1
    assert {text for text in said if "id: " not in text} == {":\n\n"}


async def test_it_ends_whole_and_the_first_reason_stands(opened: Open) -> None:
    one, reader = await opened()
    await chunk(reader)
    assert one.sink.disconnect()
    assert not one.close(CloseCode.GOING_AWAY)
    assert await chunk(reader) == ": disconnected\n\n"
    async with asyncio.timeout(5):
        assert await reader.read() == b"0\r\n\r\n"


async def test_it_ends_with_its_token(opened: Open) -> None:
    _one, reader = await opened(close_at=time() + 0.05)
    said: list[str] = []
    while not said or not said[-1].startswith(": "):
        said.append(await chunk(reader))
    assert said[-1] == ": token expired\n\n"


async def test_an_owner_out_of_reach_ends_it_with_word_of_when_to_come_back(
    opened: Open, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "JOIN_SECONDS", 0.01)
    world.owner.refuse = 10_000
    _one, reader = await opened()
    async with asyncio.timeout(5):
        assert await reader.readexactly(len(OUT_OF_REACH)) == OUT_OF_REACH


async def test_an_owner_that_stays_out_of_reach_ends_it_later(opened: Open, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "OPEN_SECONDS", 0.01)
    monkeypatch.setattr(owners, "JOIN_SECONDS", 0.1)
    world.owner.refuse = 10_000
    _one, reader = await opened()
    assert (await chunk(reader)).startswith("retry: 3000\nid: ")
    assert await chunk(reader) == ": out of reach, come back\n\n"


async def test_a_client_that_went_is_seen(opened: Open, world: World) -> None:
    one, _reader = await opened()
    assert not one.sink.gone
    await begun(one)
    transport = one.sink._transport
    assert transport is not None
    transport.abort()

    def forgotten() -> bool:
        one.look()
        return not world.hub._listeners

    await until(forgotten)
