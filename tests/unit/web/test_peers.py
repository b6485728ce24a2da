"""Peers: rows from whoever owns them, and one kind of error when nobody answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer, unused_port
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rows import Row, encode
from app.errors import Unavailable
from tables.seed import Seed
from web import peers
from web.peers import Peers, dump_seed, parse_seed

scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=5)
ranks = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5)
rows = st.builds(
    Row, st.dictionaries(st.sampled_from(["created", "seen"]), ranks), st.dictionaries(st.text(), st.tuples(ranks, values), max_size=3)
)
names = st.builds("{}/{}".format, st.sampled_from(["team", "member/4", "task/4", "task/user:7"]), st.integers(1, 2**53 - 1))


@given(
    st.integers(-1, 2**63 - 1),
    st.lists(st.tuples(names, rows.map(encode)), max_size=4),
    st.none() | st.tuples(st.integers(0, 2**63 - 1), st.text("0123456789abcdef", min_size=16, max_size=16)),
)
def test_a_seed_that_has_travelled_is_the_same(offset: int, found: list[tuple[str, bytes]], last: tuple[int, str] | None) -> None:
    seed = Seed(offset, found, *(last or ()))
    assert parse_seed(dump_seed(seed)) == seed


Answer = Callable[[web.Request], Awaitable[web.Response]]


class World:
    """This worker, which owns partition 0, and another, which owns the rest."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        self.asked: list[tuple[str, dict[str, str], str]] = []
        self.there: dict[str, str] = {}
        """Roles of the workers that are there, by URL."""
        self.settled = True
        self.url = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, dict(request.query), request.headers["Authorization"]))
        assert self.answer is not None
        return await self.answer(request)

    def peers(self, owner: str | None = None) -> Peers:
        table: Any = SimpleNamespace(owns=lambda _partition: False)
        cluster: Any = SimpleNamespace(
            owner=lambda _partition: self.url if owner is None else owner or None,
            workers=lambda: {url: SimpleNamespace(role=role) for url, role in self.there.items()},
            settled=self.settled,
        )
        return Peers(table, "http://127.0.0.1:1", "the-secret", cluster, {"team.events": 8})

    def says(self, body: bytes, status: int = 200) -> None:
        async def answer(_request: web.Request) -> web.Response:
            return web.Response(body=body, status=status)

        self.answer = answer


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", made.handle)
    async with TestServer(app, host="127.0.0.1") as server:
        made.url = str(server.make_url("")).rstrip("/")
        yield made


async def test_rows_come_from_their_owner_with_the_clusters_secret(world: World) -> None:
    seed = Seed(7, [("team/4", encode(Row({"seen": ""}, {})))], 5, "00000000000000ab")
    world.says(dump_seed(seed))
    asking = world.peers()
    assert await asking.seed("team:4", 3) == seed
    assert world.asked == [("/internal/seeds/team:4", {}, "Bearer the-secret")]
    await asking.close()


async def test_candidates_come_from_their_owner_up_to_an_offset(world: World) -> None:
    world.says(b"[4,42]")
    asking = world.peers()
    assert await asking.candidates(7, 99) == [4, 42]
    assert world.asked == [("/internal/candidates/7", {"upto": "99"}, "Bearer the-secret")]
    await asking.close()


@pytest.mark.parametrize("status", [404, 401, 500, 503])
async def test_an_owner_that_does_not_answer_with_200_is_out_of_reach(world: World, status: int) -> None:
    world.says(b"", status)
    asking = world.peers()
    with pytest.raises(Unavailable):
        await asking.seed("team:4", 3)
    with pytest.raises(Unavailable):
        await asking.candidates(7, 99)
    await asking.close()


@pytest.mark.parametrize("body", [b"", b"<html>", b"7 -1 \nteam/4", b"\xff"])
async def test_an_answer_that_is_none_is_out_of_reach_too(world: World, body: bytes) -> None:
    world.says(body)
    asking = world.peers()
    try:
        with pytest.raises(Unavailable):
            await asking.candidates(7, 99)
        if body[:1] != b"7":
            with pytest.raises(Unavailable):
                await asking.seed("team:4", 3)
    finally:
        await asking.close()


async def test_an_owner_that_is_not_there_is_out_of_reach(world: World) -> None:
    asking = world.peers(f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(Unavailable):
        await asking.seed("team:4", 3)
    await asking.close()


async def test_an_owner_that_hangs_is_out_of_reach_within_a_bound(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    world.answer = hang
    monkeypatch.setattr(peers, "ASK_SECONDS", 0.05)
    asking = world.peers()
    with pytest.raises(Unavailable):
        await asking.seed("team:4", 3)
    await asking.close()


@pytest.mark.parametrize("owner", ["", "http://127.0.0.1:1"])
async def test_a_partition_that_nobody_else_owns_now_is_out_of_reach_and_we_do_not_ask_ourselves(world: World, owner: str) -> None:
    asking = world.peers(owner)
    with pytest.raises(Unavailable):
        await asking.seed("team:4", 3)
    assert world.asked == []


# --- disconnecting


async def test_a_worker_is_told_to_end_a_users_connections_and_says_how_many_there_were(world: World) -> None:
    world.says(b'{"closed":3}')
    asking = world.peers()
    assert await asking.disconnect(world.url, 7) == 3
    assert world.asked == [("/internal/connections/7", {}, "Bearer the-secret")]
    await asking.close()


@pytest.mark.parametrize(("body", "status"), [(b"", 200), (b"[]", 200), (b"{}", 200), (b'{"closed":"x"}', 200), (b'{"closed":1}', 404)])
async def test_a_worker_that_does_not_say_how_many_there_were_is_out_of_reach(world: World, body: bytes, status: int) -> None:
    world.says(body, status)
    asking = world.peers()
    with pytest.raises(Unavailable):
        await asking.disconnect(world.url, 7)
    await asking.close()


async def test_a_worker_that_hangs_is_not_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def hang(_request: web.Request) -> web.Response:
        await asyncio.sleep(0.3)
        return web.Response()

    world.answer = hang
    monkeypatch.setattr(peers, "TELL_SECONDS", 0.05)
    asking = world.peers()
    with pytest.raises(Unavailable):
        await asking.disconnect(world.url, 7)
    await asking.close()


def test_gateways_have_sockets_too_and_pipelines_have_none(world: World) -> None:
    world.there = {"http://a": "gateway", "http://b": "pipeline", "http://c": "all", "http://127.0.0.1:1": "all"}
    assert world.peers().with_sockets() == ["http://a", "http://c"], "and this worker need not ask itself"


def test_a_worker_that_does_not_know_the_others_yet_says_so(world: World) -> None:
    world.settled = False
    with pytest.raises(Unavailable):
        world.peers().with_sockets()


# --- asking all


async def test_all_are_asked_at_once_and_those_that_do_not_answer_are_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    monkeypatch.setattr(peers, "ASK_ALL_SECONDS", 0.3)
    hanging = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        kind = request.path.split("/")[1]
        if kind == "hangs":
            await hanging.wait()
        return web.Response(body=b"<html>" if kind == "babbles" else b"[1]", status=500 if kind == "fails" else 200)

    world.answer = answer
    asking = world.peers()
    urls = [f"{world.url}/{kind}" for kind in ("answers", "hangs", "babbles", "fails")]

    found, unreachable = await asking.ask_all([*urls, f"http://127.0.0.1:{unused_port()}"], "/internal/cluster")

    assert found == {urls[0]: [1]}
    assert unreachable[:3] == urls[1:]
    assert len(unreachable) == 4
    hanging.set()
    await asking.close()
