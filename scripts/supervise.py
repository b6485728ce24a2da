"""Run a command and start it again when it fails: ``python scripts/supervise.py COMMAND...``.

A worker that meets something it must not paper over (a failed send, a commit that does not return) leaves at once and comes back clean.
It is not started again when it ended well, when its settings are bad (exit code 2), or when it did not last five seconds, unless all
that it lacked were brokers (exit code 69).
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess  # nosec B404
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType

BAD_SETTINGS = 2
BROKERS_AWAY = 69
SHORT_LIFE_SECONDS = 5.0
LONG_LIFE_SECONDS = 60.0
LONGEST_PAUSE_SECONDS = 30.0


class Supervisor:
    """One child, started again with a growing pause; SIGTERM and SIGINT are passed on and end the loop."""

    def __init__(self, command: list[str]) -> None:
        """Take the command; nothing runs yet."""
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None
        self._leaving = threading.Event()

    def run(self) -> int:
        """Supervise until the child ends for good, and return its exit code (128 + N after signal N)."""
        signal.signal(signal.SIGTERM, self._leave)
        signal.signal(signal.SIGINT, self._leave)
        pause = 1.0
        while True:
            started = time.monotonic()
            code = self._once()
            lived = time.monotonic() - started
            if self._leaving.is_set() or code in (0, BAD_SETTINGS) or (lived < SHORT_LIFE_SECONDS and code != BROKERS_AWAY):
                return code
            pause = 1.0 if lived > LONG_LIFE_SECONDS else min(2 * pause, LONGEST_PAUSE_SECONDS)
            print(f"ended with exit code {code}; starting it again in {pause:.0f} s", flush=True)
            if self._leaving.wait(pause):
                return code

    def _once(self) -> int:
        # A session of its own: the process group gets the signal from outside, and the child must get it once and not twice.
        die = _die_with_parent()
        self._child = subprocess.Popen(self._command, start_new_session=True, preexec_fn=die)  # noqa: PLW1509  # nosec B603
        if self._leaving.is_set():
            self._child.terminate()
        code = self._child.wait()
        return code if code >= 0 else 128 - code

    def _leave(self, signum: int, frame: FrameType | None) -> None:
        if not self._leaving.is_set() and self._child is not None:
            self._child.terminate()
        self._leaving.set()


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def arm() -> None:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: whoever kills the supervisor hard means the child
        if os.getppid() != parent:
            os._exit(1)

    return arm


if __name__ == "__main__":
    sys.exit(Supervisor(sys.argv[1:]).run())
