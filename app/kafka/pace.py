"""Pace: how long the broker gathers records before it answers a fetch.

What a fetch costs hardly depends on how much it brings: every partition stands in every request and answer. So where records
keep coming the broker gathers them for some milliseconds; the first one after a pause is handed out at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sized
from typing import Any, TypeVar

from aiokafka.consumer.fetcher import Fetcher

GATHER_BYTES = 64 * 1024
"""So much is not kept waiting for more."""

Key = TypeVar("Key")
Records = TypeVar("Records", bound=Sized)


class Pace:
    """Sets a consumer's fetches by what the one before brought."""

    def __init__(self, rest_ms: int, least_ms: int, most_ms: int) -> None:
        """Know the bounds, in milliseconds.

        Args:
            rest_ms: For how long a fetch waits for the first record after a pause.
            least_ms: How long is gathered when records come one by one.
            most_ms: How long is gathered at most.
        """
        self._rest_ms, self._least_ms, self._most_ms = rest_ms, least_ms, most_ms
        self._gather_ms = 0

    async def fetch(self, fetcher: Fetcher, ask: Callable[[float], Awaitable[dict[Key, Records]]], seconds: float) -> dict[Key, Records]:
        """What a consumer has within so many seconds, by partition; empty if nothing came.

        Args:
            fetcher: The consumer's.
            ask: Waits that many seconds for records.
            seconds: The bound.
        """
        found: dict[Key, Records] = {}
        if self._gather_ms:
            found = await ask(min(seconds, 2 * self._gather_ms / 1000))
            if not found:
                self._set(fetcher, 0)
        if not found:
            found = await ask(seconds)
        if found:
            # No await since the records were taken: the next fetch has not been written yet.
            self._set(fetcher, min(self._most_ms, self._least_ms + sum(map(len, found.values())) // 2))
        return found

    def _set(self, fetcher: Any, gather_ms: int) -> None:
        self._gather_ms = gather_ms
        fetcher._fetch_min_bytes = GATHER_BYTES if gather_ms else 1
        fetcher._fetch_max_wait_ms = gather_ms or self._rest_ms
