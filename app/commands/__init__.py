"""The commands of ``python -m faust -A app …`` besides Faust's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import faust

from app.commands import deadletters, emit, export, forget, importing, lag, offsets, replay, simulate, tables, teams, topics, trace, verify
from app.commands.command import Command

COMMANDS: dict[str, tuple[Callable[..., Awaitable[None]], Sequence[Any]]] = {
    "topics": (topics.run, topics.OPTIONS),
    "emit": (emit.run, emit.OPTIONS),
    "simulate": (simulate.run, simulate.OPTIONS),
    "import": (importing.run, importing.OPTIONS),
    "offsets": (offsets.run, offsets.OPTIONS),
    "deadletters": (deadletters.run, deadletters.OPTIONS),
    "lag": (lag.run, lag.OPTIONS),
    "teams": (teams.run, teams.OPTIONS),
    "tables": (tables.run, tables.OPTIONS),
    "trace": (trace.run, trace.OPTIONS),
    "replay": (replay.run, replay.OPTIONS),
    "verify": (verify.run, verify.OPTIONS),
    "export": (export.run, export.OPTIONS),
    "forget": (forget.run, forget.OPTIONS),
}
"""Every command: what it runs, its options and arguments. The help is the docstring of what it runs."""


def register(app: faust.App) -> None:
    """Add every command to the application."""
    for name, (run, options) in COMMANDS.items():
        run.__name__ = run.__qualname__ = name  # Faust calls a command what its function is called, and `import` is no name for one
        app.command(*options, base=Command)(run)
