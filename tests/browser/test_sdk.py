"""The client for pages and programs: each test of sdk/*.test.js, run in the browser, with a socket and a clock that do what the test says."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

import web.pages

TESTS = Path(__file__).parent / "sdk"
SDK = web.pages.FOLDER / "sdk"
ORIGIN = "http://sdk.localhost"
_NAME = re.compile(r'^test\("([^"]+)"', re.MULTILINE)
CASES = [(file.name, name) for file in sorted(TESTS.glob("*.test.js")) for name in _NAME.findall(file.read_text(encoding="utf-8"))]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page with the module and its tests; no server is needed."""

    async def serve(route: Route) -> None:
        folder, _, name = route.request.url.removeprefix(ORIGIN + "/").partition("/")
        file = {"sdk": SDK, "tests": TESTS}.get(folder, TESTS) / name
        if file.suffix == ".js":
            await route.fulfill(path=file, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html><title>SDK</title>", content_type="text/html")

    context = await browser.new_context()
    await context.route(ORIGIN + "/**", serve)
    opened = await context.new_page()
    await opened.goto(ORIGIN + "/")
    yield opened
    await context.close()


async def test_every_test_is_found() -> None:
    written = sum(file.read_text(encoding="utf-8").count("\ntest(") for file in TESTS.glob("*.test.js"))
    assert len(CASES) == len(set(CASES)) == written > 90


@pytest.mark.parametrize(("file", "name"), CASES)
async def test_unit(page: Page, file: str, name: str) -> None:
    await page.evaluate(
        "async ([file, name]) => { await import(`/tests/${file}`); await (await import('/tests/harness.js')).run(name); }", [file, name]
    )
