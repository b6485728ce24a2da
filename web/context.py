"""What every handler works with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from app.auth import Authenticator
from app.kafka.cluster import Cluster
from app.kafka.sender import Sender
from app.settings import Settings
from delivery.hub import Hub
from delivery.tail import Tail
from tables.table import StateTable
from web.log_reads import LogReads
from web.measures import Measures
from web.peers import Peers


@dataclass(slots=True)
class Context:
    """The parts of this worker that handlers use."""

    settings: Settings
    table: StateTable
    tail: Tail
    hub: Hub
    peers: Peers
    sender: Sender
    cluster: Cluster
    measures: Measures
    topics: dict[str, int] = field(default_factory=dict)
    """Topics and their partition counts, known once the worker has started."""
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the worker is going away."""
    authenticator: Authenticator = field(init=False)
    """Proves tokens."""

    log_reads: LogReads = field(init=False)
    """Reads the log for administrators."""

    def __post_init__(self) -> None:
        self.log_reads = LogReads(self.settings)
        self.authenticator = Authenticator(self.settings)
