"""The client against a real worker: nothing is lost or repeated, and what it holds is what the server has."""

from __future__ import annotations

import asyncio
import operator
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page

from app.kafka.embedded_broker import EmbeddedKafka
from tests.browser.board import Boards
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, member, task
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import Worker
from tests.tokens import SECRET, claims, hs256

FOLLOW = (Path(__file__).parent / "follow.js").read_text(encoding="utf-8")
AWAY = "WebSocket connection to|ERR_CONNECTION_REFUSED|503"


async def follow(page: Page, options: dict[str, Any], teams: Any, module: str = "/sdk/teamcast.js") -> Any:
    """Start a client in a page; what its subscribe brought."""
    return await page.evaluate(FOLLOW, [module, options, teams])


async def look(page: Page) -> dict[str, Any]:
    """What the client has told so far."""
    found: dict[str, Any] = await page.evaluate("window.followed.look()")
    return found


async def until_read(page: Page, event_id: str, limit: float = 60.0) -> dict[str, Any]:
    """What the client has told, once an event has come by its iterator, and all is here."""
    return await eventually(lambda: look(page), lambda found: found["synced"] and event_id in found["read"], limit)


async def blank(boards: Boards) -> Page:
    """A page of the worker's own origin that follows nothing yet."""
    board = await boards.blank()
    await board.open()
    board.expected.append(AWAY)
    return board.page


async def test_a_worker_that_is_killed_and_comes_back_costs_no_event_and_repeats_none(
    worker: Worker, services: Services, boards: Boards
) -> None:
    ada, ben, team_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    page = await blank(boards)
    answer = await follow(page, {"userId": ada}, "all")
    assert set(answer["positions"]) == {str(team_id), "me"}
    sent: list[str] = []

    async def send(count: int) -> None:
        for number in range(count):
            # One partition, so that their order is known.
            value = task("task.created", team_id, fresh(), ben, title=f"Number {len(sent)}", priority=number)
            sent.append((await services.send("task.created", value, partition=3)).event_id)

    await send(40)
    await until_read(page, sent[-1])
    for _ in range(2):
        await send(10)  # some of these are on their way when it dies
        worker.kill()
        try:
            await eventually(lambda: look(page), lambda found: found["states"][-1][0] == "reconnecting")
            await send(40)
        finally:
            worker.start()
            await worker.wait_ready()
        await send(10)
        await until_read(page, sent[-1])

    found = await look(page)
    events = [(event_id, position) for key, event_id, position in found["events"] if key == team_id]
    assert [event_id for event_id, _ in events] == sent
    assert [position for _, position in events] == sorted({position for _, position in events})
    assert [one for one in found["read"] if one in sent] == sent
    assert (found["gaps"], found["snapshots"].count(team_id), found["errors"]) == ([], 1, [])
    assert sum(state == "connected" for state, _ in found["states"]) == 3
    state = await team_with(worker, team_id, ada, ben)
    shown = await page.evaluate("key => window.followed.team(key)", team_id)
    assert shown == {name: state[name] for name in ("teamId", "team", "members", "tasks", "position")}


async def test_a_list_begins_when_its_user_joins_and_ends_when_they_are_removed(worker: Worker, services: Services, boards: Boards) -> None:
    ada, ben, team_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Before"))
    await team_with(worker, team_id, ada)
    page = await blank(boards)
    assert await follow(page, {"userId": ben}, [team_id]) == "not_member"

    async def come_and_gone() -> tuple[int, int]:
        found = await look(page)
        return found["snapshots"].count(team_id) * found["synced"], found["left"].count([team_id, "removed"])

    for count in range(2):
        await services.send("team.member_added", member("team.member_added", team_id, ben, ada))
        await eventually(come_and_gone, partial(operator.eq, (count + 1, count)))
        shown = await page.evaluate("key => window.followed.team(key)", team_id)
        assert [one["title"] for one in shown["tasks"]] == ["Before"]
        await services.send("team.member_removed", member("team.member_removed", team_id, ben, ada))
        await eventually(come_and_gone, partial(operator.eq, (count + 1, count + 1)))
        assert await page.evaluate("key => window.followed.team(key)", team_id) is None


async def test_a_feed_goes_on_from_positions_that_another_one_kept(worker: Worker, services: Services, boards: Boards) -> None:
    ada, team_id = fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)

    async def write(title: str) -> str:
        return (await services.send("task.created", task("task.created", team_id, fresh(), ada, title=title), partition=1)).event_id

    first = await blank(boards)
    await follow(first, {"userId": ada, "snapshot": False}, [team_id])
    seen = await write("While it runs")
    positions = (await until_read(first, seen))["positions"]
    await first.evaluate("window.followed.client.close()")
    missed = [await write("Missed"), await write("Missed too")]

    second = await blank(boards)
    await follow(second, {"userId": ada, "snapshot": False, "since": positions}, [team_id])
    live = await write("Live")
    found = await until_read(second, live)

    assert found["read"] == [*missed, live]
    assert (found["gaps"], found["snapshots"]) == ([], [])


# --- a page of another site, and tokens


@dataclass(slots=True, frozen=True)
class Sites:
    """Servers of empty pages; `localhost` is another host than the worker's 127.0.0.1.

    Attributes:
        allowed: the origin whose pages may use the guarded worker.
        foreign: one whose pages may not.
    """

    allowed: str
    foreign: str


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sites() -> AsyncIterator[Sites]:
    """Real servers: a browser lets no page of the internet speak to this machine, and takes a made-up one for such."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>Site</title>", content_type="text/html")

    application = web.Application()
    application.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    ports = [free_port(), free_port()]
    for port in ports:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    yield Sites(*(f"http://localhost:{port}" for port in ports))
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def guarded(sites: Sites, broker: EmbeddedKafka, browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """A worker with authentication, and one site whose pages may use it."""
    env = {"JWT_SECRET": SECRET, "ALLOWED_ORIGINS": sites.allowed}
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("guarded"), env=env) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page that has not gone anywhere."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


async def test_a_page_of_an_allowed_site_loads_it_and_renews_its_token_in_time(guarded: Worker, sites: Sites, page: Page) -> None:
    ada = fresh()
    await page.goto(sites.allowed)
    asked: list[str] = []

    def new_token(reason: str) -> str:
        asked.append(reason)
        now = time.time()
        return hs256(claims(ada, now=now, exp=int(now) + 9, jti=str(len(asked))))

    await page.expose_function("newToken", new_token)
    answer = await follow(page, {"url": guarded.url}, "all", guarded.url + "/sdk/teamcast.js")
    assert list(answer["positions"]) == ["me"]
    # The third comes only when the server took the second.
    await eventually(lambda: asyncio.sleep(0, asked), lambda found: found == ["connect", "refresh", "refresh"], 30)
    found = await look(page)
    assert (found["userId"], found["errors"], found["states"]) == (ada, [], [["connecting", None], ["connected", None]])


async def test_a_page_of_another_site_cannot_load_it(guarded: Worker, sites: Sites, page: Page) -> None:
    await page.goto(sites.foreign)
    outcome = await page.evaluate("url => import(url).then(() => 'loaded', (error) => error.name)", guarded.url + "/sdk/teamcast.js")
    assert outcome == "TypeError"


async def test_a_bad_token_stops_it(guarded: Worker, sites: Sites, page: Page) -> None:
    forged = hs256(claims(7, now=time.time()), secret="not this server's, and long enough")
    await page.goto(sites.allowed)
    await page.expose_function("newToken", lambda _reason: forged)
    assert await follow(page, {"url": guarded.url}, "all", guarded.url + "/sdk/teamcast.js") == "unauthenticated"
    assert (await look(page))["states"] == [["connecting", None], ["stopped", 4501]]
