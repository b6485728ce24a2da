"""The simulator, as a person starts it."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.processes import ROOT


async def simulate(bootstrap: str, folder: Path, *options: str) -> None:
    """Run `faust -A app simulate` to its end."""
    env = {**os.environ, "KAFKA_BROKERS": bootstrap, "REPLICATION_FACTOR": "1", "DATA_DIR": str(folder)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "faust", "-A", "app", "simulate", *options,
        cwd=ROOT, env=env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 120)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
