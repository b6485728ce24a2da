"""The browser's own EventSource on GET /events: it comes back by itself, to any worker, and misses nothing and gets nothing twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from app.kafka.embedded_broker import EmbeddedKafka
from tests.browser.board import Board, Boards
from tests.chaos.proxy import Proxy
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.waiting import eventually
from tests.processes import Worker

AWAY = "ERR_CONNECTION_REFUSED|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_EMPTY_RESPONSE|ERR_CONNECTION_RESET"
LISTEN = """(address) => {
  const source = new EventSource(address);
  window.heard = { events: [], told: [], opened: 0, state: () => source.readyState };
  source.onopen = () => { window.heard.opened += 1; };
  source.onmessage = ({ data }) => window.heard.events.push(JSON.parse(data).eventId);
  const tell = ({ type, data }) => window.heard.told.push([type, JSON.parse(data).reason ?? null]);
  for (const name of ["gap", "snapshot"]) source.addEventListener(name, tell);
}"""
CONNECTING, OPEN = 0, 1
"""Values of EventSource.readyState."""
BACK_SECONDS = 60.0


async def heard(page: Page) -> dict[str, Any]:
    """What has come so far."""
    found: dict[str, Any] = await page.evaluate("({ ...window.heard, state: window.heard.state() })")
    return found


async def opens_again(page: Page, before: int) -> int:
    """Wait until it has opened once more; how often that was. At anything but 200 it would give up for good."""

    async def look() -> tuple[int, int]:
        found = await heard(page)
        assert found["state"] in (CONNECTING, OPEN), "EventSource gave up"
        return found["opened"], found["state"]

    # A worker that is not ready answers with streams that end at once, so that it may be more than once.
    return (await eventually(look, lambda found: found[0] > before and found[1] == OPEN, BACK_SECONDS))[0]


class Writer:
    """Writes events of one team, in an order that is known."""

    def __init__(self, services: Services, team_id: int, user_id: int) -> None:
        self._services, self._team_id, self._user_id = services, team_id, user_id
        self.sent: list[str] = []

    async def write(self, count: int) -> None:
        for _ in range(count):
            value = task("task.created", self._team_id, fresh(), self._user_id)
            self.sent.append((await self._services.send("task.created", value, partition=2)).event_id)

    async def arrives(self, page: Page) -> None:
        """Wait for the last; then everything is there, once and in order."""
        found = await eventually(lambda: heard(page), lambda found: self.sent[-1] in found["events"], BACK_SECONDS)
        assert found["events"] == self.sent
        assert found["told"] == []


async def test_it_comes_back_by_itself_to_a_worker_that_was_killed_or_stopped(worker: Worker, services: Services, boards: Boards) -> None:
    owner, team_id = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    board: Board = await boards.blank()
    await board.open()
    board.expected.append(AWAY)
    await board.page.evaluate(LISTEN, f"/events?userId={owner}")
    opened = await opens_again(board.page, 0)
    writer = Writer(services, team_id, owner)
    for killed in (True, False):
        await writer.write(5)
        await writer.arrives(board.page)
        await writer.write(5)  # some of these are on their way when it ends
        if killed:
            worker.kill()
        else:
            await worker.stop()
        try:
            await writer.write(20)
        finally:
            worker.start()
            await worker.wait_ready()
        opened = await opens_again(board.page, opened)
        await writer.write(5)
        await writer.arrives(board.page)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(browser: Browser, broker: EmbeddedKafka, worker: Worker, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """A second worker of the same group."""
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("other")) as started:
        yield started


async def test_it_comes_back_to_another_worker_where_it_was(worker: Worker, other: Worker, services: Services, boards: Boards) -> None:
    owner, team_id = fresh(), fresh()
    await services.make_team(team_id, owner)
    for one in (worker, other):
        await team_with(one, team_id, owner, limit=BACK_SECONDS)
    async with Proxy(worker.port) as balancer:
        board = await boards.blank()
        board.url = f"http://127.0.0.1:{balancer.port}"
        await board.open()
        board.expected.append(AWAY)
        await board.page.evaluate(LISTEN, f"/events?userId={owner}")
        opened = await opens_again(board.page, 0)
        writer = Writer(services, team_id, owner)
        for target in (other, worker, other):
            await writer.write(5)
            await writer.arrives(board.page)
            await writer.write(5)
            balancer.target = target.port
            balancer.reset()
            await writer.write(20)
            opened = await opens_again(board.page, opened)
            await writer.write(5)
            await writer.arrives(board.page)
