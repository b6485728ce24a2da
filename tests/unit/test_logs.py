"""Log lines: one a fact, one shape, no secrets, no floods."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from aiokafka.structs import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from app import logs
from app.settings import Settings

SECRET = "a-secret-of-this-test"


class Lines:
    """The root logger as a worker has it, writing into memory."""

    def __init__(self, log_format: str = "json", level: int = logging.INFO) -> None:
        self.stream = StringIO()
        self.handler = logging.StreamHandler(self.stream)
        settings = Settings(_env_file=None, log_format=log_format, admin_token=SECRET)
        logs.shape([self.handler], settings, level)

    @property
    def text(self) -> str:
        return self.stream.getvalue()

    @property
    def parsed(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    @property
    def said(self) -> list[str]:
        return [line["event"] for line in self.parsed]


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield root
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture
def lines(root: logging.Logger) -> Lines:
    made = Lines()
    root.handlers[:] = [made.handler]
    root.setLevel(logging.INFO)
    return made


def console(root: logging.Logger) -> Lines:
    made = Lines("console")
    root.handlers[:] = [made.handler]
    return made


def test_a_line_of_any_library_is_json_with_time_level_logger_and_text(lines: Lines) -> None:
    logging.getLogger("aiokafka.conn").warning("Unable to connect to %s", "node 1")
    [line] = lines.parsed
    assert list(line)[:4] == ["timestamp", "level", "logger", "event"]
    assert line["timestamp"].endswith("Z")
    assert (line["level"], line["logger"], line["event"]) == ("warning", "aiokafka.conn", "Unable to connect to node 1")


def test_fields_are_fields(lines: Lines) -> None:
    logs.get("agents").warning("a record is no valid event", topic="task.created", offset=12)
    logging.getLogger("delivery").warning("skipped", extra={"position": "00"})
    first, second = lines.parsed
    assert (first["event"], first["topic"], first["offset"]) == ("a record is no valid event", "task.created", 12)
    assert (second["event"], second["position"]) == ("skipped", "00")


def test_modes_prefix_is_a_field(lines: Lines) -> None:
    logging.getLogger("faust.tables.recovery").info("[^---Recovery]: Worker ready")
    [line] = lines.parsed
    assert (line["service"], line["event"]) == ("Recovery", "Worker ready")


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_what_others_send_neither_starts_a_line_nor_moves_a_terminal(root: logging.Logger, log_format: str) -> None:
    made = Lines(log_format)
    root.handlers[:] = [made.handler]
    logging.getLogger("web").error("%s failed", "/api\r\n2026-01-01 forged\x1b[2J\u2028\u202e\x9b\udc80")
    assert len(made.text.splitlines()) == 1
    assert "\x1b[2J" not in made.text
    assert not set(made.text) & set("\r\u2028\u202e\x9b\udc80")
    assert "forged" in made.text


def test_the_value_of_a_field_is_escaped_too(root: logging.Logger) -> None:
    made = console(root)
    logs.get("web").error("failed", path="/api\nforged\x1b[2J")
    assert len(made.text.splitlines()) == 1
    assert "\x1b" not in made.text


@given(st.text(), st.text())
def test_every_line_stays_one_line_whatever_is_in_it(event: str, value: str) -> None:
    for log_format in ("json", "console"):
        made = Lines(log_format)
        record = logging.LogRecord("x", logging.WARNING, "", 0, {"event": event, "field": value}, (), None)
        made.handler.handle(record)
        assert len(made.text.splitlines()) == 1


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_secrets_tokens_and_passwords_in_urls_are_blanked_wherever_they_come_from(root: logging.Logger, log_format: str) -> None:
    made = Lines(log_format)
    root.handlers[:] = [made.handler]
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI3In0.c2lnbmF0dXJl"
    logging.getLogger("a").error("given %s", SECRET)
    logs.get("b").error("given", url="smtp://user:pass-of-this-test@mail:25", token=token)
    try:
        raise ValueError(f"Bearer {token} or {SECRET}")
    except ValueError:
        logging.getLogger("c").exception("failed")
    assert made.text.count("***") == 5
    for secret in (SECRET, "pass-of-this-test", token, "eyJzdWIiOiI3In0"):
        assert secret not in made.text


def test_a_traceback_on_a_console_is_set_in_and_in_json_a_field(root: logging.Logger, lines: Lines) -> None:
    def fail() -> None:
        try:
            raise ValueError("first\n2026-01-01T00:00:00Z [error] forged")
        except ValueError:
            logging.getLogger("a").exception("failed")

    fail()
    [line] = lines.parsed
    assert line["exception"].startswith("Traceback")
    made = console(root)
    fail()
    first, *rest = made.text.splitlines()
    assert "failed" in first
    assert rest
    assert all(text.startswith("    ") for text in rest)


def test_tables_pictures_and_the_life_of_every_service_are_debug(lines: Lines) -> None:
    recovery = logging.getLogger("faust.tables.recovery")
    recovery.info("[^---Recovery]: Highwater for active changelog partitions:\n%s", "+---+\n| 0 |")
    recovery.info("[^---Recovery]: Starting...")
    recovery.info("[^---Agent: agents.task.[.]repartition_tasks]: Starting...")
    logging.getLogger("tables.store").info("opening partition 3 for gen id 1 app id 1")
    logging.getLogger("mode").info("[^Worker]: Starting...")
    recovery.warning("[^---Recovery]: this\nmatters")
    assert lines.said == ["Starting...", "this\\nmatters"]


def test_at_debug_they_are_there_as_debug(root: logging.Logger) -> None:
    made = Lines(level=logging.DEBUG)
    root.handlers[:] = [made.handler]
    root.setLevel(logging.DEBUG)
    logging.getLogger("faust.tables.recovery").info("[^---Recovery]: Highwater:\n%s", "+---+")
    assert [(line["level"], line["event"]) for line in made.parsed] == [("debug", "Highwater:\\n+---+")]
    root.setLevel(logging.WARNING)


def test_partitions_are_told_as_people_write_them(lines: Lines) -> None:
    assigned = {TopicPartition("b", 0), *(TopicPartition("a", number) for number in (0, 1, 2, 5))}
    logging.getLogger("aiokafka").info("Setting newly assigned partitions %s for group %s", assigned, "g")
    logging.getLogger("aiokafka").info("Revoking previously assigned partitions %s for group %s", set(), "g")
    assert lines.said == [
        "Setting newly assigned partitions a 0-2 5, b 0 for group g",
        "Revoking previously assigned partitions none for group g",
    ]


def test_a_line_that_repeats_is_written_a_few_times_and_then_counted(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(logs, "monotonic", lambda: now[0])
    for number in range(100):
        logging.getLogger("aiokafka.consumer").error("Group Coordinator Request failed: %s", f"try {number}")
        logging.getLogger("aiokafka.conn").error(f"node {number} is gone")  # noqa: G004
    logging.getLogger("aiokafka.consumer").error("something else")
    assert len(lines.parsed) == 2 * logs.BURST + 1

    now[0] += logs.WINDOW_SECONDS
    logging.getLogger("aiokafka.consumer").error("Group Coordinator Request failed: %s", "again")
    assert lines.parsed[-1]["left_out"] == 100 - logs.BURST
    logging.getLogger("aiokafka.consumer").error("Group Coordinator Request failed: %s", "again")
    assert "left_out" not in lines.parsed[-1]


def test_our_own_repeating_lines_are_counted_too(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(logs, "monotonic", lambda: now[0])
    for offset in range(50):
        logs.get("agents").warning("a record is no valid event", offset=offset)
    now[0] += logs.WINDOW_SECONDS
    logs.get("agents").warning("a record is no valid event", offset=50)
    assert [line["offset"] for line in lines.parsed] == [0, 1, 2, 3, 4, 50]
    assert lines.parsed[-1]["left_out"] == 45


def test_what_is_remembered_of_lines_is_bounded() -> None:
    sieve = logs.Sieve(logging.INFO)
    for number in range(logs.KINDS_MAX * 2):
        name = f"logger-{number}"
        assert sieve.filter(logging.LogRecord(name, logging.INFO, "", 0, "text", (), None))
    assert len(sieve._kinds) == logs.KINDS_MAX
