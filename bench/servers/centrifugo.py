"""Centrifugo: its own Kafka consumer publishes each record to the channel that a header of it names.

As quick as it is made to be: no history, no presence, no compression, no tokens, and nothing in its log but errors. It does not
re-key, keeps no state, and checks no membership.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from app.domain.topics import SOURCE_TOPICS
from bench.servers.process import Process
from bench.servers.server import NotThere

HOW = "build Centrifugo v6 from its source (`go build -o centrifugo .`) or take a release, and set CENTRIFUGO_BIN to the binary"
ANYBODY = {"allow_anonymous_connect_without_token": True}  # nosec B105
POLL_RECORDS = 1000
"""Ten times its default: better in a flood, and no worse else."""


class Centrifugo(Process):
    """The binary that CENTRIFUGO_BIN names."""

    name = "centrifugo"
    dialect = "centrifugo"
    channels_header = True
    health = "/health"
    unified = ""

    def __init__(self, brokers: str, folder: Path) -> None:
        """Describe it.

        Raises:
            NotThere: CENTRIFUGO_BIN names no binary.
        """
        super().__init__(brokers, folder)
        self._binary = os.environ.get("CENTRIFUGO_BIN", "")
        if not Path(self._binary).is_file():
            raise NotThere(HOW)

    def command(self) -> list[str]:
        kafka = {
            "brokers": self.brokers.split(","),
            "topics": SOURCE_TOPICS,
            "consumer_group": self.group,
            "max_poll_records": POLL_RECORDS,
            "publication_data_mode": {"enabled": True, "channels_header": "centrifugo-channels"},
        }
        team = {"name": "team", "allow_subscribe_for_client": True, "allow_subscribe_for_anonymous": True}
        settings = {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "log": {"level": "error"},
            "health": {"enabled": True},
            "client": ANYBODY,
            "channel": {"namespaces": [team]},
            "consumers": [{"enabled": True, "name": "kafka", "type": "kafka", "kafka": kafka}],
        }
        file = self.folder / f"{self.group}.json"
        file.write_text(json.dumps(settings), encoding="utf-8")
        return [self._binary, "--config", str(file)]
