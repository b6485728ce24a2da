"""What every command is: a coroutine with a loop of its own, and an exit code."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from typing import Any, ClassVar, NoReturn

import click
from aiokafka.errors import KafkaError
from faust.cli.base import AppCommand

from app.errors import TeamcastError
from app.settings import Settings, load_or_exit

OK, FAILED, USAGE = 0, 1, 2
_BY_SIGNAL = 128
"""A shell's exit code for a program that signal N ended is this plus N."""


class Command(AppCommand):
    """Runs ``run`` beside the worker, never in it: none of the application's services is started.

    Exit codes: 0 fine; 1 failed, with one line that says how; 2 bad arguments or settings; 128 + N ended by signal N.

    Attributes:
        settings: those of this process.
    """

    abstract: ClassVar[bool] = True

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and leave with its exit code."""
        self.settings: Settings = load_or_exit()
        # The client logs each try of each broker; the one line that counts is ours.
        logging.getLogger("aiokafka").setLevel(logging.DEBUG if self.debug else logging.CRITICAL)
        raise SystemExit(execute(type(self).__name__, self.run(*self.args, *args, **{**self.kwargs, **kwargs})))


def execute(name: str, work: Coroutine[Any, Any, None]) -> int:
    """Run ``work`` to its end, or until SIGINT or SIGTERM cancels it.

    Args:
        name: of the command, for the line that says what failed.
        work: returns when all is well, also after it was cancelled, if that is how it ends.

    Returns:
        The exit code.
    """
    # Not uvloop, which takes a connection's reset for a reason to die, and gains nothing at this pace.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        try:
            received = runner.run(_until_signalled(work))
        except click.UsageError as error:
            error.show()
            return USAGE
        except TeamcastError as error:
            return _fail(name, str(error))
        except KafkaError as error:
            return _fail(name, f"Kafka refused: {str(error) or type(error).__name__}")
        except BrokenPipeError:
            # Who reads our output has seen enough. Python would complain once more when it flushes at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return OK
        except OSError as error:
            return _fail(name, str(error))
    return OK if received is None else _BY_SIGNAL + received


async def _until_signalled(work: Coroutine[Any, Any, None]) -> int | None:
    """Run ``work``; the number of the signal that ended it, None when it returned."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    received: list[int] = []

    def cancel(number: int) -> None:
        received.append(number)
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel, number)
    try:
        await task
    except asyncio.CancelledError:
        if not received:
            raise
        return received[0]
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return None


def _fail(name: str, message: str) -> int:
    click.echo(f"{name}: {message}", err=True)
    return FAILED
