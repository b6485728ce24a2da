"""The page's modules by themselves: each test of units/*.test.js, run in the browser against the modules that the worker serves."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from tests.processes import Worker

UNITS = Path(__file__).parent / "units"
_NAME = re.compile(r'^test\("([^"]+)"', re.MULTILINE)
CASES = [(file.name, name) for file in sorted(UNITS.glob("*.test.js")) for name in _NAME.findall(file.read_text(encoding="utf-8"))]


@pytest_asyncio.fixture(loop_scope="session")
async def page(worker: Worker, browser: Browser) -> AsyncIterator[Page]:
    """An empty page of the worker's own origin, with the tests beside the modules."""

    async def serve(route: Route) -> None:
        file = UNITS / route.request.url.rpartition("/")[2]
        if file.suffix == ".js":
            await route.fulfill(path=file, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html><title>Units</title>", content_type="text/html")

    context = await browser.new_context()
    await context.route(f"{worker.url}/units/*", serve)
    opened = await context.new_page()
    await opened.goto(f"{worker.url}/units/")
    yield opened
    await context.close()


@pytest.mark.parametrize(("file", "name"), CASES)
async def test_unit(page: Page, file: str, name: str) -> None:
    await page.evaluate(
        "async ([file, name]) => { await import(`/units/${file}`); await (await import('/units/harness.js')).run(name); }", [file, name]
    )
