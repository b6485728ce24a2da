"""Real worker processes for tests: started, watched through /readyz, and ended by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

from tests.ports import free_port

ROOT = Path(__file__).resolve().parent.parent
#: What the service promises: gone within ten seconds of SIGTERM, sockets open or not.
STOP_SECONDS = 10.0
#: A variable of the person who runs the tests must not change what they test.
_FOREIGN = (
    "JWT_",
    "KAFKA_",
    "SMTP_",
    "MAIL_",
    "PUBLIC_URL",
    "METRICS_TOKEN",
    "ADMIN_TOKEN",
    "HOST",
    "ROLE",
    "ALLOWED_ORIGINS",
    "CANONICAL_URL",
    "CLUSTER_SECRET",
)


class Worker:
    """One `python -m faust -A app worker` with a folder and a port of its own.

    Attributes:
        url: where its web server answers, without a trailing slash.
        log_file: everything it printed, over all its starts.
    """

    def __init__(
        self,
        brokers: str,
        folder: Path,
        *,
        port: int | None = None,
        app: str = "app",
        env: dict[str, str] | None = None,
        command: tuple[str, ...] = ("worker", "-l", "info"),
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = folder / f"worker-{self.port}"
        self.log_file = folder / f"worker-{self.port}.log"
        self._command = [sys.executable, "-m", "faust", "-A", app, *command]
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)}
        self._env = {
            **inherited,
            "KAFKA_BROKERS": brokers,
            "REPLICATION_FACTOR": "1",
            "PORT": str(self.port),
            "DATA_DIR": str(self.data_dir),
            "LOG_LEVEL": "INFO",
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Worker:
        self.start()
        try:
            await self.wait_ready()
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            # A test that failed already says enough; what a stop would add only hides it.
            self.kill()
        elif self.running:
            await self.stop()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the process, also after its end."""
        assert self._process is not None, "not started"
        return self._process.pid

    def log(self) -> str:
        """What the worker printed so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def start(self) -> None:
        """Start it (again: same port, same folder)."""
        assert not self.running, "runs already"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, cwd=ROOT, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )

    async def wait_ready(self, timeout: float = 60.0) -> None:
        """Return once /readyz answers 200; fail with the end of the log when it does not within `timeout` seconds."""
        last = "nothing answered"
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if not self.running:
                raise AssertionError(f"the worker ended with {self.exit_code} before it was ready:\n{self._tail()}")
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                status, body = await self.request("GET", "/readyz", timeout=5)
                if status == 200:
                    return
                last = f"{status} {body}"
            await asyncio.sleep(0.1)
        raise AssertionError(f"the worker was not ready within {timeout:.0f} s (last: {last}):\n{self._tail()}")

    async def request(self, method: str, path: str, *, timeout: float = 15.0, **arguments: Any) -> tuple[int, Any]:
        """Send one HTTP request; return the status and the body (parsed where it is JSON, else text)."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(timeout)) as session,
            session.request(method, self.url + path, **arguments) as answer,
        ):
            if "json" in answer.content_type:
                return answer.status, await answer.json(content_type=None)
            return answer.status, await answer.text()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N after signal N."""
        return self._process.poll() if self._process else None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone; harmless when it is already."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def wait(self, timeout: float) -> int:
        """Wait for its end and return the exit code; fail with the end of the log when it runs on."""
        assert self._process is not None, "not started"
        deadline = time.monotonic() + timeout
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"the worker still ran after {timeout:.0f} s:\n{self._tail()}")
            await asyncio.sleep(0.02)
        return self._process.returncode

    async def stop(self, expected: int = 0) -> float:
        """SIGTERM; it must be gone within ten seconds with the expected exit code. Return how long it took, in seconds."""
        started = time.monotonic()
        self.signal(signal.SIGTERM)
        code = await self.wait(STOP_SECONDS)
        assert code == expected, f"exit code {code} after SIGTERM:\n{self._tail()}"
        return time.monotonic() - started

    def _tail(self, lines: int = 40) -> str:
        return "\n".join(self.log().splitlines()[-lines:])
