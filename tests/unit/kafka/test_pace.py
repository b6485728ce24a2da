"""Pace: what keeps coming is gathered by the broker; what comes alone is not kept waiting."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from app.kafka.pace import GATHER_BYTES, Pace

REST, LEAST, MOST = 100, 4, 15


class Consumer:
    """Answers with so many records each time, and notes how long it was asked to wait."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.waited: list[float] = []
        self.fetcher: Any = SimpleNamespace(_fetch_min_bytes=1, _fetch_max_wait_ms=REST)
        self.pace = Pace(REST, LEAST, MOST)

    async def ask(self, seconds: float) -> dict[str, list[int]]:
        self.waited.append(seconds)
        count = self.answers.pop(0)
        return {"a": [0] * count} if count else {}

    async def fetch(self) -> int:
        return sum(map(len, (await self.pace.fetch(self.fetcher, self.ask, 0.25)).values()))

    @property
    def next(self) -> tuple[int, int]:
        """Least bytes and longest wait of the next fetch."""
        return self.fetcher._fetch_min_bytes, self.fetcher._fetch_max_wait_ms


async def test_after_a_pause_the_first_record_is_not_kept_waiting() -> None:
    consumer = Consumer(0, 1)
    assert await consumer.fetch() == 0
    assert consumer.next == (1, REST)
    assert await consumer.fetch() == 1
    assert consumer.waited == [0.25, 0.25]


async def test_where_records_come_they_are_gathered_the_longer_the_more_there_are() -> None:
    consumer = Consumer(1, 8, 1000)
    for expected in (LEAST, LEAST + 4, MOST):
        await consumer.fetch()
        assert consumer.next == (GATHER_BYTES, expected)


async def test_when_no_more_come_the_broker_is_asked_to_wait_for_the_next_one_again() -> None:
    consumer = Consumer(1, 0, 0)
    await consumer.fetch()
    assert await consumer.fetch() == 0
    assert consumer.waited == [0.25, 2 * LEAST / 1000, 0.25]
    assert consumer.next == (1, REST)


async def test_what_comes_late_is_given_all_the_same() -> None:
    consumer = Consumer(1, 0, 3)
    await consumer.fetch()
    assert await consumer.fetch() == 3
    assert consumer.next == (GATHER_BYTES, LEAST + 1)
