"""A histogram of which many equal observations cost as much as one."""

from __future__ import annotations

from bisect import bisect_left

from prometheus_client import Histogram


class WeightedHistogram(Histogram):
    """prometheus-client's histogram; an event that a thousand sockets got at once is one call, and not a thousand."""

    def observe_many(self, amount: float, count: int) -> None:
        """Observe ``amount`` so many times."""
        self._sum.inc(amount * count)
        self._buckets[bisect_left(self._upper_bounds, amount)].inc(count)
