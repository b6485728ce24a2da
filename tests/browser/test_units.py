"""The board's and the client's modules by themselves: each test of units/ and sdk/, run in the browser; no server is needed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route

from web.pages import FOLDER as PAGES

HERE = Path(__file__).parent
ORIGIN = "http://units.localhost"
_NAME = re.compile(r'^test\("([^"]+)"', re.MULTILINE)
FILES = sorted([*HERE.glob("sdk/*.test.js"), *HERE.glob("units/*.test.js")])
CASES = [(f"{file.parent.name}/{file.name}", name) for file in FILES for name in _NAME.findall(file.read_text(encoding="utf-8"))]


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """An empty page; the modules stand where a worker serves them, the tests in /tests."""

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(ORIGIN + "/")
        file = HERE / path.removeprefix("tests/") if path.startswith("tests/") else PAGES / path
        if file.suffix == ".js":
            await route.fulfill(path=file, content_type="text/javascript")
        else:
            await route.fulfill(body="<!doctype html><title>Units</title>", content_type="text/html")

    context = await browser.new_context()
    await context.route(ORIGIN + "/**", serve)
    opened = await context.new_page()
    await opened.goto(ORIGIN + "/")
    yield opened
    await context.close()


async def test_every_test_is_found() -> None:
    written = sum(file.read_text(encoding="utf-8").count("\ntest(") for file in FILES)
    assert len(CASES) == len(set(CASES)) == written > 100


async def test_the_types_name_what_the_module_has(page: Page) -> None:
    """No compiler runs here, so that what is written by hand in two places is compared by name."""
    types = (PAGES / "sdk" / "teamcast.d.ts").read_text(encoding="utf-8")
    found = await page.evaluate(
        """async () => {
          const module = await import("/sdk/teamcast.js");
          const own = (name) => Object.getOwnPropertyNames(module[name].prototype).filter((one) => one !== "constructor");
          const fields = Object.keys(new module.Stream(42));
          return { exports: Object.keys(module), Teamcast: own("Teamcast"), Stream: [...own("Stream"), ...fields] };
        }"""
    )
    assert sorted(re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE)) == sorted(found["exports"])
    for name in ("Teamcast", "Stream"):
        body = types.partition(f"export class {name} ")[2].partition("\n}")[0]
        named = set(re.findall(r"^  (?:readonly )?(\w+)[:(]", body, re.MULTILINE)) - {
            "constructor",
            "addEventListener",
            "removeEventListener",
        }
        assert named == set(found[name])


@pytest.mark.parametrize(("file", "name"), CASES)
async def test_unit(page: Page, file: str, name: str) -> None:
    await page.evaluate(
        "async ([file, name]) => { await import(`/tests/${file}`); await (await import('/tests/sdk/harness.js')).run(name); }", [file, name]
    )
