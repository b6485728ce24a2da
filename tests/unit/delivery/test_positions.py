"""Positions: opaque texts of one log that compare in log order, and tell a record from any other at its place."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.events import Source
from app.domain.positions import Position, check, check_of, compose, parse, position
from app.domain.unified import headers_for

LOG = "0123456789abcdef"
SOURCE = headers_for(Source("task.created", 0, 15, 1000))
offsets = st.integers(-1, 2**63 - 1)


@given(offsets, offsets)
def test_positions_of_one_log_compare_as_texts_in_log_order(one: int, other: int) -> None:
    texts = [position(LOG, "team:1", offset, SOURCE) for offset in (one, other)]
    assert (texts[0] < texts[1]) == (one < other)


@given(offsets, st.sampled_from(["team:1", "user:1", "team:9007199254740991"]))
def test_a_position_is_taken_apart_into_what_it_was_made_of(offset: int, key: str) -> None:
    text = position(LOG, key, offset, SOURCE)
    assert parse(text) == Position(offset, LOG, check(LOG, key, offset, SOURCE))
    assert text.isascii()
    assert len(text.encode()) < 1024, "an id of server-sent events"


@given(
    offsets, st.lists(st.tuples(st.sampled_from(["source-topic", "source-offset", "v", "traceparent"]), st.none() | st.binary(max_size=5)))
)
def test_a_check_value_is_that_of_the_versions_before(offset: int, headers: list[tuple[str, bytes | None]]) -> None:
    """Clients keep positions over an upgrade."""
    digest = blake2b(f"{LOG} team:1 {offset}".encode(), digest_size=8)
    for name, value in headers:
        if name.startswith("source-") and value is not None:
            digest.update(value + b" ")
    assert check(LOG, "team:1", offset, headers) == digest.hexdigest()


def test_a_check_value_of_our_headers_is_what_it_ever_was() -> None:
    assert check(LOG, "team:1", 7, SOURCE) == check_of(LOG, "team:1", 7, [value for _, value in SOURCE[:4]]) == "f3662e46987fd1ad"


def test_the_place_before_the_first_record_has_a_position_and_it_comes_first() -> None:
    before, first = position(LOG, "team:1", -1, ()), position(LOG, "team:1", 0, SOURCE)
    assert before.startswith("0" * 16 + "-")
    assert first.startswith("0" * 15 + "1-")
    assert before < first
    assert parse(before) == Position(-1, LOG, check(LOG, "team:1", -1, ()))
    assert compose(-1, LOG, check(LOG, "team:1", -1, ())) == before


@pytest.mark.parametrize(
    ("log", "key", "offset", "headers"),
    [
        ("f" * 16, "team:1", 7, SOURCE),
        (LOG, "team:2", 7, SOURCE),
        (LOG, "user:1", 7, SOURCE),
        (LOG, "team:1", 8, SOURCE),
        (LOG, "team:1", 7, headers_for(Source("task.created", 0, 16, 1000))),
        (LOG, "team:1", 7, headers_for(Source("task.created", 1, 5, 1000))),
        (LOG, "team:1", 7, ()),
    ],
)
def test_another_log_team_place_or_record_has_another_check(log: str, key: str, offset: int, headers: list[tuple[str, bytes]]) -> None:
    assert check(log, key, offset, headers) != check(LOG, "team:1", 7, SOURCE)


def test_headers_that_say_nothing_of_the_source_say_nothing_of_the_position() -> None:
    assert check(LOG, "team:1", 7, [*SOURCE, ("traceparent", b"x"), ("v", b"2")]) == check(LOG, "team:1", 7, SOURCE)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "0" * 16,
        f"{7:016x}-{LOG}",
        f"{7:016x}-{LOG}-{LOG}-",
        f"{7:016x}-{LOG}-{LOG}\n",
        f" {7:016x}-{LOG}-{LOG}",
        f"{7:016X}-{LOG.upper()}-{LOG}",
    ],
)
def test_what_is_no_position_is_none(text: str) -> None:
    assert parse(text) is None
