"""A clock that jumps: time passes only where nothing else is to be done, so that waiting costs nothing, and for ever is an error."""

from __future__ import annotations

import asyncio
import functools
import selectors
import time
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.consumer import fetcher

MOST_TURNS = 100_000
"""Of the loop, without any time passing."""


class StuckError(Exception):
    """Nothing will ever happen again, though somebody waits for it; or what happens goes round in circles."""


class _Selector(selectors.DefaultSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self._turns = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if not found and timeout is None:
            raise StuckError("nothing will happen any more")
        if not found and timeout:
            self.now += timeout + 1e-6  # never a little too early, as no clock is
            self._turns = 0
        self._turns += 1
        if self._turns > MOST_TURNS:
            self._turns = 0
            raise StuckError("it goes round in circles")
        return found


class Loop(asyncio.SelectorEventLoop):
    """An event loop by that clock."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """Run by that clock; an exception that nobody looks at is an error."""
    unhandled: list[dict[str, Any]] = []

    def made() -> Loop:
        loop = Loop()
        loop.set_exception_handler(lambda _loop, context: unhandled.append(context))
        return loop

    with asyncio.Runner(loop_factory=made) as runner, pytest.MonkeyPatch.context() as patched:
        patched.setattr(fetcher, "time", SimpleNamespace(monotonic=runner.get_loop().time, time=time.time))
        runner.run(scenario)
    assert not unhandled


def jumping(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a test by that clock."""

    @functools.wraps(test)
    def by_the_clock(*args: Any, **kwargs: Any) -> None:
        run(test(*args, **kwargs))

    return by_the_clock
