"""Positions: where in a team's log a client is, as an opaque text that compares in log order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

_FORM = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-([0-9a-f]{16})")


@dataclass(slots=True, frozen=True)
class Position:
    """A position taken apart."""

    offset: int
    log: str
    """Tells one log from another; 16 hex digits."""
    check: str
    """Tells this record, of this team, from any other at the same offset; 16 hex digits."""


def position(log: str, key: str, offset: int, headers: Sequence[tuple[str, bytes | None]]) -> str:
    """The position of a record: ``<offset + 1>-<log>-<check>``, each 16 hex digits.

    One more than the offset, so that the place before the first record has a position too.

    Args:
        log: The log's id, 16 hex digits.
        key: ``team:<id>`` or ``user:<id>``.
        offset: The record's offset in its partition; -1: the place before the first.
        headers: The record's headers: where it came from identifies it.
    """
    return compose(offset, log, check(log, key, offset, headers))


def compose(offset: int, log: str, check_value: str) -> str:
    """The position with these parts."""
    return f"{offset + 1:016x}-{log}-{check_value}"


def check(log: str, key: str, offset: int, headers: Sequence[tuple[str, bytes | None]]) -> str:
    """The check value of a record; of a place without one when ``headers`` is empty."""
    return check_of(log, key, offset, [value for name, value in headers if name.startswith("source-") and value is not None])


def check_of(log: str, key: str, offset: int, source: Sequence[bytes]) -> str:
    """The same, from the values of the headers that say where the record came from."""
    told = b" ".join([*source, b""])  # a space behind each
    return blake2b(f"{log} {key} {offset}".encode() + told, digest_size=8).hexdigest()


def parse(text: str) -> Position | None:
    """Take a position apart; ``None`` for what is no position."""
    found = _FORM.fullmatch(text)
    return Position(int(found[1], 16) - 1, found[2], found[3]) if found else None
