"""The examples of ops/: they name settings that there are, and each other's parts."""

from __future__ import annotations

import configparser
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings
from app.worker import STOP_SECONDS
from tests.processes import ROOT

OPS = ROOT / "ops"
NAMES = {name.upper() for name in Settings.model_fields}
#: Of the interpreter, not ours.
PYTHONS = {"PYTHONUNBUFFERED"}
DRAIN_SECONDS = Settings.model_fields["drain_seconds"].default


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((OPS / "compose" / "compose.yaml").read_text())
    return found


def assignments(text: str) -> set[str]:
    return set(re.findall(r"^([A-Z_]+)=", text, re.MULTILINE))


WORKERS = {name: service for name, service in compose()["services"].items() if name.startswith("worker")}
BROKERS = {name: service for name, service in compose()["services"].items() if name.startswith("kafka")}


@pytest.mark.parametrize("name", WORKERS)
def test_a_workers_environment_is_settings(name: str) -> None:
    environment = WORKERS[name]["environment"]
    assert environment.keys() <= NAMES
    assert environment["CANONICAL_URL"] == f"http://{name}:{environment['PORT']}"


def test_workers_have_folders_of_their_own_and_start_behind_every_broker() -> None:
    assert len({service["volumes"][0] for service in WORKERS.values()}) == len(WORKERS) == 3
    assert all(set(service["depends_on"]) == set(BROKERS) for service in WORKERS.values())


def test_the_workers_know_every_broker_and_the_brokers_each_other() -> None:
    addresses = {f"{name}:9092" for name in BROKERS}
    assert set(WORKERS["worker1"]["environment"]["KAFKA_BROKERS"].split(",")) == addresses
    voters = {f"{service['environment']['KAFKA_NODE_ID']}@{name}:9093" for name, service in BROKERS.items()}
    assert all(set(service["environment"]["KAFKA_CONTROLLER_QUORUM_VOTERS"].split(",")) == voters for service in BROKERS.values())


def test_a_worker_is_given_the_time_that_it_takes_to_leave() -> None:
    assert all(int(service["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS + STOP_SECONDS for service in WORKERS.values())
    assert int(unit()["Service"]["TimeoutStopSec"]) > DRAIN_SECONDS + STOP_SECONDS


def test_the_balancer_spreads_over_every_worker() -> None:
    text = (OPS / "compose" / "haproxy.cfg").read_text()
    assert set(re.findall(r"^ *server (\S+) (\S+) check", text, re.MULTILINE)) == {(name, f"{name}:8086") for name in WORKERS}


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string((OPS / "systemd" / "teamcast@.service").read_text())
    return parser


def test_the_unit_sets_settings_and_starts_a_worker_again_unless_its_settings_are_bad() -> None:
    service = unit()["Service"]
    assert {one.partition("=")[0] for one in service["Environment"].split()} <= NAMES | PYTHONS
    assert service["RestartPreventExitStatus"] == "2"
    assert service["ExecStart"].endswith("python -m faust -A app worker -l info")


@pytest.mark.parametrize("file", [OPS / "systemd" / "teamcast.env.example"], ids=lambda file: file.name)
def test_example_environments_are_settings(file: Path) -> None:
    assert assignments(file.read_text()) <= NAMES
