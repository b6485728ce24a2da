"""The embedded broker with a way in of its own for each worker, so that one worker's connections can be broken and no other's."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path

from app.kafka.embedded_broker import HOST, EmbeddedKafka
from tests.ports import free_port

SLOTS = 4
"""Ways in beside the plain one."""


class ChaosKafka(EmbeddedKafka):
    """Advertises, to who comes through a proxy, that proxy.

    Attributes:
        doors: of each slot the port that Kafka listens on and the one that it advertises.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, free_port(2))
        self.doors = [(free_port(), free_port()) for _ in range(SLOTS)]

    def _write_configuration(self) -> None:
        super()._write_configuration()
        lines = []
        for line in self._properties.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition("=")
            if name == "listeners":
                value += "".join(f",DOOR{slot}://{HOST}:{inner}" for slot, (inner, _) in enumerate(self.doors))
            elif name == "advertised.listeners":
                value += "".join(f",DOOR{slot}://{HOST}:{outer}" for slot, (_, outer) in enumerate(self.doors))
            elif name == "listener.security.protocol.map":
                value += "".join(f",DOOR{slot}:PLAINTEXT" for slot in range(SLOTS))
            lines.append(f"{name}={value}" if value else line)
        lines.append("inter.broker.listener.name=PLAINTEXT")
        self._properties.write_text("\n".join(lines) + "\n", encoding="utf-8")

    @property
    def pid(self) -> int:
        """Of the Java process."""
        return int(json.loads((self.data_dir / "broker.json").read_text(encoding="utf-8"))["pid"])

    async def kill(self) -> None:
        """SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        await asyncio.to_thread(self.stop)

    async def begin(self) -> None:
        """`start`, beside everything else."""
        await asyncio.to_thread(self.start)
