"""``--since``: how far back a command looks."""

from __future__ import annotations

import re
import time
from typing import Any

import click
from faust.cli import option

from app.kafka.offsets import parse_start

_AGO = re.compile(r"([0-9]{1,9})(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def since_ms(text: str, now_ms: int) -> int | None:
    """``15m``, ``24h``, ``7d``, an RFC 3339 time, or ``earliest``, as milliseconds since the epoch; ``None`` for the earliest.

    Raises:
        ValueError: It is none of them.
    """
    if found := _AGO.fullmatch(text):
        return max(0, now_ms - int(found[1]) * _SECONDS[found[2]] * 1000)
    start = parse_start(text)
    if start == "end":
        raise ValueError("nothing is behind the end")
    return start if isinstance(start, int) else None


def since_option(default: str) -> Any:
    """The option, with its default."""
    return option(
        "--since",
        callback=_parse,
        default=default,
        metavar="15m|24h|7d|TIME|earliest",
        help=f"How far back to look; a time such as 2026-11-23T10:00:00Z. Default {default}.",
    )


def _parse(ctx: click.Context, param: click.Parameter, text: str) -> int | None:
    try:
        return since_ms(text, int(time.time() * 1000))
    except ValueError as error:
        raise click.BadParameter(f"{error}; give 15m, 24h, 7d, earliest, or a time such as 2026-11-23T10:00:00Z") from None
