"""The browser suite: a real Kafka, a real worker, a real Chromium. Every test in it is marked `browser`."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright, expect

from app.kafka.embedded_broker import EmbeddedKafka
from tests.browser import chromium
from tests.browser.artifacts import ARTIFACTS
from tests.browser.board import LIMIT_MS, Boards
from tests.kafka.services import Services
from tests.processes import Worker

_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in this folder; all of it shares one event loop, since the browser and the worker live longer than a test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note a failure for the fixture that then keeps what the pages look like."""
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it where nobody overlooks it."""
    skipped = terminalreporter.stats.get("skipped", [])
    if any(chromium.MISSING in str(report.longrepr) for report in skipped):
        terminalreporter.section("THE BOARD WAS NOT TESTED", sep="!", red=True, bold=True)
        terminalreporter.line(chromium.MISSING)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium; each test has contexts of its own in it."""
    path = chromium.executable()
    if path is None:
        pytest.skip(chromium.MISSING)
    expect.set_options(timeout=LIMIT_MS)
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=path, args=list(chromium.ARGUMENTS))
        yield started
        await started.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def worker(browser: Browser, broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """A worker that is ready; without a browser none is started."""
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def services(worker: Worker, broker: EmbeddedKafka) -> AsyncIterator[Services]:
    """Services that write events by plain Kafka; the topics are there."""
    async with Services(broker.bootstrap) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def boards(worker: Worker, browser: Browser, request: pytest.FixtureRequest) -> AsyncIterator[Boards]:
    """Pages, each a person's own. After the test none may have complained on its console, or asked another host for anything."""
    opened = Boards(browser, worker.url)
    yield opened
    try:
        if request.node.stash.get(_FAILED, False):
            await opened.keep_pictures(ARTIFACTS / "failed" / re.sub(r"\W+", "-", request.node.name))
        else:
            opened.assert_clean()
    finally:
        await opened.close()
