"""What is compared: one process each that takes the source topics to the clients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.servers.plain_faust import PlainFaust
from bench.servers.server import Server
from bench.servers.teamcast import Teamcast

SERVERS: dict[str, Callable[[str, Path], Server]] = {"teamcast": Teamcast, "plain-faust": PlainFaust}

__all__ = ["SERVERS", "Server"]
