"""Which long runs of digits stand where a number does: the same ones that a search for the pattern finds."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import strict_json
from app.domain.errors import BadRecord, Code
from app.domain.strict_json import load

LONG_NUMBER = re.compile(rb"[:,\[][ \t\r\n]*-?[0-9]{19}")

PIECES = [b":", b",", b"[", b"{", b" ", b"\t", b"\r\n", b"-", b'"', b"x", b".", b"0", b"7", b"1" * 18, b"2" * 19, b"9" * 20, b"3" * 38]


def stands_as_a_number(value: bytes) -> bool:
    shape = value.translate(strict_json._SHAPE)
    return strict_json._is_number(value, shape, shape.find(strict_json._LONG_RUN))


@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
@example(b"1" * 19)
@example(b"-" + b"1" * 19)
@example(b" \t" + b"1" * 19)
@example(b":--" + b"1" * 19)
@example(b": - " + b"1" * 19)
@example(b"x" + b"1" * 19 + b"," + b"1" * 19)
@example(b"x" + b"1" * 57 + b", -" + b"1" * 19)
def test_a_long_run_is_a_number_where_the_pattern_says_so(value: bytes) -> None:
    assert stands_as_a_number(value) == (LONG_NUMBER.search(value) is not None)


@pytest.mark.parametrize("before", [b'"x":', b'"x": -', b'"x":\n\t', b'"x":[', b'"x":[0, ', b'"t":"a 1234567890123456789 b","x":'])
def test_an_integer_beyond_64_bits_is_told_wherever_it_stands(before: bytes) -> None:
    closing = b"]" if b"[" in before else b""
    with pytest.raises(BadRecord) as refused:
        load(b"{" + before + b"9" * 20 + closing + b"}")
    assert refused.value.code == Code.UNENCODABLE


@pytest.mark.parametrize("text", ["1" * 19, "#" + "1" * 40, "x-3-12345678901234567890", "at: 12345678901234567890", "-" + "1" * 19])
def test_a_long_run_in_a_text_is_no_number(text: str) -> None:
    assert load(b'{"title":"%b","n":5}' % text.encode()) == {"title": text, "n": 5}


def test_white_space_before_runs_costs_one_walk() -> None:
    """A quarter of a million blanks before each of some runs would take minutes if each looked at all of them."""
    value = b'{"a":"' + (b" " * 250_000 + b"1" * 19 + b"x") * 2 + b"x1111111111111111111" * 5000 + b'"}'
    assert not stands_as_a_number(value)
