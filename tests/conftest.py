"""What all suites share: one real broker for the whole session, and no silent skips in continuous integration."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from app.kafka.embedded_broker import EmbeddedKafka
from tests.ports import free_port

# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("teamcast", deadline=None)
hypothesis.settings.load_profile("teamcast")


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """An Apache Kafka of this session's own, started when the first test asks for it."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), free_port(2), say=lambda line: print(line, flush=True))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With CI=true, a test that cannot run has failed: a suite that skips itself says nothing."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} could not run, which fails when CI=true: {reason}"
    return report
