"""The watchdog: a worker that stands still while the brokers answer leaves, and one that rightly waits does not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.kafka import watchdog as module
from app.kafka.watchdog import BUSY_SECONDS, EXIT_CODE, STUCK_SECONDS, Watchdog
from app.settings import Settings

BUSY = None
"""A rebalance is under way."""
IDLE: dict[str, object] = {}
STUCK: dict[str, object] = {"the commit of tasks-0": 7}
Check = tuple[float, dict[str, object] | None]
"""When a check is made, and what waits then."""


class Worker:
    """A worker as its watchdog sees it, check by check."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, checks: list[Check], *, brokers_answer: bool = True) -> None:
        self.exits: list[tuple[float, int]] = []
        """When it left, and how."""
        self._checks = iter(checks)
        self._now = 0.0
        self._waiting: dict[str, object] | None = None
        consumer = SimpleNamespace(waiting=lambda: self._waiting)
        self.watchdog = Watchdog(Settings(_env_file=None), lambda: cast(Any, consumer), lambda: self._waiting is BUSY)

        async def reachable(_settings: Settings) -> bool:
            return brokers_answer

        monkeypatch.setattr(module, "reachable", reachable)
        monkeypatch.setattr(module, "monotonic", lambda: self._now)
        monkeypatch.setattr(module, "os", SimpleNamespace(_exit=lambda code: self.exits.append((self._now, code))))
        monkeypatch.setattr(self.watchdog, "sleep", self._next)

    async def _next(self, seconds: float) -> None:
        assert seconds == module.CHECK_SECONDS
        check = next(self._checks, None)
        if check is None:
            self._waiting = IDLE
            self.watchdog._stopped.set()
        else:
            self._now, self._waiting = check

    async def run(self) -> list[tuple[float, int]]:
        await cast(Any, Watchdog._watch).fun(self.watchdog)
        return self.exits


async def test_a_rebalance_that_takes_longer_than_its_bound_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, [(1000.0, BUSY), (1000.0 + BUSY_SECONDS, BUSY), (1001.0 + BUSY_SECONDS, BUSY)])
    assert await worker.run() == [(1001.0 + BUSY_SECONDS, EXIT_CODE)]


async def test_rebalances_one_behind_another_are_bounded_each_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    later = 1005.0 + BUSY_SECONDS
    checks: list[Check] = [(1000.0, BUSY), (999.0 + BUSY_SECONDS, BUSY), (later - 1.0, IDLE), (later, BUSY), (later + BUSY_SECONDS, BUSY)]
    assert await Worker(monkeypatch, checks).run() == []


async def test_a_rebalance_without_brokers_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[Check] = [(1000.0, BUSY), (1001.0 + BUSY_SECONDS, BUSY)]
    assert await Worker(monkeypatch, checks, brokers_answer=False).run() == []


async def test_what_stands_still_for_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Worker(monkeypatch, [(1000.0, STUCK), (1000.0 + STUCK_SECONDS, STUCK), (1001.0 + STUCK_SECONDS, STUCK)])
    assert await worker.run() == [(1001.0 + STUCK_SECONDS, EXIT_CODE)]


async def test_what_stands_still_without_brokers_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[Check] = [(1000.0, STUCK), (1001.0 + STUCK_SECONDS, STUCK)]
    assert await Worker(monkeypatch, checks, brokers_answer=False).run() == []


async def test_what_moves_however_slowly_is_not_stuck(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[Check] = [(1000.0 + step * STUCK_SECONDS, {"the commit of tasks-0": step}) for step in range(5)]
    assert await Worker(monkeypatch, checks).run() == []


async def test_what_stood_still_before_a_rebalance_has_its_time_again_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    checks: list[Check] = [(1000.0, STUCK), (1050.0, BUSY), (1055.0, STUCK), (1055.0 + STUCK_SECONDS, STUCK)]
    assert await Worker(monkeypatch, checks).run() == []


def test_what_is_stuck_is_named_and_each_thing_has_a_time_of_its_own() -> None:
    watchdog = Watchdog(Settings(_env_file=None), lambda: cast(Any, None), lambda: False)
    assert watchdog.stuck({"a": 1, "b": 1}, 0.0) is None
    assert watchdog.stuck({"a": 2, "b": 1}, STUCK_SECONDS) is None
    assert watchdog.stuck({"a": 2, "b": 1}, STUCK_SECONDS + 1) == "b"
    assert watchdog.stuck({"a": 2}, 2 * STUCK_SECONDS) is None, "what waits no more is forgotten"
    assert watchdog.stuck({"a": 2}, 2 * STUCK_SECONDS + 1) == "a"
