"""The worker process: Faust's, without its spinner, and with one clear line where it cannot start."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from typing import Any, NoReturn, Protocol, cast

import faust
from faust.cli.worker import worker as faust_command

from app import logs
from app.errors import StartRefused
from app.garbage import Garbage
from app.settings import Settings

STOP_SECONDS = 4.5
"""Time to stop in after the clients have been let go."""
CANCELLED_SECONDS = 1.0
"""What tasks that are cancelled at the very end have to clean up in."""
EXIT_LATE = 75
"""EX_TEMPFAIL of sysexits.h: something hung, and the process left without it."""


class HasSettings(Protocol):
    """An application of this project."""

    settings: Settings


class Worker(faust.Worker):
    """Faust's worker. Its progress spinner sets the root logger to DEBUG at log level WARN, which costs a fifth of a core."""

    def __init__(self, app: Any, *args: Any, **kwargs: Any) -> None:
        settings = cast(HasSettings, app).settings
        if "log_level" in settings.model_fields_set:  # what the environment says wins over -l
            kwargs["loglevel"] = settings.log_level
        if settings.log_format == "json":
            # Who reads lines of JSON has no use for Faust's picture of its options.
            faust_command.on_worker_created = _say_nothing  # type: ignore[method-assign,assignment]
        super().__init__(app, *args, **kwargs)
        self.spinner = None
        self._signalled = False
        self._garbage = Garbage()

    async def on_startup_finished(self) -> None:
        """From here on garbage is collected as a worker needs it."""
        await super().on_startup_finished()
        self._garbage.begin()
        self.add_future(self._garbage.watch())

    def on_setup_root_logger(self, logger: logging.Logger, level: int) -> None:
        """Give every line its shape, whoever writes it."""
        logs.shape(logger.handlers, cast(HasSettings, self.app).settings, level)

    def _on_sigterm(self) -> None:
        self._leave_in_time()
        super()._on_sigterm()

    def _on_sigint(self) -> None:
        self._leave_in_time()
        super()._on_sigint()

    async def _sentinel_task(self) -> None:
        """Wait for tasks that were cancelled at the end. Faust sleeps for a second here, whether or not there are any."""
        left = asyncio.all_tasks() - {cast(Any, asyncio.current_task())}
        if left:
            await asyncio.wait(left, timeout=CANCELLED_SECONDS)

    def _shutdown_loop(self) -> None:
        super()._shutdown_loop()
        if self._signalled:
            # All is stopped and closed. The interpreter would take apart every module now, for most of a second of processor time.
            logging.shutdown()
            for stream in (sys.__stdout__, sys.__stderr__):
                if stream is not None:
                    stream.flush()
            os._exit(0)

    def _leave_in_time(self) -> None:
        """However long something hangs, the process is gone in time; what it had not committed is read again."""
        self._signalled = True
        deadline = threading.Timer(cast(HasSettings, self.app).settings.drain_seconds + STOP_SECONDS, os._exit, (EXIT_LATE,))
        deadline.daemon = True
        deadline.start()


def _say_nothing(_command: Any, _worker: Any) -> None:
    """In place of the banner."""


def refuse(error: StartRefused) -> NoReturn:
    """End the process with one line and the error's exit code; nothing was read or written yet, so nothing needs to be finished."""
    stream = sys.__stderr__  # Faust redirects sys.stderr into its log
    if stream is not None:
        print(f"teamcast: {error}", file=stream, flush=True)
    os._exit(error.exit_code)
