"""For eyes, ears and hands of every kind: axe-core finds nothing serious, and the keyboard alone is enough."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import pytest
from playwright.async_api import expect

from tests.browser.board import DESK, PHONE, Board, Boards, Theme
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task, user
from tests.processes import Worker

AXE = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
#: Resolves when nothing fades or glides any more; what breathes for ever is left out.
AT_REST = """
  Promise.all(document.getAnimations()
    .filter((one) => one.effect.getTiming().iterations !== Infinity)
    .map((one) => one.finished.catch(() => {})))
"""
SERIOUS = ("serious", "critical")
THEMES: tuple[Theme, ...] = ("light", "dark")


async def assert_accessible(board: Board, what: str) -> None:
    """No finding of axe-core is serious or critical."""
    if not await board.page.evaluate("'axe' in window"):
        await board.page.evaluate(AXE)
    # Colours are judged where they come to rest.
    await board.page.evaluate(AT_REST)
    result: dict[str, Any] = await board.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    assert result["passes"], "axe-core looked at nothing"
    found = [
        f"{what}: {one['id']} ({one['impact']}): {one['help']}: {[node['html'][:160] for node in one['nodes'][:3]]}"
        for one in result["violations"]
        if one["impact"] in SERIOUS
    ]
    assert found == []


async def a_busy_board(worker: Worker, services: Services) -> tuple[int, int]:
    """A team with tasks of every look; the team and its owner."""
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await services.send("user.created", user(ada, username="Ada"))
    await team_with(worker, team_id, ada, ben)
    for number, priority in enumerate(("urgent", "high", "medium", "low", "Blocker", 2, None)):
        value = task(
            "task.created", team_id, fresh(), ada, title=f"Task {number}", priority=priority, due="2020-01-01", completed=number > 4
        )
        await services.send("task.created", value | {"assigneeId": ben})
    await services.send("task.created", task("task.created", None, fresh(), ada, title="Mine", description="Alone", due="2031-01-01"))
    return team_id, ada


@pytest.mark.parametrize("theme", THEMES)
async def test_the_board_and_its_dialogs(worker: Worker, services: Services, boards: Boards, theme: Theme) -> None:
    team_id, ada = await a_busy_board(worker, services)
    board = await boards.of(ada, theme=theme)
    page = board.page
    await expect(board.cards(team_id)).to_have_count(7)
    await board.toggle("Task 0")
    await expect(board.card("Task 0")).to_have_attribute("data-completed", "true")
    await assert_accessible(board, "board")

    await board.feed("task.completed").first.click()
    await assert_accessible(board, "an event as received")
    await board.column(team_id).get_by_test_id("add-task").click()
    await page.get_by_test_id("task-submit").click()
    await assert_accessible(board, "task, with a fault")
    await page.keyboard.press("Escape")
    await board.show_members(team_id)
    await assert_accessible(board, "members")
    await page.keyboard.press("Escape")
    await page.locator('[data-action="new-team"]').click()
    await assert_accessible(board, "new team")
    await page.keyboard.press("Escape")
    await page.get_by_test_id("user-button").click()
    await assert_accessible(board, "switch user")
    await page.keyboard.press("Escape")
    await board.card("Task 1").hover()
    await board.card("Task 1").locator('[data-action="delete"]').click()
    await assert_accessible(board, "confirmation")


@pytest.mark.parametrize("theme", THEMES)
async def test_the_first_look_and_an_empty_board(boards: Boards, theme: Theme) -> None:
    board = await boards.blank(theme=theme)
    await board.open()
    await board.page.get_by_test_id("new-user-toggle").click()
    await assert_accessible(board, "choice of a user")
    await board.open(fresh())
    await assert_accessible(board, "empty board")


@pytest.mark.parametrize("theme", THEMES)
async def test_a_phone(worker: Worker, services: Services, boards: Boards, theme: Theme) -> None:
    team_id, ada = await a_busy_board(worker, services)
    board = await boards.of(ada, theme=theme, size=PHONE, touch=True)
    await expect(board.cards(team_id)).to_have_count(7)
    await assert_accessible(board, "board on a phone")
    await board.page.get_by_test_id("feed-toggle").click()
    await assert_accessible(board, "feed on a phone")
    assert await board.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the page is wider than the screen"


async def test_the_keyboard_alone_makes_and_completes_a_task(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    await services.send("user.created", user(ada))
    await team_with(worker, team_id, ada)
    board = await boards.of(ada, size=DESK)
    keyboard = board.page.keyboard

    async def tab_to(what: str) -> None:
        for _ in range(40):
            await keyboard.press("Tab")
            if await board.page.evaluate("what => document.activeElement.matches(what)", what):
                return
        raise AssertionError(f"40 presses of Tab did not reach {what}")

    await keyboard.press("Tab")
    await keyboard.press("Enter")  # past the header, to the board
    await tab_to(f'[data-team-id="{team_id}"] [data-testid="add-task"]')
    await keyboard.press("Enter")
    await expect(board.page.locator("#task-title")).to_be_focused()
    await keyboard.type("Without a mouse")
    await keyboard.press("Enter")
    await board.sees("Without a mouse")
    await expect(board.page.get_by_test_id("task-dialog")).to_be_hidden()
    # Closed, the dialog hands the focus back to where it was opened.
    await expect(board.column(team_id).get_by_test_id("add-task")).to_be_focused()

    await tab_to('[role="checkbox"]')
    await keyboard.press("Space")
    await expect(board.card("Without a mouse")).to_have_attribute("data-completed", "true")
    await expect(board.card("Without a mouse").get_by_role("checkbox")).to_be_focused()
    await expect(board.card("Without a mouse").get_by_role("checkbox")).to_be_checked()


async def test_arrow_keys_go_from_card_to_card(worker: Worker, services: Services, boards: Boards) -> None:
    _, ada = await a_busy_board(worker, services)
    board = await boards.of(ada)
    await board.sees("Mine")
    await board.card("Task 4").get_by_role("checkbox").focus()
    for key, title in (("ArrowDown", "Task 3"), ("End", "Task 5"), ("Home", "Task 4"), ("ArrowRight", "Mine"), ("ArrowLeft", "Task 4")):
        await board.page.keyboard.press(key)
        await expect(board.card(title).get_by_role("checkbox")).to_be_focused()
