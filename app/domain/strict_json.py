"""JSON objects from untrusted bytes: what is taken can be written again, exactly, by the same library."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn

import orjson

from app.domain.errors import BadRecord, Code

MAX_DEPTH = 32
"""Most levels of objects and lists; the outermost object is the first."""

_MIN_INTEGER, _MAX_INTEGER = -(2**63), 2**64 - 1
"""What orjson writes: a 64-bit integer, signed or not."""

_LONGEST_INTEGER = max(len(str(_MIN_INTEGER)), len(str(_MAX_INTEGER)))

_SHAPE = bytes.maketrans(b"123456789[", b"000000000{")
"""Makes every digit 0 and every opening bracket a brace: what is looked for is then one string, found at the speed of memory."""
_LONG_RUN = b"0" * 19
"""The shortest run of digits that can be beyond 64 bits: 2^63 has 19."""
_MINUS = ord("-")
_SPACE = frozenset(b" \t\r\n")
_BEFORE_A_NUMBER = frozenset(b":,[")


def load(value: bytes) -> dict[str, Any]:
    """The JSON object that ``value`` is. Of members with the same name the last counts.

    Raises:
        BadRecord: as `load_counted`.
    """
    return load_counted(value)[0]


def load_counted(value: bytes) -> tuple[dict[str, Any], int]:
    """The same, and how many opening braces and brackets it has, those in its texts included: at least as many as objects and lists.

    Raises:
        BadRecord: not-utf8, not-json, unencodable, not-an-object or too-deep, looked for in this order; but what is too deep for the
            parser (some 1,000 levels) is too-deep, whatever else it may be.
    """
    try:
        parsed = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        _explain(value, error)
    # orjson quietly makes floats of longer integers.
    shape = value.translate(_SHAPE)
    run = shape.find(_LONG_RUN)
    if run >= 0 and _is_number(value, shape, run):
        _check_numbers(value.decode())
    if type(parsed) is not dict:
        raise BadRecord(Code.NOT_AN_OBJECT, "the value is JSON, but not an object")
    opened = shape.count(b"{")
    if opened > MAX_DEPTH and deeper_than(parsed, MAX_DEPTH):
        raise _too_deep()
    return parsed, opened


def deeper_than(value: Any, levels: int) -> bool:
    """Whether lists and objects stand in each other more than ``levels`` deep."""
    layer = [value] if type(value) is dict or type(value) is list else []
    for _ in range(levels):
        layer = [
            child
            for node in layer
            for child in (node.values() if type(node) is dict else node)
            if type(child) is dict or type(child) is list
        ]
    return bool(layer)


def _is_number(value: bytes, shape: bytes, run: int) -> bool:
    """Whether a long run of digits, the one at ``run`` or one behind it, stands where a number does.

    It may be in a text all the same; the run in most texts (an id, a stamp) is not, and spares the value a closer look.
    """
    while run >= 0:
        before = run - 1
        if before >= 0 and value[before] == _MINUS:
            before -= 1
        # Each stretch of white space is walked over once at most: what is between two runs belongs to the later one.
        while before >= 0 and value[before] in _SPACE:
            before -= 1
        if before >= 0 and value[before] in _BEFORE_A_NUMBER:
            return True
        # The rest of a run of twice the length is found again, and has a digit before it.
        run = shape.find(_LONG_RUN, run + len(_LONG_RUN))
    return False


def _explain(value: bytes, error: orjson.JSONDecodeError) -> NoReturn:
    """Say what is wrong with a value that orjson does not read; it knows but one error.

    Raises:
        BadRecord: always.
    """
    try:
        text = value.decode()
    except UnicodeDecodeError as undecodable:
        raise BadRecord(Code.NOT_UTF8, f"the value is not UTF-8: {undecodable.reason} at byte {undecodable.start}") from None
    try:
        # Integers as floats, for int() gives up on long ones: what is no JSON at all is to be said first.
        parsed = json.loads(text, parse_int=float, parse_constant=_constant)
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        raise BadRecord(Code.NOT_JSON, f"the value is not JSON: {error}") from None
    if deeper_than(parsed, 1000):
        raise _too_deep()
    _check_numbers(text)
    # Valid JSON with numbers in bounds that orjson refuses: strings are all that is left.
    raise BadRecord(Code.UNENCODABLE, "a string holds half of a surrogate pair, which is no character")


def _check_numbers(text: str) -> None:
    """Read valid JSON with the standard parser, which shows each number as it is written.

    Raises:
        BadRecord: unencodable, too-deep.
    """
    try:
        json.loads(text, parse_int=_integer, parse_float=_float)
    except RecursionError:
        raise _too_deep() from None


def _too_deep() -> BadRecord:
    return BadRecord(Code.TOO_DEEP, f"the value has more than {MAX_DEPTH} levels")


def _integer(literal: str) -> int:
    # The length first: int() takes quadratic time, and no more than 4,300 digits.
    if len(literal) > _LONGEST_INTEGER or not _MIN_INTEGER <= (number := int(literal)) <= _MAX_INTEGER:
        raise BadRecord(Code.UNENCODABLE, "an integer does not fit into 64 bits")
    return number


def _float(literal: str) -> float:
    number = float(literal)
    if not isfinite(number):
        raise BadRecord(Code.UNENCODABLE, "a number is beyond the largest finite double")
    return number


def _constant(literal: str) -> NoReturn:
    raise ValueError(f"{literal} is no JSON")
