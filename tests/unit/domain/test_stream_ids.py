"""Ids of event streams: whole, short, and good for nothing but what they were made for."""

from __future__ import annotations

import dataclasses
import re
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.stream_ids import MAX_CHARACTERS, Places, Scope, decode, encode

SCOPE = Scope("0123456789abcdef", 7, None)
OFFSETS = st.integers(-1, 2**53)
KEYS = st.one_of(st.just("user:7"), st.integers(1, 2**53 - 1).map("team:{}".format))
PLACES = st.builds(
    Places, st.dictionaries(st.integers(0, 2000), OFFSETS, max_size=40), st.dictionaries(KEYS, st.none() | OFFSETS, max_size=20)
)


@given(PLACES)
def test_an_id_says_what_was_put_into_it(places: Places) -> None:
    assert decode(SCOPE, encode(SCOPE, places, ())) == places


@given(st.integers(0, 3000), st.sets(st.integers(0, 2999), max_size=400), st.integers(0, 400))
def test_an_id_is_never_longer_than_1_kib_and_never_claims_what_it_cannot_say(partitions: int, used: set[int], waiting: int) -> None:
    exceptions: dict[str, int | None] = {f"team:{2**40 + number}": 2**32 for number in range(waiting)}
    places = Places(dict.fromkeys(range(partitions), 2**32), exceptions)
    text = encode(SCOPE, places, used)
    assert len(text) <= MAX_CHARACTERS
    assert re.fullmatch("[A-Za-z0-9_-]*", text)
    told = decode(SCOPE, text)
    assert told is not None
    narrowed = {number: offset for number, offset in places.floors.items() if number in used}
    assert told in (places, Places(narrowed, exceptions), Places())


def test_where_all_partitions_do_not_fit_those_in_use_do() -> None:
    text = encode(SCOPE, Places(dict.fromkeys(range(1000), 2**32)), {3, 999})
    assert decode(SCOPE, text) == Places({3: 2**32, 999: 2**32})


def test_where_these_do_not_fit_either_every_place_is_unknown() -> None:
    text = encode(SCOPE, Places(dict.fromkeys(range(1000), 2**32)), set(range(1000)))
    told = decode(SCOPE, text)
    assert told is not None
    assert told.of("team:1", 0) is None


def test_a_hundred_partitions_of_a_log_of_billions_fit() -> None:
    places = Places(dict.fromkeys(range(100), 2**34))
    assert decode(SCOPE, encode(SCOPE, places, ())) == places


@given(PLACES, st.integers(0, 10_000), st.sampled_from("ABCxyz019-_"))
def test_an_id_with_another_character_is_none(places: Places, at: int, character: str) -> None:
    text = encode(SCOPE, places, ())
    at %= len(text)
    forged = text[:at] + character + text[at + 1 :]
    # The last character may have bits that say nothing.
    assert forged == text or decode(SCOPE, forged) in ((None, places) if at == len(text) - 1 else (None,))


@pytest.mark.parametrize("other", [{"log": "f" * 16}, {"user_id": 8}, {"teams": frozenset({1})}, {"teams": frozenset({1, 2})}], ids=str)
def test_an_id_of_another_log_user_or_narrowing_is_none(other: dict[str, object]) -> None:
    text = encode(SCOPE, Places({0: 5}), ())
    assert decode(dataclasses.replace(SCOPE, **other), text) is None  # type: ignore[arg-type]


@given(st.text(max_size=60))
def test_a_text_is_no_id(text: str) -> None:
    assert decode(SCOPE, text) is None


@given(st.binary(max_size=60))
def test_bytes_with_a_right_check_are_an_id_or_none_and_no_error(body: bytes) -> None:
    decode(SCOPE, urlsafe_b64encode(SCOPE.check(body) + body).rstrip(b"=").decode())


def test_what_is_still_to_come_of_a_key_counts_before_its_partition() -> None:
    places = Places({0: 9}, {"team:1": 4, "team:2": None})
    assert [places.of(f"team:{team}", 0) for team in (1, 2, 3)] == [4, None, 9]
    assert places.of("team:3", 1) is None
