"""The mail suite: every test in it has a real broker, real workers and a real mail server."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.mail.sending import Fold
from tests.mail.server import MailServer
from tests.processes import Worker


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what lies in this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.kafka)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def one_server() -> AsyncIterator[MailServer]:
    """The mail server that tests share."""
    async with MailServer() as started:
        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def service(broker: EmbeddedKafka, one_server: MailServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """The notification service that tests share; each has users of its own."""
    async with mail_worker(broker, one_server, tmp_path_factory.mktemp("mail")) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def server(one_server: MailServer) -> MailServer:
    """A mail server that takes everything unless it is told otherwise, and has nothing of earlier tests."""
    one_server.fault = None
    one_server.mails.clear()
    one_server.tries.clear()
    return one_server


@pytest_asyncio.fixture(loop_scope="session")
async def fold(broker: EmbeddedKafka, service: Worker) -> AsyncIterator[Fold]:
    """Writes requests; the topics are there, since the service runs."""
    async with Fold(broker.bootstrap) as started:
        yield started


@pytest.fixture
def users() -> range:
    """Users of this test alone."""
    first = 1 + 1000 * next(_tests)
    return range(first, first + 1000)


_tests = itertools.count()


def mail_worker(broker: EmbeddedKafka, server: MailServer, folder: Path, **env: str) -> Worker:
    """A notification service of the group."""
    settings = {"SMTP_URL": server.url, "MAIL_FROM": "Teamcast <teamcast@example.org>", "PUBLIC_URL": "https://teamcast.example.org"}
    return Worker(broker.bootstrap, folder, app="notifications", env={**settings, "DRAIN_SECONDS": "1", "MAIL_TIMEOUT": "5", **env})
