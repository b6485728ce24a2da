"""The owners of rows, asked again until they answer, within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from time import monotonic

from app.domain.events import user_key
from app.domain.topics import UNIFIED
from app.errors import Unavailable
from app.kafka.partitioner import partition_of
from delivery.ring import Ring
from delivery.tail import Tail
from tables.seed import Seed

JOIN_SECONDS = 20.0
"""How long a join waits for a team's owner, and for the tail."""
RETRY_SECONDS = 0.1


@dataclass(slots=True, frozen=True)
class Seeds:
    """Where the rows come from: this worker's own table, or their owner's."""

    rows: Callable[[str, int], Awaitable[Seed]]
    """Rows of a key in a partition.

    Raises:
        Unavailable: The owner is out of reach, moving, or not ready.
    """
    candidates: Callable[[int, int], Awaitable[list[int]]]
    """Teams in which a user may be a member, of all records of the user's partition up to an offset; whether they are one is
    the team's to say.

    Raises:
        Unavailable: As above.
    """


class Owners:
    """Gets what owners have, as soon as this worker's tail can lead on from it."""

    def __init__(self, seeds: Seeds, topics: Mapping[str, int]) -> None:
        self._seeds = seeds
        self._topics = topics
        self.tail: Tail
        """Set once, before anything starts: the tail needs who reads it."""
        self.stopped = False
        """Whether nobody waits for an answer any more."""

    def partition(self, key: str) -> int:
        """Where a key's records are."""
        return partition_of(key.encode(), self._topics[UNIFIED])

    async def seed(self, key: str, reaches: int = -1) -> tuple[int, Ring, Seed]:
        """A key's partition, its ring, and a seed that the ring leads on from.

        Args:
            key: The key.
            reaches: An offset; the seed is the fold of the record there, and of all before it.

        Raises:
            Unavailable: The owner, or the tail, stayed out of reach for `JOIN_SECONDS`.
        """
        partition = self.partition(key)
        deadline = monotonic() + JOIN_SECONDS
        why: Exception | None = None
        while (left := deadline - monotonic()) > 0 and not self.stopped:
            try:
                async with asyncio.timeout(left):
                    seed = await self._seeds.rows(key, partition)
            except (Unavailable, TimeoutError) as error:
                why = error
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if not await self.tail.wait_for(partition, seed.offset, max(0.0, deadline - monotonic())):
                break
            ring = self.tail.ring(partition)
            if seed.offset >= reaches and seed.offset + 1 >= ring.start:
                return partition, ring, seed
            await asyncio.sleep(RETRY_SECONDS)  # the fold is further behind than is asked for, or than the ring reaches
        raise Unavailable(f"the owner of {key} is out of reach") from why

    async def read_candidates(self, user_id: int) -> None:
        """Wait until every team that a user was in before now is among their `candidates`.

        Word of a membership is in the user's partition before the event is in the team's, but the tail may have read
        the event first.

        Raises:
            Unavailable: The log is out of reach, or the tail is too far behind it.
        """
        partition = self.partition(user_key(user_id))
        end = await self.tail.end(partition)
        if not await self.tail.wait_for(partition, end - 1, JOIN_SECONDS):
            raise Unavailable("this worker is behind the log")

    async def candidates(self, user_id: int) -> list[int]:
        """Teams in which a user may be a member.

        Raises:
            Unavailable: Their owner stayed out of reach.
        """
        deadline = monotonic() + JOIN_SECONDS
        upto = self.tail.next(self.partition(user_key(user_id))) - 1
        while True:
            try:
                async with asyncio.timeout(max(0.01, deadline - monotonic())):
                    return await self._seeds.candidates(user_id, upto)
            except (Unavailable, TimeoutError):
                if monotonic() >= deadline or self.stopped:
                    raise Unavailable(f"the owner of user {user_id} is out of reach") from None
            await asyncio.sleep(RETRY_SECONDS)
