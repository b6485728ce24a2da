"""What is refused is said where it was typed."""

from __future__ import annotations

import re

from playwright.async_api import expect

from tests.browser.board import Boards
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services
from tests.processes import Worker

BAD_REQUEST = "400 .*/api/events/"


async def test_a_bad_address_is_shown_at_the_address(boards: Boards) -> None:
    board = await boards.blank()
    await board.open()
    board.expected.append(BAD_REQUEST)
    await board.page.get_by_test_id("new-user-toggle").click()
    form = board.page.get_by_test_id("new-user-form")

    await form.locator('[name="email"]').fill("nobody")
    await form.locator('[type="submit"]').click()

    await expect(board.fault("new-user-form", "email")).not_to_be_empty()
    await expect(form.locator('[name="email"]')).to_have_attribute("aria-invalid", "true")
    await expect(form.locator('[name="email"]')).to_be_focused()
    await expect(board.fault("new-user-form", "username")).to_be_empty()
    await expect(board.page).to_have_url(re.compile(r"/$"))


async def test_a_bad_role_is_shown_at_the_role_and_goes_with_a_good_one(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)
    board.expected.append(BAD_REQUEST)
    await board.show_members(team_id)
    form = board.page.get_by_test_id("member-form")

    await form.locator('[name="userId"]').fill(str(ben))
    await form.locator('[name="role"]').fill("r" * 65)
    await board.page.get_by_test_id("member-submit").click()
    await expect(board.fault("member-form", "role")).not_to_be_empty()
    await expect(form.locator('[name="role"]')).to_have_attribute("aria-invalid", "true")

    await board.add_member(ben, "lead")
    await expect(board.fault("member-form", "role")).to_be_empty()


async def test_what_the_page_can_tell_by_itself_is_not_sent(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)
    for number in ("0", "-1", "1.5", "x", str(2**53)):
        await board.show_members(team_id)
        await board.page.get_by_test_id("member-form").locator('[name="userId"]').fill(number)
        await board.page.get_by_test_id("member-submit").click()
        await expect(board.fault("member-form", "userId")).not_to_be_empty()
        await board.page.keyboard.press("Escape")
    await board.column(team_id).get_by_test_id("add-task").click()
    await board.page.get_by_test_id("task-submit").click()
    await expect(board.fault("task-form", "title")).to_have_text("Give it a title.")

    assert not [address for address in board.requests if "/api/events/" in address]


async def test_an_event_that_is_too_large_is_said_in_the_form(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)
    board.expected.append("413 .*/api/events/")
    await board.column(team_id).get_by_test_id("add-task").click()
    form = board.page.get_by_test_id("task-form")
    await form.locator('[name="title"]').fill("A novel")
    await form.locator('[name="description"]').fill("x" * 600_000)

    await board.page.get_by_test_id("task-submit").click()

    await expect(board.fault("task-form", "")).not_to_be_empty()
    await expect(board.page.get_by_test_id("task-dialog")).to_be_visible()
    await board.sees("A novel", count=0)
