"""The operations page: what it shows of a real system, and what can be done from it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from app.kafka.embedded_broker import EmbeddedKafka
from tests.browser.board import DESK, PHONE, Board, Boards, Theme
from tests.browser.test_accessibility import THEMES, assert_accessible
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import Worker
from tests.tokens import SECRET

ADMIN_TOKEN = "administrators-token-of-this-test"
#: A rate is there with the second sample, five seconds after the first.
FIGURES_MS = 40_000


async def operations(boards: Boards, view: str = "", **options: object) -> Page:
    """The page, at one of its views."""
    board = await boards.blank(**options)  # type: ignore[arg-type]
    await board.page.goto(f"{board.url}/ops#/{view}")
    return board.page


async def a_letter(worker: Worker, services: Services, value: bytes) -> str:
    """A record that is no event, once its dead letter is there."""
    sent = await services.send("task.created", value)
    name = f"{sent.topic}-{sent.partition}-{sent.offset}"
    await eventually(lambda: worker.request("GET", f"/api/deadletters/{name}", timeout=30), lambda found: found[0] == 200)
    return name


async def a_team(worker: Worker, services: Services) -> tuple[int, int, int]:
    """A team with one task: team, owner, task."""
    team_id, ada, task_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    # One after the other: the topics are read beside each other, so an update sent at once may come first.
    await services.send("task.created", task("task.created", team_id, task_id, ada, title="First"), partition=1)
    await history_of(worker, team_id, 2)
    await services.send("task.updated", task("task.updated", team_id, task_id, ada, title="Second"), partition=1)
    await history_of(worker, team_id, 3)
    return team_id, ada, task_id


async def history_of(worker: Worker, team_id: int, events: int) -> None:
    """Wait until a team's history has so many events."""
    await eventually(lambda: worker.request("GET", f"/api/history/{team_id}", timeout=30), lambda found: found[1].get("total") == events)


async def test_figures_charts_partitions_and_hot_teams_of_a_real_worker(worker: Worker, services: Services, boards: Boards) -> None:
    page = await operations(boards)
    team_id, ada, _ = await a_team(worker, services)
    await (await boards.of(ada)).live()

    await expect(page.get_by_test_id("figure-flow")).not_to_have_text(re.compile(r"^(–|0)$"), timeout=FIGURES_MS)
    await expect(page.get_by_test_id("figure-connections")).not_to_have_text(re.compile(r"^(–|0)$"), timeout=FIGURES_MS)
    for name in ("flow", "lag", "connections"):
        card = page.get_by_test_id(f"chart-{name}")
        await expect(card.locator("canvas")).to_be_visible()
        await expect(card.locator(".legend li").first).not_to_be_empty()
    rows = page.get_by_test_id("partitions").locator("tbody tr")
    await expect(rows).to_have_count(8)
    await expect(rows.first).to_contain_text(worker.url.removeprefix("http://"))
    await expect(rows.first).to_contain_text("7.0 d")
    await expect(page.get_by_test_id("workers")).to_contain_text("Answers")
    await expect(page.get_by_test_id("groups").locator('tr[data-key="realtime-service"]')).to_contain_text("1")
    hot = page.get_by_test_id("hot").get_by_role("link", name=str(team_id))
    await expect(hot).to_be_visible(timeout=FIGURES_MS)
    await hot.click()
    await expect(page.get_by_test_id("team-note")).to_contain_text("3 events")


async def test_the_lines_of_a_chart_move_on(worker: Worker, services: Services, boards: Boards) -> None:
    page = await operations(boards)
    plot = page.get_by_test_id("chart-lag").get_by_role("img")
    await expect(plot).to_have_attribute("aria-label", re.compile(r"team\.events: \d"))
    points = "document.querySelector('#chart-lag canvas').toDataURL()"
    before = await page.evaluate(points)
    await page.wait_for_function(f"before => {points} !== before", arg=before)


async def test_rows_are_found_by_a_prefix_and_told_whole(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, task_id = await a_team(worker, services)
    page = await operations(boards, "tables/tasks")

    await page.get_by_test_id("prefix").fill(f"{team_id}/")
    rows = page.get_by_test_id("row")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Second")
    await rows.get_by_role("button").press("Enter")
    assert json.loads(await page.get_by_test_id("row-text").inner_text())["creatorId"] == ada

    await page.get_by_test_id("prefix").fill("999999999999999/")
    await expect(page.get_by_test_id("rows-empty")).to_have_text("No key begins with 999999999999999/.")
    await page.get_by_test_id("prefix").fill(f"{team_id}/{task_id}")
    await rows.get_by_role("button").click()
    await page.get_by_test_id("row-history").click()
    await expect(page.get_by_test_id("event")).to_have_count(3)


async def test_a_teams_history_is_stepped_through(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, _ = await a_team(worker, services)
    page = await operations(boards, f"teams/{team_id}")
    state, tasks = page.get_by_test_id("team-state"), page.get_by_test_id("state-task")

    await expect(page.get_by_test_id("step-note")).to_have_text("3 of 3")
    await expect(tasks).to_contain_text("Second")
    await expect(tasks).to_have_attribute("data-mark", "changed")
    assert json.loads(await page.get_by_test_id("event-text").inner_text())["position"]
    await page.get_by_test_id("step-back").click()
    await expect(tasks).to_contain_text("First")
    await expect(tasks).to_have_attribute("data-mark", "new")
    await page.get_by_test_id("events").locator("[aria-current] button").press("ArrowUp")
    await expect(tasks).to_have_count(0)
    await expect(page.get_by_test_id("step-note")).to_have_text("1 of 3")
    await page.get_by_test_id("step-first").click()
    await expect(state).to_contain_text("Not there yet")
    await page.get_by_test_id("step").press("ArrowRight")
    await expect(state).to_contain_text(f"{ada} owner")


async def test_a_dead_letter_is_mended_and_ends_in_the_table(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, _ = await a_team(worker, services)
    task_id = fresh()
    broken = f'{{"taskId": "{task_id}", "teamId": {team_id}, "actorId": {ada}, "creatorId": {ada}, "payload": {{"title": "Mended"}}}}'
    letter = await a_letter(worker, services, broken.encode())
    board = await boards.blank()
    board.expected.append("status of 400")
    page = board.page
    await page.goto(f"{board.url}/ops#/letters")
    await page.locator(f'[data-letter="{letter}"] a').click()

    await expect(page.get_by_test_id("letter-error")).to_contain_text("taskId")
    await expect(page.get_by_test_id("letter-text")).to_have_value(broken)
    await expect(page.get_by_test_id("letter-hex")).to_contain_text('000000  7b 22 74 61 73 6b 49 64  {"taskId')
    await page.get_by_test_id("letter-text").fill("{}")
    await page.get_by_test_id("letter-replay").click()
    await page.get_by_test_id("confirm-yes").click()
    await expect(page.get_by_test_id("letter-fault")).to_contain_text("taskId")

    await page.get_by_test_id("letter-text").fill(broken.replace(f'"{task_id}"', str(task_id)))
    await page.get_by_test_id("letter-replay").click()
    await page.get_by_test_id("confirm-yes").click()
    await expect(page.get_by_test_id("letter-trail")).to_contain_text("Replayed, edited,")
    await expect(page.get_by_test_id("letter-state")).to_have_text("replayed")

    await page.goto(f"{board.url}/ops#/tables/tasks/{team_id}%2F{task_id}")
    await expect(page.get_by_test_id("row")).to_contain_text("Mended")


async def test_a_letter_is_discarded_with_a_reason(worker: Worker, services: Services, boards: Boards) -> None:
    letter = await a_letter(worker, services, b"\xff\x00<b>not text</b>")
    page = await operations(boards, f"letters/{letter}")
    await expect(page.get_by_test_id("letter-text")).to_have_value("\\xff\\x00<b>not text</b>")
    await page.get_by_test_id("letter-discard").click()
    await page.locator("#confirm-reason").fill("A test of the shop")
    await page.get_by_test_id("confirm-yes").click()
    await expect(page.get_by_test_id("letter-trail")).to_contain_text("A test of the shop")
    await expect(page.locator(f'[data-letter="{letter}"]')).to_have_count(0)  # it is not open any more


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("theme", THEMES)
async def test_nothing_serious_for_eyes_ears_and_hands(
    worker: Worker, services: Services, boards: Boards, theme: Theme, size: object
) -> None:
    team_id, _, _ = await a_team(worker, services)
    letter = await a_letter(worker, services, b"hello")
    board = await boards.blank(theme=theme, size=size)  # type: ignore[arg-type]
    page = board.page

    async def look(view: str, ready: str) -> None:
        await page.goto(f"{board.url}/ops#/{view}")
        await expect(page.locator(ready).first).to_be_visible()
        await assert_accessible(board, view or "overview")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{view} is wider than the screen"

    await look("", '#overview[data-loaded] [data-testid="partitions"] tbody tr')
    await look(f"tables/tasks/{team_id}%2F", '[data-testid="row"]')
    await page.get_by_test_id("row").get_by_role("button").click()
    await assert_accessible(board, "one row")
    await look(f"teams/{team_id}", '[data-testid="event"]')
    await look(f"letters/{letter}", '[data-testid="letter"]')
    await page.get_by_test_id("letter-discard").click()
    await assert_accessible(board, "discarding")


async def test_the_keyboard_alone_leads_to_a_letter(worker: Worker, services: Services, boards: Boards) -> None:
    letter = await a_letter(worker, services, b"by keyboard")
    page = await operations(boards)
    await page.get_by_test_id("tab-letters").focus()
    await page.keyboard.press("Enter")
    row = page.locator(f'[data-letter="{letter}"] a')
    await row.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("letter-text")).to_have_value("by keyboard")


# --- a system of its own: with authentication, and with a worker that goes


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Workers of it come and go without those of other tests."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("operations-kafka"), free_port(2))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def guarded(own_broker: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[tuple[Worker, Worker]]:
    """A gateway, which serves the page, and a worker that does the work; both ask for tokens."""
    env = {"JWT_SECRET": SECRET, "ADMIN_TOKEN": ADMIN_TOKEN, "HOST": "127.0.0.1", "CLUSTER_SECRET": "of-this-test-and-no-other"}
    async with (
        Worker(own_broker.bootstrap, tmp_path, env=env) as working,
        Worker(own_broker.bootstrap, tmp_path, env=env | {"ROLE": "gateway"}) as gateway,
    ):
        yield working, gateway


async def test_a_token_is_asked_for_and_a_stopped_consumer_is_seen(
    guarded: tuple[Worker, Worker], own_broker: EmbeddedKafka, boards: Boards
) -> None:
    working, gateway = guarded
    board: Board = await boards.blank()
    board.expected += ["status of 401", "status of 503"]
    board.url = gateway.url
    page = board.page
    await page.goto(f"{gateway.url}/ops")
    await page.locator("#token").fill("not-the-token")
    await page.get_by_role("button", name="Show operations").click()
    await expect(page.get_by_test_id("token-form")).to_contain_text("This token is not good")
    await expect(page.get_by_test_id("overview")).to_be_hidden()
    await assert_accessible(board, "sign-in")
    await page.locator("#token").fill(ADMIN_TOKEN)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("all-well")).to_be_visible(timeout=FIGURES_MS)
    assert await page.evaluate("[sessionStorage.length, localStorage.length]") == [1, 0]

    await working.stop()
    async with Services(own_broker.bootstrap) as services:
        await services.send("task.created", task("task.created", 42, 1, 7, title="Nobody reads this"))

    await expect(page.get_by_test_id("findings")).to_contain_text("Nobody reads", timeout=FIGURES_MS)
    await expect(page.get_by_test_id("findings")).to_contain_text("1 record")
    await expect(page.get_by_test_id("groups").locator('tr[data-key="realtime-service"] td').nth(1)).to_have_attribute("data-level", "bad")
    await expect(page.get_by_test_id("partitions").locator("tbody tr").first).to_contain_text("nobody")

    await page.get_by_test_id("sign-out").click()
    await expect(page.get_by_test_id("sign-in")).to_be_visible()
    assert await page.evaluate("sessionStorage.length") == 0
