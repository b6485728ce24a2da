"""What a fetch brought, unpacked."""

from __future__ import annotations

import pytest
from aiokafka.consumer.fetcher import READ_COMMITTED, READ_UNCOMMITTED
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from app.kafka.fetched import Records
from app.kafka.record import Record

TP = TopicPartition("t", 3)


def unpacked(raw: bytes, at: int = 0, isolation: int = READ_UNCOMMITTED) -> list[Record]:
    return Records(TP, MemoryRecords(raw), [], at, None, None, False, isolation).take(500)


def packed() -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 2**20)
    for offset in range(3):
        builder.append(offset, 1000 + offset, b"k", b"%d" % offset, [("h", b"x"), ("null", None)])
    return bytes(builder.build())


@pytest.mark.parametrize("isolation", [READ_UNCOMMITTED, READ_COMMITTED])
def test_records_are_unpacked_from_where_they_are_wanted(isolation: int) -> None:
    headers = (("h", b"x"), ("null", None))
    assert [one._replace(headers=tuple(one.headers)) for one in unpacked(packed(), 1, isolation)] == [
        Record("t", 3, offset, 1000 + offset, 0, b"k", b"%d" % offset, headers) for offset in (1, 2)
    ]


@pytest.mark.parametrize("magic", [0, 1])
def test_records_of_an_older_format_have_no_headers_and_those_of_the_oldest_no_time(magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic, 0, 2**20)
    builder.append(0, 1000, b"k", b"v", [])
    assert unpacked(bytes(builder.build())) == [Record("t", 3, 0, -1 if magic == 0 else 1000, 0, b"k", b"v")]
