"""How commands say what they found: tables for people, JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import click
import orjson
from faust.cli import option
from rich.console import Console
from rich.markup import escape
from rich.table import Table

JSON_OPTION = option("--json", "as_json", is_flag=True, default=False, help="Print JSON in place of tables.")

PIPE_WIDTH = 160
"""Columns where nobody's window says how many there are: whole names rather than short lines."""


def print_json(value: Any) -> None:
    """One JSON document, indented."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """A table; a heading that begins with ``>`` is of a column of numbers. ``None`` is an empty cell."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading.removeprefix(">"), justify="right" if heading.startswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell(value) for value in row))
    console().print(table)


def say(text: str) -> None:
    """A line for people."""
    console().print(text, markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Where tables go."""
    found = Console()
    return found if found.is_terminal else Console(width=max(found.width, PIPE_WIDTH))


def cell(value: object) -> str:
    """A value as it stands in a table: numbers with separators, texts that cannot do anything to a terminal."""
    if value is None:
        return ""
    if type(value) is int:
        return f"{value:,}"
    return escape(printable(str(value)))


def printable(text: str) -> str:
    """A text without anything that a terminal would take for an order: what is not printable stands as its escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape", "surrogatepass").decode() for char in text)


def age_text(seconds: float | None) -> str:
    """Seconds in the unit that people would say them in."""
    if seconds is None:
        return ""
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"
