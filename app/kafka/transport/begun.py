"""A coroutine that is begun where it stands: most have nothing to wait for, and need no task."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from functools import partial
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")


class Begun(Generic[Result]):
    """Runs a coroutine up to where it first waits. Awaited, it goes on from there; one that is done needs no awaiting."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result]) -> None:
        """Begin.

        Raises:
            BaseException: What the coroutine raises before it waits for anything.
        """
        self._coroutine = coroutine
        self._waits_for: Any = None
        self.results: list[Result] = []
        """What it gave, if it is done."""
        try:
            self._waits_for = coroutine.send(None)
        except StopIteration as end:
            self.results.append(end.value)

    def __await__(self) -> Generator[Any, Any, Result]:
        if self.results:
            return self.results[0]
        waits_for = self._waits_for
        while True:
            try:
                answer = yield waits_for
            except GeneratorExit:
                self._coroutine.close()
                raise
            except BaseException as error:  # noqa: BLE001  (a cancellation too is the coroutine's to handle)
                go_on = partial(self._coroutine.throw, error)
            else:
                go_on = partial(self._coroutine.send, answer)
            try:
                waits_for = go_on()
            except StopIteration as end:
                self.results.append(end.value)
                return self.results[0]
