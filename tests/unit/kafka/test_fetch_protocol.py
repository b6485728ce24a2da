"""The fetch request and its answer are, byte for byte, what aiokafka's schemas say."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.protocol.fetch import FetchRequest_v11, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from app.kafka import fetch_protocol
from app.kafka.fetch_protocol import Part, Wanted, decode, encode

INT16, INT32, INT64 = (st.integers(-(2**bits), 2**bits - 1) for bits in (15, 31, 63))
COUNTS = st.integers(0, 2**31 - 1)
NAMES = st.text("abcdefghijklmnopqrstuvwxyz.-_0123456789", min_size=1, max_size=30)

wanted = st.builds(Wanted, COUNTS, COUNTS, COUNTS, COUNTS, st.sampled_from([0, 1]), st.text(max_size=10))
places = st.dictionaries(NAMES, st.lists(st.tuples(COUNTS, INT64), max_size=4), max_size=4)
numbers = st.dictionaries(NAMES, st.lists(COUNTS, max_size=4), max_size=4)

transactions = st.none() | st.lists(st.tuples(INT64, INT64), max_size=3)
rows = st.tuples(COUNTS, INT16, INT64, INT64, INT64, transactions, INT32, st.none() | st.binary(max_size=60))
topics = st.lists(st.tuples(NAMES, st.lists(rows, max_size=4)), max_size=4)


def answer(error_code: int, session_id: int, of_topics: list[Any]) -> bytes:
    encoded: bytes = FetchResponse_v11(7, error_code, session_id, of_topics).encode()
    return encoded


@given(wanted, INT32, INT32, places, numbers)
def test_a_request_is_written_as_aiokafka_writes_it(
    wanted: Wanted, session_id: int, epoch: int, changed: dict[str, list[tuple[int, int]]], gone: dict[str, list[int]]
) -> None:
    theirs = FetchRequest_v11(
        -1,
        wanted.max_wait_ms,
        wanted.min_bytes,
        wanted.max_bytes,
        wanted.isolation_level,
        session_id,
        epoch,
        [(topic, [(number, -1, at, -1, wanted.partition_bytes) for number, at in found]) for topic, found in changed.items()],
        list(gone.items()),
        wanted.rack,
    )
    assert encode(wanted, session_id, epoch, changed, gone) == theirs.encode()


@given(INT16, INT32, topics)
def test_an_answer_is_read_as_aiokafka_reads_it(error_code: int, session_id: int, of_topics: list[Any]) -> None:
    found = decode(answer(error_code, session_id, of_topics))
    assert (found.error_code, found.session_id) == (error_code, session_id)
    assert found.parts == [
        Part(topic, number, code, highwater, last_stable, aborted or None, records or b"")
        for topic, of_partitions in of_topics
        for number, code, highwater, last_stable, _start, aborted, _replica, records in of_partitions
    ]


@given(topics, st.data())
def test_an_answer_that_ends_too_soon_is_an_error_wherever_it_ends(of_topics: list[Any], data: st.DataObject) -> None:
    whole = answer(0, 1, of_topics)
    with pytest.raises(struct.error):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_an_answer_or_a_struct_error(frame: bytes) -> None:
    try:
        decode(frame)
    except struct.error:
        return


def test_a_topic_whose_name_is_no_text_is_an_answer_about_a_topic_that_nobody_asked_for() -> None:
    frame = answer(0, 1, [("name", [(0, 0, 5, 5, 0, None, -1, b"records")])]).replace(b"name", b"n\xff\xfee")
    assert [part.topic for part in decode(frame).parts] == ["n\ufffd\ufffde"]


def test_the_version_is_the_one_whose_schema_this_is() -> None:
    assert (fetch_protocol.API_KEY, fetch_protocol.VERSION) == (FetchRequest_v11.API_KEY, FetchRequest_v11.API_VERSION)
