"""What is compared: one process each that takes the source topics to the clients."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from bench.servers.centrifugo import Centrifugo
from bench.servers.node import Node
from bench.servers.plain_faust import PlainFaust
from bench.servers.server import NotThere, Server
from bench.servers.teamcast import Teamcast

SERVERS: dict[str, Callable[[str, Path], Server]] = {
    "teamcast": Teamcast,
    "centrifugo": Centrifugo,
    "node": Node,
    "plain-faust": PlainFaust,
}


def present(peers: list[str]) -> list[str]:
    """Those of the peers that can be measured on this machine; says loudly why the others cannot."""
    found = []
    for peer in peers:
        try:
            SERVERS[peer]("", Path())
        except NotThere as why:
            print(f"\n*** {peer} is NOT measured: {why}\n", file=sys.stderr, flush=True)
        else:
            found.append(peer)
    return found


__all__ = ["SERVERS", "Server", "present"]
