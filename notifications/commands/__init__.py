"""The commands of ``python -m faust -A notifications …`` besides Faust's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust

from notifications.commands import deadletters, outbox
from notifications.commands.command import MailCommand

COMMANDS: dict[str, tuple[Callable[..., Awaitable[None]], Sequence[Any]]] = {
    "outbox": (outbox.run, outbox.OPTIONS),
    "deadletters": (deadletters.run, deadletters.OPTIONS),
}
"""Every command: what it runs, its options and arguments. The help is the docstring of what it runs."""


def register(app: faust.App) -> None:
    """Add every command to the application."""
    for name, (run, options) in COMMANDS.items():
        run.__name__ = run.__qualname__ = name  # Faust calls a command what its function is called
        app.command(*options, base=MailCommand)(run)
