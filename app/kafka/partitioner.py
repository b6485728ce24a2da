"""Where a key goes: Kafka's default partitioner, so that every producer in every language agrees."""

from __future__ import annotations

from functools import lru_cache

from aiokafka.partitioner import murmur2


@lru_cache(maxsize=65_536)
def partition_of(key: bytes, partitions: int) -> int:
    """Partition of ``key`` among ``partitions``: murmur2, sign bit dropped (Java client's ``Utils.toPositive``)."""
    return (int(murmur2(key)) & 0x7FFFFFFF) % partitions
