"""A Node.js program on kafkajs and ws: see bench/peers/node."""

from __future__ import annotations

import shutil
import subprocess  # nosec B404
from pathlib import Path

from app.domain.topics import SOURCE_TOPICS
from bench.servers.process import Process
from bench.servers.server import NotThere
from tests.processes import ROOT

PROGRAM = ROOT / "bench" / "peers" / "node"
HOW = "install Node.js 18 or newer, and let npm reach its registry once"
INSTALL_SECONDS = 300.0


class Node(Process):
    """One Node.js process."""

    name = "node"
    dialect = "team"
    health = "/health"
    unified = ""

    def __init__(self, brokers: str, folder: Path) -> None:
        """Describe it; what it depends on is installed when it is missing.

        Raises:
            NotThere: There is no Node.js, or npm cannot install.
        """
        super().__init__(brokers, folder)
        self._node, npm = shutil.which("node"), shutil.which("npm")
        if self._node is None or npm is None:
            raise NotThere(HOW)
        if not (PROGRAM / "node_modules").exists():
            try:
                subprocess.run([npm, "ci", "--silent"], cwd=PROGRAM, check=True, timeout=INSTALL_SECONDS)  # noqa: S603  # nosec B603
            except subprocess.SubprocessError as error:
                raise NotThere(f"{HOW} ({error})") from error

    def command(self) -> list[str]:
        return [self._node or "", str(PROGRAM / "server.mjs")]

    def environment(self) -> dict[str, str]:
        return {"SOURCES": ",".join(SOURCE_TOPICS), "GROUP": self.group}
