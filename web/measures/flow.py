"""Flow: how much comes in by topic, how long it takes to a socket, and which teams it is about; all of the last seconds."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from prometheus_client.metrics import MetricWrapperBase

from app import metrics
from delivery.tail import Tail

WINDOW_SECONDS: Final = 15.0
"""What a rate is the mean of: three samples, long enough for a number that stands still long enough to be read."""
HOT_SECONDS: Final = 60.0
"""How far back teams are counted."""
RECENT = 5_000
"""Newest records of a partition that are looked at for it."""
QUANTILES: Final = (0.5, 0.99)


@dataclass(slots=True, frozen=True)
class Counts:
    """Counters of this process at one moment."""

    at: float
    """Seconds, on a clock that only goes on."""
    events: Mapping[str, float]
    """Source records read, by topic."""
    dead_letters: Mapping[str, float]
    """By topic."""
    delivered: Mapping[float, float]
    """Deliveries that took at most so many seconds; the last bound is infinite."""


def counts(now: float) -> Counts:
    """The counters as they stand."""
    delivered = {float(labels["le"]): value for name, labels, value in _samples(metrics.DELIVERY_SECONDS) if name.endswith("_bucket")}
    return Counts(now, _by_topic(metrics.EVENTS), _by_topic(metrics.DEAD_LETTERS), delivered)


def _samples(metric: MetricWrapperBase) -> Iterable[tuple[str, Mapping[str, str], float]]:
    return ((sample.name, sample.labels, sample.value) for family in metric.collect() for sample in family.samples)


def _by_topic(metric: MetricWrapperBase) -> dict[str, float]:
    found: defaultdict[str, float] = defaultdict(float)
    for _name, labels, value in _samples(metric):
        found[labels["topic"]] += value
    return dict(found)


@dataclass(slots=True, frozen=True)
class Flow:
    """What happened in a second, on the mean of the last ones; of one worker, or of several together."""

    events: Mapping[str, float]
    dead_letters: Mapping[str, float]
    delivered: Mapping[float, float]

    def as_json(self) -> dict[str, Any]:
        """As workers tell each other."""
        delivered = [[str(bound), rate] for bound, rate in self.delivered.items()]
        return {"events": self.events, "deadLetters": self.dead_letters, "delivered": delivered}

    @classmethod
    def parse(cls, told: Mapping[str, Any]) -> Flow:
        """What another worker told."""
        return cls(told["events"], told["deadLetters"], {float(bound): rate for bound, rate in told["delivered"]})


class Recent:
    """Remembers counters for as long as a rate looks back."""

    def __init__(self) -> None:
        self._kept: deque[Counts] = deque()

    def note(self, found: Counts) -> None:
        """Remember the counters; called every few seconds."""
        self._kept.append(found)
        # The oldest one that is kept is the newest that is at least a window old: what a rate is measured from.
        while len(self._kept) > 1 and found.at - self._kept[1].at >= WINDOW_SECONDS:
            self._kept.popleft()

    def flow(self, now: Counts) -> Flow:
        """What happened since; all zeros right after the start."""
        then = self._kept[0] if self._kept else now
        seconds = max(now.at - then.at, 1.0)
        return Flow(
            {topic: (value - then.events.get(topic, 0.0)) / seconds for topic, value in now.events.items()},
            {topic: (value - then.dead_letters.get(topic, 0.0)) / seconds for topic, value in now.dead_letters.items()},
            {bound: (value - then.delivered.get(bound, 0.0)) / seconds for bound, value in now.delivered.items()},
        )


def together(flows: Iterable[Flow]) -> Flow:
    """What several workers do as one. Their histograms have the same bounds, since they run the same program."""
    events: defaultdict[str, float] = defaultdict(float)
    dead_letters: defaultdict[str, float] = defaultdict(float)
    delivered: defaultdict[float, float] = defaultdict(float)
    for one in flows:
        for topic, rate in one.events.items():
            events[topic] += rate
        for topic, rate in one.dead_letters.items():
            dead_letters[topic] += rate
        for bound, rate in one.delivered.items():
            delivered[bound] += rate
    return Flow(dict(events), dict(dead_letters), dict(sorted(delivered.items())))


def quantile(delivered: Mapping[float, float], share: float) -> float | None:
    """The time within which a share of deliveries was done, as Prometheus's ``histogram_quantile`` guesses it.

    Args:
        delivered: Deliveries that took at most so many seconds, by bound, ascending; the last bound is infinite.
        share: Between 0 and 1.

    Returns:
        Seconds; the largest finite bound where it is beyond; ``None`` where nothing was delivered.
    """
    total = max(delivered.values(), default=0.0)
    if total <= 0:
        return None
    wanted = share * total
    for (low, below), (high, upto) in pairwise([(0.0, 0.0), *delivered.items()]):
        if upto >= wanted:
            if high == float("inf"):
                return low
            return low + (high - low) * (wanted - below) / (upto - below) if upto > below else high
    return None


async def hot(tail: Tail, partitions: Iterable[int], now_ms: float, limit: int) -> list[tuple[int, int]]:
    """Teams with most events of the last `HOT_SECONDS`, most first: (team, events), as far as the tail has them.

    Every worker's tail reads all partitions, so that one can tell for all.
    """
    found: Counter[int] = Counter()
    since = now_ms - HOT_SECONDS * 1000
    for partition in partitions:
        try:
            ring = tail.ring(partition)
        except KeyError:  # the tail has not begun, or begins anew
            continue
        for entry in ring.newest(RECENT):
            if entry.timestamp < since:
                continue  # by the source records' time, which is in no order
            team_id = entry.key.removeprefix("team:")
            if team_id.isdecimal():
                found[int(team_id)] += 1
        await asyncio.sleep(0)
    return sorted(found.items(), key=lambda one: (-one[1], one[0]))[:limit]
