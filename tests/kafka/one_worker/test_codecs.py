"""Records compressed with any of Kafka's codecs."""

from __future__ import annotations

import pytest

from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.sockets import PlainClient
from tests.processes import Worker


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_a_record_is_read_in_every_compression(worker: Worker, services: Services, codec: str | None) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    title = "compressible " * 50
    async with PlainClient(worker.url, owner) as client, Services(services.bootstrap, compression_type=codec) as compressed:
        sent = await compressed.send("task.created", task("task.created", team_id, fresh(), owner, title=title))

        assert (await client.event(sent))["data"]["title"] == title


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_a_bad_record_is_a_dead_letter_in_every_compression(worker: Worker, services: Services, codec: str | None) -> None:
    async with Services(services.bootstrap, compression_type=codec) as compressed:
        sent = await compressed.send("task.created", b"no json " * 50)

    [letter] = await log.records(services.bootstrap, "task.created.deadletter", log.of(sent))
    assert letter.value == b"no json " * 50
