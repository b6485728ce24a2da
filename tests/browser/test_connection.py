"""What the page does when its connection goes."""

from __future__ import annotations

import asyncio

from playwright.async_api import expect

from tests.browser.artifacts import ARTIFACTS
from tests.browser.board import Boards
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, member, task
from tests.processes import Worker

#: What a browser says of a server that is not there.
AWAY = "WebSocket connection to|ERR_CONNECTION_REFUSED|503"
#: The page's socket without its user, which the page itself never opens: the refusal is the server's own.
WITHOUT_USER = """
  window.WebSocket = class extends WebSocket {
    constructor(url, protocols) {
      const bare = new URL(url);
      if (!window.withUser) bare.searchParams.delete("userId");
      super(bare, protocols);
    }
  };
"""


async def test_the_page_comes_back_by_itself_and_shows_what_happened_meanwhile(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, other_team, ada, ben, task_id = fresh(), fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await services.make_team(other_team, ben)
    await team_with(worker, team_id, ada)
    await team_with(worker, other_team, ben)
    await services.send("task.created", task("task.created", team_id, task_id, ada, title="Before", completed=False))
    await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Goes"))
    board = await boards.of(ada)
    board.expected.append(AWAY)
    await board.sees("Before")
    await board.sees("Goes")
    doomed = int(await board.card("Goes").get_attribute("data-task-id") or 0)

    await worker.stop()
    try:
        pill = board.page.get_by_test_id("connection")
        await expect(pill).not_to_have_attribute("data-state", "live")
        await expect(board.page.get_by_test_id("board")).to_have_attribute("data-synced", "false")
        await board.sees("Before")  # what was there stays readable
        await services.send("task.completed", task("task.completed", team_id, task_id, ada, completed=True))
        await services.send("task.deleted", task("task.deleted", team_id, doomed, ada))
        await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Meanwhile"))
        await services.send("team.member_added", member("team.member_added", other_team, ada, ben))
    finally:
        worker.start()
        await worker.wait_ready()
    await expect(pill).to_have_attribute("data-state", "live", timeout=60_000)

    await board.sees("Meanwhile")
    await board.sees("Goes", count=0)
    await expect(board.card("Before")).to_have_attribute("data-completed", "true")
    await board.has_columns("me", team_id, other_team)
    await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Afterwards"))
    await board.sees("Afterwards")


async def test_a_user_that_the_server_refuses_stops_the_page_and_says_why(boards: Boards) -> None:
    ada = fresh()
    for theme in ("light", "dark"):
        board = await boards.blank(theme=theme, script=WITHOUT_USER)
        await board.open(ada, live=False)
        pill = board.page.get_by_test_id("connection")
        await expect(pill).to_have_attribute("data-state", "stopped")
        await expect(board.page.get_by_test_id("toast")).to_contain_text("does not accept this user")
        await expect(board.page.get_by_test_id("announcer")).to_contain_text("Stopped")
        await board.picture(ARTIFACTS / f"stopped-{theme}.png")

        await board.page.get_by_test_id("toast").get_by_role("button", name="Choose a user").click()
        await expect(board.page.get_by_test_id("picker-dialog")).to_be_visible()
        await board.page.keyboard.press("Escape")

    opened = sum("/ws" in address for address in board.requests)
    await asyncio.sleep(1.5)  # longer than the first two steps of the back-off: nothing may come
    assert sum("/ws" in address for address in board.requests) == opened == 1
    await board.page.evaluate("window.withUser = true")
    await pill.click()
    await board.live()
