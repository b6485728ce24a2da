"""Ids that no other test uses, so that tests can share a broker and a worker."""

from __future__ import annotations

import itertools
import random

from aiokafka.partitioner import murmur2

#: A new range in every run: a broker may be an older run's.
_NEXT = itertools.count(random.randrange(10**6, 10**9) * 10**5)


def fresh() -> int:
    """An id of a team, task or user that nobody has used."""
    return next(_NEXT)


def partition_of(key: str, partitions: int = 8) -> int:
    """Where Kafka's default partitioner puts a key."""
    return int(murmur2(key.encode()) & 0x7FFFFFFF) % partitions


def fresh_team(partition: int, partitions: int = 8) -> int:
    """A fresh id of a team whose events stand in this partition of the unified stream."""
    return next(number for number in _NEXT if partition_of(f"team:{number}", partitions) == partition)
