"""A process of the benchmark's own that is spoken to in JSON lines."""

from __future__ import annotations

import asyncio
import json
import sys
from types import TracebackType
from typing import Any, cast

from bench.measure import cpu_seconds
from tests.processes import ROOT

ANSWER_SECONDS = 600.0
LINE_BYTES = 2**24


class Child:
    """`python -m <module>`, for as long as the context lasts."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: asyncio.subprocess.Process

    async def __aenter__(self) -> Child:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=LINE_BYTES,
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    @property
    def cpu_seconds(self) -> float:
        """CPU time that it has used so far."""
        return cpu_seconds(self._process.pid)

    async def tell(self, **words: Any) -> None:
        """Send a line."""
        pipe = cast(asyncio.StreamWriter, self._process.stdin)
        pipe.write(json.dumps(words).encode() + b"\n")
        await pipe.drain()

    async def hear(self) -> dict[str, Any]:
        """Take its next line.

        Raises:
            RuntimeError: It ended, or said nothing for ten minutes.
        """
        async with asyncio.timeout(ANSWER_SECONDS):
            line = await cast(asyncio.StreamReader, self._process.stdout).readline()
        if not line:
            raise RuntimeError(f"{self._module} ended with {await self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def ask(self, **words: Any) -> dict[str, Any]:
        """Send a line, and take the answer."""
        await self.tell(**words)
        return await self.hear()
