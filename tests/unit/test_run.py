"""scripts/run.py: which ports it takes, and what it says when one is not to be had."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from scripts.run import PORT_TAKEN, PORTS, PortTaken, free_ports
from tests.ports import free_port
from tests.processes import ROOT

ALL = ("PORT", *PORTS)


@pytest.fixture
def env() -> dict[str, str]:
    """Ports that are free."""
    return {name: str(free_port()) for name in ALL}


def test_every_port_is_looked_at(env: dict[str, str]) -> None:
    assert free_ports(env) == {name: int(port) for name, port in env.items()}


def test_with_a_mail_server_of_ones_own_there_is_no_catcher(env: dict[str, str]) -> None:
    assert set(free_ports(env | {"SMTP_URL": "smtp://mail.example.org"})) == {"PORT", "NOTIFICATIONS_PORT"}


@pytest.mark.parametrize("name", ALL)
def test_a_port_that_is_taken_is_named_with_its_setting(env: dict[str, str], name: str) -> None:
    with socket.create_server(("127.0.0.1", int(env[name]))), pytest.raises(PortTaken) as taken:
        free_ports(env)
    number = int(env[name])
    assert str(taken.value) == (
        f"Port {number} is taken or not allowed: stop what listens there, or choose another: {name}={number + 1} make run"
    )


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "٣"])
def test_what_is_no_port_is_refused(env: dict[str, str], name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{name} is no port: "):
        free_ports(env | {name: value})


def test_two_ports_that_are_the_same_are_refused(env: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="must differ"):
        free_ports(env | {"CATCHER_PORT": env["PORT"]})


def test_a_taken_port_ends_it_before_anything_is_started(env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", int(env["CATCHER_SMTP_PORT"]))):
        ended = subprocess.run(
            [sys.executable, "scripts/run.py"],
            cwd=ROOT,
            env={**os.environ, **env, "SMTP_URL": ""},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert (ended.returncode, ended.stdout) == (PORT_TAKEN, "")
    assert "CATCHER_SMTP_PORT=" in ended.stderr
    assert ended.stderr.count("\n") == 1
