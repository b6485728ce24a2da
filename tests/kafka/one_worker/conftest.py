"""One worker that all tests of this folder share; each has teams and users of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.services import Services
from tests.processes import Worker


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def worker(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Worker]:
    """A worker that is ready."""
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("one-worker")) as started:
        yield started


@pytest.fixture
async def services(worker: Worker, broker: EmbeddedKafka) -> AsyncIterator[Services]:
    """Producers of events; the topics are there."""
    async with Services(broker.bootstrap) as started:
        yield started
