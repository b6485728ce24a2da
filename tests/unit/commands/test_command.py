"""What all commands share: exit codes, one clear line, and a quick end by a signal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

import click
import faust
import pytest
from aiokafka.errors import KafkaTimeoutError

from app.commands import COMMANDS, register
from app.commands.command import FAILED, OK, USAGE, execute
from app.errors import SendFailed


def test_a_command_that_returns_is_fine() -> None:
    async def work() -> None:
        await asyncio.sleep(0)

    assert execute("try", work()) == OK


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (SendFailed("task.created: refused"), FAILED, "try: task.created: refused\n"),
        (KafkaTimeoutError(), FAILED, "try: Kafka refused: KafkaTimeoutError\n"),
        (FileNotFoundError(2, "No such file", "x.json"), FAILED, "try: [Errno 2] No such file: 'x.json'\n"),
        (click.UsageError("give one of them"), USAGE, "Error: give one of them\n"),
    ],
)
def test_what_goes_wrong_is_one_line_and_an_exit_code(capsys: pytest.CaptureFixture[str], error: Exception, code: int, line: str) -> None:
    async def work() -> None:
        raise error

    assert execute("try", work()) == code
    assert capsys.readouterr().err == line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_is_told_by_the_exit_code(number: signal.Signals) -> None:
    ended = []

    async def work() -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    assert execute("try", work()) == 128 + number
    assert ended


def test_a_command_for_which_a_signal_is_the_usual_end_is_fine() -> None:
    async def work() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()

    assert execute("try", work()) == OK


def test_an_error_that_nobody_expects_keeps_its_traceback() -> None:
    async def work() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        execute("try", work())


def test_every_command_has_its_name_and_help() -> None:
    from faust.cli.base import cli

    register(faust.App("commands"))
    for name in COMMANDS:
        assert cli.commands[name].help
