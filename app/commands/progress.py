"""How far a command is: a bar where somebody watches, else a line now and then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 10.0
"""Time between two lines in a log."""


class Steps(Protocol):
    """Takes how far the work is."""

    def at(self, done: int, note: str = "") -> None:
        """``done`` steps are done; ``note`` stands beside them."""


class _Bar:
    def __init__(self, progress: Progress, title: str, total: int | None) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=total, note="")

    def at(self, done: int, note: str = "") -> None:
        self._progress.update(self._task, completed=done, note=note)


class _Lines:
    def __init__(self, console: Console, title: str, total: int | None) -> None:
        self._console, self._title, self._total = console, title, total
        self._next = time.monotonic() + LINE_SECONDS

    def at(self, done: int, note: str = "") -> None:
        if (now := time.monotonic()) >= self._next:
            self._next = now + LINE_SECONDS
            of = "" if self._total is None else f" of {self._total:,}"
            self._console.print(f"{self._title}: {done:,}{of} {note}".rstrip(), highlight=False)


@contextmanager
def steps(title: str, total: int | None = None, *, console: Console | None = None) -> Iterator[Steps]:
    """Show how far a piece of work is, on standard error.

    Args:
        title: what is done.
        total: steps until it is all done; None: without end.
        console: where to show it.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console, title, total)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    endless = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed:,}"), TimeElapsedColumn())
    with Progress(*(endless if total is None else columns), TextColumn("{task.fields[note]}"), console=console) as progress:
        yield _Bar(progress, title, total)
