"""Every producer in every language puts a key into the same partition."""

from __future__ import annotations

import pytest

from app.kafka.partitioner import partition_of

JAVA = [
    # UtilsTest.testMurmur2 of Apache Kafka's Java client: key, murmur2.
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "murmur2"), JAVA)
@pytest.mark.parametrize("partitions", [1, 2, 8, 32, 1000])
def test_a_key_goes_where_the_java_client_puts_it(key: bytes, murmur2: int, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2 & 0x7FFFFFFF) % partitions


def test_keys_are_spread() -> None:
    assert {partition_of(b"team:%d" % team, 8) for team in range(100)} == set(range(8))
