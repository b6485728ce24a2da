"""A worker that must not start says why in one line, and ends with exit code 2 before it has read or written anything."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.structs import OffsetAndMetadata

from app.errors import BrokersAway
from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import now
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import Worker

GROUP = "realtime-service"
CHANGELOG = "realtime-service-state-changelog"


@pytest.fixture(scope="module")
def own_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker whose topics these tests make and delete."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), free_port(2))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


async def delete_topics(client: AIOKafkaAdminClient) -> list[str]:
    """Ask for the end of every topic of ours; those that were still there."""
    ours = [topic for topic in await client.list_topics() if not topic.startswith("__")]
    if ours:
        await client.delete_topics(ours)
    return ours


@pytest.fixture
async def admin(own_broker: EmbeddedKafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """An administrator of a broker without any topic of ours and without offsets of the group."""
    client = AIOKafkaAdminClient(bootstrap_servers=own_broker.bootstrap)
    await client.start()
    try:
        # Asked again until it is so: a topic that was made a moment ago may be missing in one answer and be back in the next.
        await eventually(lambda: delete_topics(client), lambda left: not left, limit=60)
        yield client
    finally:
        await client.close()


async def refused(worker: Worker, seconds: float = 30, code: int = 2) -> str:
    """Start it and wait for its end: the exit code, no traceback, and the one line that it says."""
    worker.start()
    ended = await worker.wait(seconds)
    said = worker.log()
    assert ended == code, said
    assert "Traceback" not in said
    lines = [line for line in said.splitlines() if line.startswith("teamcast: ")]
    assert len(lines) == 1, said
    return lines[0]


async def offsets_of_the_group(admin: AIOKafkaAdminClient) -> dict[TopicPartition, OffsetAndMetadata] | None:
    """What the group has committed; None while the broker is still making the topic that it would be in."""
    try:
        found: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(GROUP)
        return found
    except GroupCoordinatorNotAvailableError:
        return None


async def run(own_broker: EmbeddedKafka, folder: Path, *command: str) -> str:
    """Run another command of the application; return what it printed."""
    program = Worker(own_broker.bootstrap, folder, command=command)
    program.start()
    assert await program.wait(30) == 0, program.log()
    return program.log()


async def test_a_compacted_unified_stream_is_refused(own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path) -> None:
    await admin.create_topics([NewTopic("team.events", 8, 1, topic_configs={"cleanup.policy": "compact"})])

    line = await refused(Worker(own_broker.bootstrap, tmp_path))

    assert "team.events" in line
    assert "cleanup.policy=delete" in line


async def test_a_changelog_with_other_partitions_is_refused(own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path) -> None:
    await admin.create_topics([NewTopic("team.events", 8, 1), NewTopic(CHANGELOG, 4, 1, topic_configs={"cleanup.policy": "compact"})])

    line = await refused(Worker(own_broker.bootstrap, tmp_path))

    assert CHANGELOG in line
    assert "4 partitions" in line
    assert "8" in line


async def test_an_existing_unified_stream_decides_the_number_of_partitions(
    own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    await admin.create_topics([NewTopic("team.events", 3, 1), NewTopic("task.created", 2, 1)])

    async with Worker(own_broker.bootstrap, tmp_path):
        partitions = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}

    assert partitions[CHANGELOG] == 3
    assert partitions["task.created"] == 2
    assert partitions["task.updated"] == 8


async def test_a_group_without_offsets_beside_a_log_asks_where_to_start(
    own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    await eventually(lambda: offsets_of_the_group(admin), lambda found: found == {})
    await run(own_broker, tmp_path, "topics")
    team_id, owner = fresh(), fresh()
    value = log.unified_value("a", "team.created", team_id, owner, now(), {"teamId": team_id, "name": "From before"})
    await log.write_unified(own_broker.bootstrap, f"team:{team_id}", (value, log.source_headers("team.created", 0, 0, 1_700_000_000_000)))
    worker = Worker(own_broker.bootstrap, tmp_path)

    line = await refused(worker)
    assert GROUP in line
    assert "python -m faust -A app offsets --from" in line

    await run(own_broker, tmp_path, "offsets", "--from", "earliest")
    async with worker:
        state = await team_with(worker, team_id, owner)
        assert state["team"]["name"] == "From before"


async def test_records_that_expired_unread_are_a_loss_that_is_accepted_first(
    own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path
) -> None:
    await run(own_broker, tmp_path, "offsets", "--from", "earliest")
    async with AIOKafkaProducer(bootstrap_servers=own_broker.bootstrap) as producer:
        for _ in range(3):
            await producer.send_and_wait("task.created", b"{}", partition=0)
    await admin.delete_records({TopicPartition("task.created", 0): RecordsToDelete(before_offset=3)})

    worker = Worker(own_broker.bootstrap, tmp_path)
    line = await refused(worker)
    assert "3 records" in line
    assert "task.created-0: 3" in line
    assert "offsets --accept-loss" in line

    await run(own_broker, tmp_path, "offsets", "--accept-loss")
    async with worker:
        pass


async def test_a_port_that_is_taken_is_said(own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path) -> None:
    with socket.socket() as listener:
        port = free_port()
        listener.bind(("127.0.0.1", port))
        listener.listen()

        line = await refused(Worker(own_broker.bootstrap, tmp_path, port=port))

    assert f"127.0.0.1:{port}" in line
    assert "PORT" in line


async def test_no_broker_is_said(tmp_path: Path) -> None:
    nobody = f"127.0.0.1:{free_port()}"

    line = await refused(Worker(nobody, tmp_path), code=BrokersAway.exit_code)

    assert "KAFKA_BROKERS" in line
    assert nobody in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_SECRET", "too-short-and-secret"),
        ("JWT_JWKS_URL", "http://keys.example.org/secret-path"),
        ("HOST", "0.0.0.0"),
    ],
)
async def test_a_bad_setting_is_named_and_a_secret_never_shown(tmp_path: Path, name: str, value: str) -> None:
    worker = Worker("127.0.0.1:1", tmp_path, env={name: value})

    line = await refused(worker)

    assert name in line
    if "secret" in value:
        assert value not in worker.log()


async def test_every_bad_setting_is_named_in_the_one_line(tmp_path: Path) -> None:
    bad = {"PARTITIONS": "many", "RETENTION": "soon", "PORT": "99999", "LOG_LEVEL": "LOUD", "KAFKA_BROKERS": "no-port"}

    line = await refused(Worker("127.0.0.1:1", tmp_path, env=bad))

    assert all(name in line for name in bad)


async def test_a_data_folder_that_cannot_be_made_is_said(own_broker: EmbeddedKafka, admin: AIOKafkaAdminClient, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    line = await refused(Worker(own_broker.bootstrap, tmp_path, env={"DATA_DIR": str(file)}))

    assert "DATA_DIR" in line
