"""What can be wrong with a record: one catalogue of codes, one exception."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import NoReturn

MESSAGE_BYTES = 1024
"""Longest message, in bytes of UTF-8: it travels as a header of the dead letter."""


class Code(StrEnum):
    """Why a record is a dead letter; the texts are the values of its ``error-code`` header."""

    NULL_VALUE = "null-value"
    TOO_LARGE = "too-large"
    NOT_UTF8 = "not-utf8"
    NOT_JSON = "not-json"
    NOT_AN_OBJECT = "not-an-object"
    TOO_DEEP = "too-deep"
    MISSING_FIELD = "missing-field"
    WRONG_TYPE = "wrong-type"
    OUT_OF_RANGE = "out-of-range"
    TYPE_MISMATCH = "type-mismatch"
    BAD_TIMESTAMP = "bad-timestamp"
    BAD_CLOUDEVENT = "bad-cloudevent"
    UNENCODABLE = "unencodable"


@dataclass(slots=True, frozen=True)
class Fault:
    """One thing wrong with a value. ``field`` is its path (``payload.title``), None where the whole value is meant."""

    field: str | None
    code: Code
    message: str


class BadRecord(ValueError):  # noqa: N818 - the record is the error
    """The record is no valid event: dead-letter it, and go on with what follows.

    ``message`` is one line of at most ``MESSAGE_BYTES`` bytes of UTF-8, whatever it was made from.
    """

    def __init__(self, code: Code, message: str, field: str | None = None) -> None:
        self.code = code
        self.message = one_line(message)
        self.field = field
        super().__init__(self.message)


Report = Callable[[Code, str, str | None], None]
"""Takes (code, message, field) of a fault: raises it, or keeps it and lets the check go on."""


def refuse(code: Code, message: str, field: str | None = None) -> NoReturn:
    """The report that stops at the first fault.

    Raises:
        BadRecord: always.
    """
    raise BadRecord(code, message, field)


def one_line(text: str) -> str:
    """``text`` without control characters, line breaks and lone surrogates, cut to ``MESSAGE_BYTES`` bytes of UTF-8."""
    # Cut twice: a character is at least one byte, so the first cut keeps the work small however long the text is.
    line = "".join(char if char.isprintable() else " " for char in text[:MESSAGE_BYTES])
    return line.encode()[:MESSAGE_BYTES].decode(errors="ignore")
