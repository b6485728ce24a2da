"""The program that Faust's documentation teaches to write."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from app.domain.topics import SOURCE_TOPICS
from bench.servers.process import Process


class PlainFaust(Process):
    """See `bench.peers.plain_faust.app`."""

    name = "plain-faust"
    dialect = "team"
    health = "/ready"

    def command(self) -> list[str]:
        return [sys.executable, "-m", "faust", "-A", "bench.peers.plain_faust.app", "worker", "-l", "info"]

    @property
    def unified(self) -> str:
        """Its topic of events by team."""
        return f"{self.group}.events"

    def topics(self) -> Mapping[str, str]:
        return {self.unified: "delete", f"{self.group}-tasks-changelog": "compact"}

    def environment(self) -> dict[str, str]:
        return {"PLAIN_ID": self.group, "PLAIN_SOURCES": ",".join(SOURCE_TOPICS), "DATA_DIR": str(self.folder / self.group)}
