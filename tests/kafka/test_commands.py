"""The commands, as processes of their own beside a real broker."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata

from app.domain.decode import faults
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.kafka.embedded_broker import EmbeddedKafka
from app.kafka.topics import GROUP
from tests.ports import free_port
from tests.processes import ROOT

Run = Callable[..., "subprocess.CompletedProcess[str]"]

#: An application of nothing but the commands: they must not need the service's parts.
BARE = """
import faust
from app.commands import register
app = faust.App("bare", broker="kafka://127.0.0.1:1")
register(app)
"""


def environment(brokers: str, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "JWT_", "HOST"))}
    return {**inherited, "KAFKA_BROKERS": brokers, "REPLICATION_FACTOR": "1", "PARTITIONS": "4", "COLUMNS": "120", **more}


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """A broker of this module's own: the commands move the group's offsets, and write what is no event."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), free_port(2))
    kafka.start()
    try:
        yield kafka
    finally:
        kafka.stop()


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bare")
    (folder / "bare.py").write_text(BARE)
    return folder


@pytest.fixture(scope="module")
def command(broker: EmbeddedKafka, bare: Path) -> Run:
    """Run a command to its end."""

    def run(*arguments: str, stdin: str | bytes = "", **more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            argv(arguments),
            cwd=ROOT,
            env=environment(broker.bootstrap, PYTHONPATH=str(bare), **more),
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    # The others rest on the topics.
    made = run("topics")
    assert made.returncode == 0, made.stderr
    return run


def argv(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "faust", "-A", "bare", *arguments]


def records(broker: EmbeddedKafka, topics: Sequence[str] = SOURCE_TOPICS) -> list[Any]:
    """Everything in some topics, now."""

    async def read() -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50)
        await consumer.start()
        try:
            tps = [TopicPartition(topic, p) for topic in topics for p in range(4)]
            consumer.assign(tps)
            end = await consumer.end_offsets(tps)
            found: list[Any] = []
            while any([await consumer.position(tp) < end[tp] for tp in tps]):
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    found += batch
            return found
        finally:
            await consumer.stop()

    return asyncio.run(read())


def one_line(text: str) -> str:
    assert "Traceback" not in text, text
    assert text.count("\n") == 1, text
    return text


class TestTopics:
    def test_are_made_and_listed(self, command: Run) -> None:
        done = command("topics", "--json")
        assert done.returncode == 0, done.stderr
        listed = {topic["name"]: topic for topic in json.loads(done.stdout)}
        assert set(SOURCE_TOPICS) | {UNIFIED} <= listed.keys()
        assert listed[UNIFIED]["partitions"] == 4
        assert listed[UNIFIED]["retention_ms"] == 7 * 86_400_000
        assert listed[UNIFIED]["cleanup"] == "delete"
        assert listed[UNIFIED]["replicas"] == 1

    def test_the_table_counts_the_records(self, command: Run) -> None:
        def rows() -> dict[str, list[str]]:
            lines = [line.strip("│ ").split("│") for line in command("topics").stdout.splitlines() if line.startswith("│")]
            return {cells[0].strip(): [cell.strip() for cell in cells] for cells in lines}

        before = int(rows()["user.created"][-1].replace(",", ""))
        assert command("emit", "user.created", '{"userId": 3}').returncode == 0
        assert int(rows()["user.created"][-1].replace(",", "")) == before + 1
        assert "7 d" in rows()[UNIFIED]

    def test_no_broker_is_one_line(self, command: Run) -> None:
        done = command("topics", KAFKA_BROKERS=f"127.0.0.1:{free_port()}")
        assert done.returncode == 1
        assert "no broker answers" in one_line(done.stderr)

    def test_a_bad_setting_is_one_line(self, command: Run) -> None:
        done = command("topics", PARTITIONS="none")
        assert done.returncode == 2
        assert "PARTITIONS" in one_line(done.stderr)


class TestEmit:
    def test_sends_one_event_and_says_where_it_went(self, command: Run, broker: EmbeddedKafka) -> None:
        done = command("emit", "task.created", '{"taskId": 5, "teamId": 42, "actorId": 7, "payload": {"title": "Ä"}}')
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        [record] = [r for r in records(broker, ["task.created"]) if (r.partition, r.offset) == (report["partition"], report["offset"])]
        assert report["eventId"] == f"task.created-{record.partition}-{record.offset}-{record.timestamp}"
        assert record.key == b"task:5"
        assert json.loads(record.value)["payload"] == {"title": "Ä"}

    def test_takes_standard_input(self, command: Run) -> None:
        done = command("emit", "user.created", stdin='{"userId": 5, "eventId": "mine"}\n')
        assert json.loads(done.stdout)["eventId"] == "mine"

    def test_prints_every_fault_and_sends_nothing(self, command: Run, broker: EmbeddedKafka) -> None:
        before = len(records(broker, ["task.created"]))
        done = command("emit", "task.created", '{"taskId": "5", "payload": {"title": 1}}')
        assert done.returncode == 1
        assert done.stdout == ""
        for fault in ("taskId", "actorId", "payload.title", "teamId"):
            assert fault in done.stderr
        assert "Traceback" not in done.stderr
        assert len(records(broker, ["task.created"])) == before

    def test_sends_anything_when_told_not_to_check(self, command: Run, broker: EmbeddedKafka) -> None:
        done = command("emit", "task.deleted", "--no-check", "nonsense")
        assert done.returncode == 0, done.stderr
        assert b"nonsense" in [record.value for record in records(broker, ["task.deleted"])]

    def test_a_missing_file_is_one_line(self, command: Run) -> None:
        done = command("emit", "task.created", "@/no/such/file")
        assert done.returncode == 1
        assert "/no/such/file" in one_line(done.stderr)

    def test_a_topic_that_is_none_is_a_bad_argument(self, command: Run) -> None:
        assert command("emit", "team.events", "{}").returncode == 2


class TestSimulate:
    def test_sends_valid_events_at_its_rate_and_ends(self, command: Run, broker: EmbeddedKafka) -> None:
        before = len(records(broker))
        done = command("simulate", "--rate", "100", "--duration", "3", "--seed", "1")
        assert done.returncode == 0, done.stderr
        assert "12 users and 4 teams are set up" in done.stdout
        new = records(broker)
        [setup] = [int(word.strip("(,").replace(",", "")) for word in done.stdout.split() if word.startswith("(")]
        assert len(new) - before - setup == pytest.approx(300, abs=30)
        assert all(faults(record.topic, record.value) == [] for record in new if b"sim-" in record.value)

    def test_only_sets_up_when_told_so(self, command: Run) -> None:
        done = command("simulate", "--once-setup", "--teams", "2")
        assert done.returncode == 0, done.stderr
        assert "2 teams are set up" in done.stdout

    def test_sends_the_bad_share(self, command: Run, broker: EmbeddedKafka) -> None:
        def bad() -> int:
            return sum(record.key == b"simulated" for record in records(broker))

        before = bad()
        done = command("simulate", "--rate", "200", "--duration", "2", "--bad-share", "0.5", "--seed", "2")
        assert done.returncode == 0, done.stderr
        assert bad() - before == pytest.approx(200, abs=50)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_a_signal_ends_it_well_and_quickly(self, command: Run, broker: EmbeddedKafka, bare: Path, number: signal.Signals) -> None:
        env = environment(broker.bootstrap, PYTHONPATH=str(bare), PYTHONUNBUFFERED="1")
        with subprocess.Popen(
            argv(["simulate", "--rate", "50"]), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            assert "are set up" in process.stdout.readline()
            process.send_signal(number)
            began = time.monotonic()
            output, errors = process.communicate(timeout=10)
            assert time.monotonic() - began < 2
        assert process.returncode == 0, errors
        assert "events in" in output  # what it did
        assert errors == ""

    def test_waits_for_the_broker_and_says_so(self, bare: Path) -> None:
        env = environment(f"127.0.0.1:{free_port()}", PYTHONPATH=str(bare))
        with subprocess.Popen(argv(["simulate"]), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            process.terminate()
            _, errors = process.communicate(timeout=10)
        assert "Waiting: no broker answers" in line
        assert "Traceback" not in errors
        assert process.returncode == 128 + signal.SIGTERM

    def test_shows_a_progress_line_on_a_terminal(self, command: Run, broker: EmbeddedKafka, bare: Path) -> None:
        master, slave = pty.openpty()
        try:
            env = environment(broker.bootstrap, PYTHONPATH=str(bare), TERM="xterm")
            done = subprocess.run(
                argv(["simulate", "--rate", "50", "--duration", "2"]),
                cwd=ROOT,
                env=env,
                stdout=slave,
                stderr=slave,
                timeout=60,
                check=False,
            )
            shown = os.read(master, 65536).decode()
        finally:
            os.close(slave)
            os.close(master)
        assert done.returncode == 0
        assert "Simulating" in shown
        assert "/s" in shown

    def test_a_bad_option_is_a_bad_argument(self, command: Run) -> None:
        assert command("simulate", "--rate", "0").returncode == 2


class TestImport:
    LINES = (
        '{"kind": "user", "userId": 901, "username": "A", "email": "a@example.org"}\n'
        "\n"
        '{"kind": "team", "teamId": 901, "ownerId": 901, "name": "N", "createdAt": "2020-01-01T00:00:00Z"}\n'
        '{"kind": "member", "teamId": 901, "userId": 901, "role": "admin"}\n'
        '{"kind": "task", "taskId": 901, "teamId": 901, "creatorId": 901, "title": "T"}\n'
    )

    def imported(self, broker: EmbeddedKafka) -> Counter[bytes]:
        return Counter(record.value for record in records(broker) if b'"import-' in (record.value or b""))

    def test_sends_each_entity_the_same_each_time(self, command: Run, broker: EmbeddedKafka, tmp_path: Path) -> None:
        file = tmp_path / "before.ndjson"
        file.write_text(self.LINES)
        before = self.imported(broker)
        first = command("import", str(file))
        assert first.returncode == 0, first.stderr
        assert first.stdout == "4 entities imported.\n"
        assert command("import", "-", stdin=self.LINES).returncode == 0
        new = self.imported(broker) - before
        assert len(new) == 4
        assert set(new.values()) == {2}

    def test_tells_every_fault_of_every_line_and_sends_nothing(self, command: Run, broker: EmbeddedKafka) -> None:
        before = self.imported(broker)
        done = command("import", "-", stdin=self.LINES + '{"kind": "user", "userId": 0, "email": 3}\nnonsense\n')
        assert done.returncode == 1
        told = done.stderr.splitlines()
        assert [line.split(":")[0] for line in told[:-1]] == ["line 6", "line 6", "line 7"]
        assert told[-1] == "import: 2 of 6 lines are faulty; nothing was sent"
        assert self.imported(broker) == before

    def test_leaves_faulty_lines_out_when_told_so(self, command: Run) -> None:
        done = command("import", "-", "--skip-bad", stdin=self.LINES + "nonsense\n")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "4 entities imported, 1 faulty lines left out.\n"

    def test_a_missing_file_is_one_line(self, command: Run) -> None:
        done = command("import", "/no/such/file")
        assert done.returncode == 1
        one_line(done.stderr)


class TestLag:
    def test_tells_what_waits_when_nobody_runs(self, command: Run) -> None:
        sent = json.loads(command("emit", "team.updated", '{"teamId": 42, "actorId": 7}').stdout)
        done = command("lag", "--json")
        assert done.returncode == 0, done.stderr
        [group] = [one for one in json.loads(done.stdout)["groups"] if one["group"] == GROUP]
        assert (group["members"], group["processes"]) == (0, [])
        [found] = [one for one in group["partitions"] if (one["topic"], one["partition"]) == ("team.updated", sent["partition"])]
        assert found["end"] == sent["offset"] + 1
        assert found["lag"] >= 1
        assert found["seconds"] > 0
        assert "Nobody runs." in command("lag").stdout

    def test_no_broker_is_one_line(self, command: Run) -> None:
        for arguments in (["lag"], ["deadletters", "list"], ["trace", "x"], ["replay", "42"]):
            done = command(*arguments, KAFKA_BROKERS=f"127.0.0.1:{free_port()}")
            assert done.returncode == 1
            assert "no broker answers" in one_line(done.stderr)


class TestOffsets:
    def committed(self, broker: EmbeddedKafka, tp: TopicPartition) -> int | None:
        async def ask() -> int | None:
            consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=GROUP, enable_auto_commit=False)
            await consumer.start()
            try:
                found = await consumer.committed(tp)
                return None if found is None else int(found)
            finally:
                await consumer.stop()

        return asyncio.run(ask())

    def commit(self, broker: EmbeddedKafka, tp: TopicPartition, offset: int) -> None:
        async def work() -> None:
            consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap, group_id=GROUP, enable_auto_commit=False)
            await consumer.start()
            try:
                consumer.assign([tp])
                await consumer.commit({tp: OffsetAndMetadata(offset, "")})
            finally:
                await consumer.stop()

        asyncio.run(work())

    def test_begin_at_the_end_or_at_the_earliest(self, command: Run, broker: EmbeddedKafka) -> None:
        sent = json.loads(command("emit", "team.updated", '{"teamId": 42, "actorId": 7}').stdout)
        tp = TopicPartition("team.updated", sent["partition"])
        done = command("offsets", "--from", "end")
        assert done.returncode == 0, done.stderr
        assert self.committed(broker, tp) == sent["offset"] + 1
        assert command("offsets", "--from", "earliest").returncode == 0
        assert self.committed(broker, tp) == 0

    def test_a_loss_is_accepted_where_there_is_one_and_nothing_else_moves(self, command: Run, broker: EmbeddedKafka) -> None:
        tp, other = TopicPartition("team.deleted", 0), TopicPartition("team.deleted", 1)

        async def expire() -> None:
            async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
                for partition in (0, 1):
                    for _ in range(5):
                        await producer.send_and_wait("team.deleted", b"{}", partition=partition)
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
            await admin.start()
            try:
                await admin.delete_records({tp: RecordsToDelete(before_offset=4)})
            finally:
                await admin.close()

        asyncio.run(expire())
        self.commit(broker, tp, 1)
        self.commit(broker, other, 2)
        done = command("offsets", "--accept-loss")
        assert done.returncode == 0, done.stderr
        assert "team.deleted-0: 3 records skipped" in done.stdout
        assert (self.committed(broker, tp), self.committed(broker, other)) == (4, 2)
        assert "lost nothing" in command("offsets", "--accept-loss").stdout

    @pytest.mark.parametrize(
        "arguments", [[], ["--from", "end", "--accept-loss"], ["--from", "yesterday"], ["--from", "2026-11-23T10:00:00"]]
    )
    def test_what_does_not_say_where_is_a_bad_argument(self, command: Run, arguments: list[str]) -> None:
        done = command("offsets", *arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr
