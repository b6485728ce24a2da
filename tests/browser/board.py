"""The board as a person uses it, and as a test watches it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, ViewportSize, expect

#: How long what is expected may take, in milliseconds: a busy machine's time; what works takes a blink.
LIMIT_MS = 15_000
DESK = ViewportSize(width=1400, height=900)
PHONE = ViewportSize(width=360, height=740)
Theme = Literal["light", "dark"]
Key = int | Literal["me"]


@dataclass
class Board:
    """One person's page.

    Attributes:
        complaints: what the page said on its console as warning or error, and errors that nobody caught.
        expected: patterns of complaints that belong to what the test does.
        requests: every address that was asked for.
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note what the page says and asks for, from now on."""

        def on_console(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning"):
                self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

        def on_request(request: Request) -> None:
            self.requests.append(request.url)

        self.page.on("console", on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"uncaught: {error}"))
        self.page.on("request", on_request)
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))

    async def open(self, user_id: int | None = None, *, live: bool = True) -> None:
        """Go to a user's board, or to the choice of one."""
        await self.page.goto(self.url + ("/" if user_id is None else f"/?user={user_id}"))
        if user_id is not None and live:
            await self.live()

    async def live(self) -> None:
        """Wait until the page follows events."""
        await expect(self.page.get_by_test_id("connection")).to_have_attribute("data-state", "live")
        await expect(self.page.get_by_test_id("board")).to_have_attribute("data-synced", "true")

    # --- what is there

    def columns(self) -> Locator:
        return self.page.get_by_test_id("column")

    def column(self, key: Key) -> Locator:
        return self.page.locator(f'[data-testid="column"][data-team-id="{key}"]')

    def cards(self, key: Key) -> Locator:
        return self.column(key).get_by_test_id("task-card")

    def card(self, title: str) -> Locator:
        return self.page.get_by_test_id("task-card").filter(has=self.page.get_by_text(title, exact=True))

    def feed(self, kind: str) -> Locator:
        return self.page.locator(f'[data-testid="feed-row"][data-type="{kind}"]')

    def fault(self, form: str, name: str) -> Locator:
        return self.page.get_by_test_id(form).locator(f'[data-error-for="{name}"]')

    async def sees(self, title: str, *, count: int = 1) -> None:
        """Wait until a card with this title is there (or, with 0, is not)."""
        await expect(self.card(title)).to_have_count(count)

    async def has_columns(self, *keys: Key) -> None:
        """Wait until these are the columns, in any order."""
        for key in keys:
            await expect(self.column(key)).to_have_count(1)
        await expect(self.columns()).to_have_count(len(keys))

    # --- what people do

    async def create_task(self, key: Key, title: str, **fields: str) -> None:
        """By the form; returns when it has closed, which is when the event has come back."""
        await self.column(key).get_by_test_id("add-task").click()
        await self.fill_task(title=title, **fields)

    async def edit_task(self, title: str, /, **fields: str) -> None:
        """By the form of a card."""
        await self.card(title).locator('[data-action="edit"]').click()
        await self.fill_task(**fields)

    async def fill_task(self, **fields: str) -> None:
        """Fill the open form and send it."""
        form = self.page.get_by_test_id("task-form")
        for name, value in fields.items():
            control = form.locator(f'[name="{name}"]')
            if name in ("priority", "assigneeId"):
                await control.select_option(value)
            else:
                await control.fill(value)
        await self.page.get_by_test_id("task-submit").click()
        await expect(self.page.get_by_test_id("task-dialog")).to_be_hidden()

    async def toggle(self, title: str) -> None:
        await self.card(title).locator('[data-action="complete"]').click()

    async def delete_task(self, title: str) -> None:
        await self.card(title).hover()
        await self.card(title).locator('[data-action="delete"]').click()
        await self.page.get_by_test_id("confirm-yes").click()

    async def show_members(self, key: Key) -> None:
        await self.column(key).get_by_test_id("members-button").click()

    async def add_member(self, user_id: int, role: str = "member") -> None:
        """In the open list of members."""
        form = self.page.get_by_test_id("member-form")
        await form.locator('[name="userId"]').fill(str(user_id))
        await form.locator('[name="role"]').fill(role)
        await self.page.get_by_test_id("member-submit").click()
        await expect(self.member(user_id)).to_have_count(1)

    async def remove_member(self, user_id: int) -> None:
        await self.member(user_id).locator('[data-action="remove-member"]').click()
        await self.page.get_by_test_id("confirm-yes").click()

    def member(self, user_id: int) -> Locator:
        return self.page.locator(f'[data-testid="member"][data-user-id="{user_id}"]')

    async def create_team(self, name: str) -> int:
        """By the form; the new team's id."""
        await self.page.locator('[data-action="new-team"]').first.click()
        await self.page.get_by_test_id("team-form").locator('[name="name"]').fill(name)
        await self.page.get_by_test_id("team-submit").click()
        await expect(self.page.get_by_test_id("team-dialog")).to_be_hidden()
        column = self.columns().filter(has=self.page.get_by_role("heading", name=name, exact=True))
        await expect(column).to_have_count(1)
        return int(await column.get_attribute("data-team-id") or 0)

    # --- pictures

    async def picture(self, path: Path) -> None:
        """Keep what is seen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.page.screenshot(path=path)


class Boards:
    """Opens pages in contexts of their own, so that no two share anything."""

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self._url = url
        self._contexts: list[BrowserContext] = []
        self.opened: list[Board] = []

    async def blank(self, *, theme: Theme = "light", size: ViewportSize = DESK, script: str | None = None, touch: bool = False) -> Board:
        """A page that has not gone anywhere; `script` runs before any of the page's own."""
        context = await self._browser.new_context(
            viewport=size, color_scheme=theme, has_touch=touch, locale="en-GB", service_workers="block"
        )
        self._contexts.append(context)
        if script is not None:
            await context.add_init_script(script)
        board = Board(await context.new_page(), self._url)
        board.watch()
        self.opened.append(board)
        return board

    async def of(self, user_id: int, **options: object) -> Board:
        """A user's board, live."""
        board = await self.blank(**options)  # type: ignore[arg-type]
        await board.open(user_id)
        return board

    def assert_clean(self) -> None:
        """No page complained, and none asked another host for anything."""
        for board in self.opened:
            unexpected = [text for text in board.complaints if not any(re.search(pattern, text) for pattern in board.expected)]
            assert unexpected == []
            own = (board.url + "/", board.url.replace("http://", "ws://") + "/", "data:", "blob:" + board.url)
            assert [address for address in board.requests if not address.startswith(own)] == []

    async def keep_pictures(self, stem: Path) -> None:
        """Keep what every page looks like, and what it said, as <stem>-<n>.png and .txt."""
        for number, board in enumerate(self.opened, start=1):
            path = stem.with_name(f"{stem.name}-{number}.png")
            await board.picture(path)
            path.with_suffix(".txt").write_text("\n".join(board.complaints), encoding="utf-8")

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()
