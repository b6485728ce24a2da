"""A real worker answers as the OpenAPI document says, also to what it forbids: schemathesis asks, with every check that it has."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.kafka.embedded_broker import EmbeddedKafka
from tests.ports import free_port
from tests.processes import ROOT, Worker
from tests.tokens import SECRET
from web.openapi.document import OPERATIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN_TOKEN = "administrators-token-of-this-test"
LIMIT_SECONDS = 55.0
#: A stream that does not end, and an upgrade: they have tests of their own.
NOT_ASKED = ("/events", "/ws")


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of its own: some hundred teams with arbitrary ids are written, which would stand in the way of other tests."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), free_port(2))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


async def test_what_is_described_is_what_is_answered(broker: EmbeddedKafka, tmp_path: Path) -> None:
    env = {"JWT_SECRET": SECRET, "ADMIN_TOKEN": ADMIN_TOKEN, "HOST": "127.0.0.1"}
    async with Worker(broker.bootstrap, tmp_path, env=env) as worker:
        command = (
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{worker.url}/openapi.json"),
            *("--header", f"Authorization: Bearer {ADMIN_TOKEN}"),
            *("--checks", "all", "--continue-on-failure", "--max-examples", "4"),
            *("--generation-deterministic", "--workers", "2", "--no-color"),
            *(part for path in NOT_ASKED for part in ("--exclude-path", path)),
        )
        asking = await asyncio.create_subprocess_exec(
            *command,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.kafka.openapi_hooks"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                told = (await asking.communicate())[0].decode()
        finally:
            if asking.returncode is None:
                asking.kill()
                await asking.wait()
        assert asking.returncode == 0, told
        asked = sum(one.path not in NOT_ASKED for one in OPERATIONS)
        assert f"Tested: {asked}" in told, told
        assert " failed:" not in worker.log()
