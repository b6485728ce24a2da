"""What commands print: harmless to a terminal, and in units that people say."""

from __future__ import annotations

import pytest

from app.commands.output import age_text, cell, printable
from app.commands.since import since_ms
from app.domain.timestamps import time_text

NOW = 1_795_428_000_000


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ä", "plain ä"), ("\x1b[2J", "\\x1b[2J"), ("a\nb\tc", "a\\nb\\tc"), ("\u202eevil", "\\u202eevil"), ("\ud800", "\\ud800")],
)
def test_nothing_reaches_the_terminal_that_it_would_obey(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_brackets_are_no_markup() -> None:
    assert cell("[red]x") == "\\[red]x"


def test_cells() -> None:
    assert (cell(None), cell(1234567), cell(True)) == ("", "1,234,567", "True")


@pytest.mark.parametrize(("seconds", "text"), [(None, ""), (0.04, "0.0 s"), (119, "119.0 s"), (7200, "2.0 h"), (3 * 86400, "3.0 d")])
def test_ages(seconds: float | None, text: str) -> None:
    assert age_text(seconds) == text


def test_times() -> None:
    assert time_text(NOW) == "2026-11-23T10:00:00.000Z"
    assert time_text(-1) is None


@pytest.mark.parametrize(
    ("text", "ms"), [("15m", NOW - 900_000), ("7d", NOW - 604_800_000), ("earliest", None), ("2026-11-23T09:00:00Z", NOW - 3_600_000)]
)
def test_since(text: str, ms: int | None) -> None:
    assert since_ms(text, NOW) == ms


@pytest.mark.parametrize("text", ["", "15", "-1h", "end", "yesterday", "2026-11-23T09:00:00", "1w"])
def test_what_says_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        since_ms(text, NOW)
