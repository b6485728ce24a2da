"""The worker process: Faust's, without its spinner, and with one clear line where it cannot start."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import faust

from app.errors import StartRefused


class Worker(faust.Worker):
    """Faust's worker. Its progress spinner sets the root logger to DEBUG at log level WARN, which costs a fifth of a core."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.spinner = None


def refuse(error: StartRefused) -> NoReturn:
    """End the process: one line, exit code 2. Nothing has been read or written yet, so nothing needs to be finished."""
    stream = sys.__stderr__  # Faust redirects sys.stderr into its log
    if stream is not None:
        print(f"teamcast: {error}", file=stream, flush=True)
    os._exit(2)
