"""A real worker answers as the OpenAPI document says, also to what it forbids: schemathesis asks, with every check that it has."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from app.domain.topics import SOURCE_TOPICS
from app.kafka.embedded_broker import EmbeddedKafka
from tests.ports import free_port
from tests.processes import ROOT, Worker
from tests.tokens import SECRET
from web.openapi.document import OPERATIONS

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN_TOKEN = "administrators-token-of-this-test"
#: It takes some 15 s; several times that where the machine has much else to do.
LIMIT_SECONDS = 90.0
#: One topic a family: the others of it take the same bodies, which would take the same time again.
TOPICS = ("task.updated", "team.created", "team.member_role_updated", "user.created")
#: A stream that does not end and an upgrade have tests of their own.
NOT_ASKED = ("/events", "/ws", *(f"/api/events/{topic}" for topic in SOURCE_TOPICS if topic not in TOPICS))


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
        started = len(worker.log())  # a broker that has just been started says no to some first questions
        status, document = await worker.request("GET", "/openapi.json")
        assert status == 200
        # From a file: by its address it would leave out the route of the document itself.
        (tmp_path / "openapi.json").write_bytes(orjson.dumps(document))
        command = (
            *(sys.executable, "-m", "schemathesis.cli", "run", "openapi.json", "--url", worker.url),
            *("--header", f"Authorization: Bearer {ADMIN_TOKEN}"),
            *("--checks", "all", "--continue-on-failure", "--max-examples", "3"),
            *("--generation-deterministic", "--no-color"),
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
        assert "[error" not in worker.log()[started:]
