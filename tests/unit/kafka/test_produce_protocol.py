"""The produce request and its answer are, byte for byte, what aiokafka's schemas say."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiokafka.protocol.produce import ProduceRequest_v7, ProduceResponse_v7
from hypothesis import given
from hypothesis import strategies as st

from app.kafka import produce_protocol
from app.kafka.produce_protocol import Part, decode, encode

COUNTS = st.integers(0, 2**31 - 1)
INT16, INT64 = (st.integers(-(2**bits), 2**bits - 1) for bits in (15, 63))
NAMES = st.text("abcdefghijklmnopqrstuvwxyz.-_0123456789", min_size=1, max_size=30)

batches = st.dictionaries(NAMES, st.lists(st.tuples(COUNTS, st.binary(max_size=60)), max_size=4), max_size=4)
rows = st.tuples(COUNTS, INT16, INT64, INT64, INT64)
topics = st.lists(st.tuples(NAMES, st.lists(rows, max_size=4)), max_size=4)


def answer(of_topics: list[Any]) -> bytes:
    encoded: bytes = ProduceResponse_v7(of_topics, 7).encode()
    return encoded


@given(COUNTS, batches)
def test_a_request_is_written_as_aiokafka_writes_it(timeout_ms: int, found: dict[str, list[tuple[int, bytes]]]) -> None:
    assert encode(timeout_ms, found) == ProduceRequest_v7(None, -1, timeout_ms, list(found.items())).encode()


def test_a_batch_may_be_written_as_the_builder_gives_it() -> None:
    assert encode(1, {"t": [(0, bytearray(b"built"))]}) == encode(1, {"t": [(0, b"built")]})


@given(topics)
def test_an_answer_is_read_as_aiokafka_reads_it(of_topics: list[Any]) -> None:
    assert decode(answer(of_topics)) == [
        Part(topic, number, code, offset, timestamp)
        for topic, of_partitions in of_topics
        for number, code, offset, timestamp, _start in of_partitions
    ]


@given(topics, st.data())
def test_an_answer_that_ends_too_soon_is_an_error_wherever_it_ends(of_topics: list[Any], data: st.DataObject) -> None:
    whole = answer(of_topics)
    with pytest.raises(struct.error):
        decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(st.binary(max_size=200))
def test_whatever_the_bytes_are_they_are_an_answer_or_a_struct_error(frame: bytes) -> None:
    try:
        decode(frame)
    except struct.error:
        return


def test_a_topic_whose_name_is_no_text_is_an_answer_about_a_topic_that_nobody_asked_for() -> None:
    frame = answer([("name", [(0, 0, 5, -1, 0)])]).replace(b"name", b"n\xff\xfee")
    assert [part.topic for part in decode(frame)] == ["n\ufffd\ufffde"]


def test_the_version_is_the_one_whose_schema_this_is() -> None:
    assert (produce_protocol.API_KEY, produce_protocol.VERSION) == (ProduceRequest_v7.API_KEY, ProduceRequest_v7.API_VERSION)
