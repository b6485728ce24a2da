"""The page as a whole: what it looks like, what it may do, and how it bears a flood. Pictures and numbers are in test-artifacts/."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
from playwright.async_api import ViewportSize, expect

from app.kafka.embedded_broker import EmbeddedKafka
from tests.browser.artifacts import ARTIFACTS, keep
from tests.browser.board import DESK, PHONE, Boards, Theme
from tests.browser.simulator import simulate
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task, user
from tests.processes import Worker

#: Google's bound for "good" is 0.1 over a page's life; events shall move nothing at all, fonts and a scroll bar may a little.
LAYOUT_SHIFT = 0.05
SHIFTS = """
  window.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      if (!entry.hadRecentInput) window.shifts.push([entry.value, entry.sources.map((one) => one.node?.className ?? String(one.node))]);
    }
  }).observe({ type: "layout-shift", buffered: true });
"""
PACE = """
  window.pace = { frames: [], tasks: [] };
  new PerformanceObserver((list) => window.pace.tasks.push(...list.getEntries().map((one) => one.duration))).observe({ type: "longtask" });
  const next = (before) => requestAnimationFrame((now) => { window.pace.frames.push(now - before); next(now); });
  requestAnimationFrame((now) => next(now));
"""
FLOOD_SECONDS = 10
FLOOD_RATE = 300


async def test_nothing_shifts_while_events_arrive(broker: EmbeddedKafka, boards: Boards, worker: Worker, tmp_path: Path) -> None:
    await simulate(broker.bootstrap, tmp_path, "--seed", "1", "--once-setup")
    views: tuple[tuple[str, Theme, ViewportSize], ...] = (
        ("board-light", "light", DESK),
        ("board-dark", "dark", DESK),
        ("board-phone", "light", PHONE),
    )
    opened = []
    for _, theme, size in views:
        board = await boards.blank(theme=theme, size=size, touch=size == PHONE, script=SHIFTS)
        await board.open(1)
        opened.append(board)

    running = asyncio.create_task(simulate(broker.bootstrap, tmp_path, "--seed", "2", "--rate", "20", "--duration", "12"))
    try:
        for (name, _, _), board in zip(views, opened, strict=True):
            if name != "board-phone":
                await expect(board.page.get_by_test_id("feed-row").nth(190)).to_be_attached(timeout=60_000)
            await board.picture(ARTIFACTS / f"{name}.png")
    finally:
        await running

    measured = {}
    for (name, _, _), board in zip(views, opened, strict=True):
        shifts = await board.page.evaluate("window.shifts")
        measured[name] = {"total": sum(value for value, _ in shifts), "shifts": shifts}
    keep("layout-shift", measured)
    assert {name: one for name, one in measured.items() if one["total"] > LAYOUT_SHIFT} == {}


async def test_first_looks_are_kept(boards: Boards) -> None:
    themes: tuple[Theme, ...] = ("light", "dark")
    for theme in themes:
        board = await boards.blank(theme=theme)
        await board.open()
        await expect(board.page.get_by_test_id("picker")).to_be_visible()
        await board.picture(ARTIFACTS / f"first-look-{theme}.png")


async def test_every_file_of_the_page_forbids_strangers(worker: Worker, boards: Boards) -> None:
    board = await boards.blank()
    await board.open()
    await board.page.wait_for_load_state("networkidle")
    files = {address for address in board.requests if address.startswith(worker.url)}
    assert len(files) > 15

    async with aiohttp.ClientSession() as session:
        for address in files:
            async with session.get(address) as answer:
                policy = answer.headers.get("Content-Security-Policy", "")
                assert "default-src 'self'" in policy, address
                assert "unsafe" not in policy, address
                assert answer.headers.get("X-Content-Type-Options") == "nosniff", address
    # The policy is obeyed, not only said.
    blocked = await board.page.evaluate("fetch('http://example.org/').then(() => 'went out', (error) => error.name)")
    assert blocked == "TypeError"
    board.expected.append("Content Security Policy")
    board.requests = [address for address in board.requests if address != "http://example.org/"]


async def test_a_page_stays_usable_in_a_flood(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    await services.send("user.created", user(ada))
    tasks = [fresh() for _ in range(60)]
    for one in tasks:
        await services.send("task.created", task("task.created", team_id, one, ada, title="Quiet"))
    await team_with(worker, team_id, ada)
    board = await boards.blank(script=PACE)
    await board.open(ada)
    await expect(board.cards(team_id)).to_have_count(60)

    total = FLOOD_RATE * FLOOD_SECONDS
    answers = []

    async def flood() -> float:
        began = time.monotonic()
        waiting = set()
        for number in range(total):
            await asyncio.sleep(max(0.0, began + number / FLOOD_RATE - time.monotonic()))
            # A third moves its card, the rest changes it.
            one = tasks[number % 60]
            if number % 3 == 0:
                value = ("task.completed", task("task.completed", team_id, one, ada, completed=number // 60 % 2 == 0))
            else:
                value = ("task.updated", task("task.updated", team_id, one, ada, title=f"Change {number}"))
            # One partition a task, so that its changes keep their order.
            waiting.add(asyncio.create_task(services.send(*value, partition=one % 8)))
            waiting = {sent for sent in waiting if not sent.done()}
        await asyncio.gather(*waiting)
        return time.monotonic() - began

    before = int((await board.page.get_by_test_id("feed-total").inner_text()).split()[0].replace(",", ""))
    await board.page.evaluate("window.pace.frames.length = window.pace.tasks.length = 0")
    running = asyncio.create_task(flood())
    try:
        await expect(board.page.get_by_test_id("rate-value")).not_to_have_text("0")
        while not running.done():
            began = time.monotonic()
            await board.column(team_id).get_by_test_id("add-task").click()
            await expect(board.page.locator("#task-title")).to_be_focused()
            answers.append(time.monotonic() - began)
            await board.page.keyboard.press("Escape")
            await expect(board.page.get_by_test_id("task-dialog")).to_be_hidden()
    finally:
        seconds = await running
    sent_at = time.monotonic()
    await expect(board.page.get_by_test_id("feed-total")).to_have_text(f"{before + total:,} received", timeout=60_000)
    behind = time.monotonic() - sent_at
    pace = await board.page.evaluate("window.pace")
    await board.picture(ARTIFACTS / "flood.png")

    frames, answers = sorted(pace["frames"]), sorted(answers)
    keep(
        "flood",
        {
            "events": total,
            "events_per_second": round(total / seconds),
            "page_behind_the_last_acknowledged_event_seconds": round(behind, 3),
            "frames_per_second": round(1000 * len(frames) / sum(frames), 1),
            "frame_milliseconds_median_99th_longest": [round(frames[int(len(frames) * part)], 1) for part in (0.5, 0.99)]
            + [round(frames[-1], 1)],
            "tasks_over_50_milliseconds": len(pace["tasks"]),
            "longest_task_milliseconds": max(pace["tasks"], default=0),
            "dialogs_opened_meanwhile": len(answers),
            "dialog_open_seconds_median_longest": [round(answers[len(answers) // 2], 3), round(answers[-1], 3)],
        },
    )
    assert len(answers) > 1, "nothing could be done meanwhile"
    state = await team_with(worker, team_id, ada)
    shown = {
        int(key): (title, done == "true")
        for key, title, done in await board.cards(team_id).evaluate_all(
            "cards => cards.map(card => [card.dataset.taskId, card.querySelector('.card-title').textContent, card.dataset.completed])"
        )
    }
    assert shown == {one["taskId"]: (one["title"], bool(one["completed"])) for one in state["tasks"]}


async def test_an_address_with_a_team_begins_there(worker: Worker, boards: Boards, services: Services) -> None:
    """Links in mails lead to a team, which may stand far to the right."""
    owner = fresh()
    teams = sorted(fresh() for _ in range(5))
    for team_id in teams:
        await services.make_team(team_id, owner)
    for team_id in teams:
        await team_with(worker, team_id, owner)
    first, last = teams[0], teams[-1]
    board = await boards.blank(size=PHONE)
    await board.page.goto(f"{board.url}/?team={last}")
    await board.page.locator("#user-id").fill(str(owner))
    await board.page.locator("#user-id").press("Enter")
    await board.live()
    await expect(board.column(last)).to_have_attribute("aria-current", "true")
    await expect(board.column(last)).to_be_in_viewport(ratio=0.9)
    await expect(board.column(first)).not_to_be_in_viewport()
    await expect(board.page.locator(".column[aria-current]")).to_have_count(1)

    await board.page.goto(f"{board.url}/?user={owner}&team={fresh()}")
    await board.live()
    await expect(board.page.get_by_test_id("toast")).to_contain_text("You are not in team")
