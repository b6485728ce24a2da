"""A system in which nothing has ever happened."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from app.kafka.embedded_broker import EmbeddedKafka
from tests.browser.board import Boards
from tests.ports import free_port
from tests.processes import Worker


@pytest.fixture(scope="module")
def empty_broker(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("empty-kafka"), free_port(2), say=lambda line: print(line, flush=True))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def worker(empty_broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """In place of the one that other modules share."""
    async with Worker(empty_broker.bootstrap, tmp_path_factory.mktemp("empty")) as started:
        yield started


async def test_a_user_and_a_team_are_made_from_nothing(boards: Boards) -> None:
    board = await boards.blank()
    await board.open()
    await expect(board.page.get_by_role("heading", name="Whose board is it?")).to_be_visible()

    await board.page.get_by_test_id("new-user-toggle").click()
    form = board.page.get_by_test_id("new-user-form")
    await form.locator('[name="userId"]').fill("4711")
    await form.locator('[name="username"]').fill("Ada")
    await form.locator('[name="email"]').fill("ada@example.org")
    await form.locator('[type="submit"]').click()
    await board.live()
    await expect(board.page.get_by_test_id("user-button")).to_contain_text("Ada")
    await expect(board.page.get_by_test_id("welcome")).to_be_visible()

    team_id = await board.create_team("Pioneers")
    await expect(board.page.get_by_test_id("welcome")).to_be_hidden()
    await board.create_task(team_id, "The first of all tasks")
    await board.sees("The first of all tasks")

    # A second person, who does not exist as a user yet, is added and sees it all.
    await board.show_members(team_id)
    await board.add_member(4712)
    other = await boards.of(4712)
    await other.has_columns("me", team_id)
    await other.sees("The first of all tasks")
    await expect(other.column(team_id).get_by_test_id("column-name")).to_have_text("Pioneers")
