"""What is collected of a worker's garbage, and when."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from app import garbage
from app.garbage import Garbage


class Cycle:
    """An object that only a collection frees."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def afterwards_as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()
    gc.collect()


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Garbage:
    monkeypatch.setattr(garbage, "YOUNG_OBJECTS", 1_000)
    monkeypatch.setattr(garbage, "ASIDE_OBJECTS", 5_000)
    found = Garbage()
    found.begin()
    return found


def cycle() -> weakref.ref[Cycle]:
    return weakref.ref(Cycle())


def test_what_there_is_at_the_beginning_is_collected() -> None:
    gone = cycle()
    Garbage().begin()
    assert gone() is None


def test_nothing_is_collected_on_its_own(begun: Garbage) -> None:
    gone = cycle()
    kept: list[list[int]] = [[] for _ in range(200_000)]
    assert gone() is not None
    assert len(kept) == 200_000


def test_what_little_was_made_is_not_set_aside(begun: Garbage) -> None:
    before = gc.get_freeze_count()
    kept: list[list[int]] = [[] for _ in range(500)]
    begun.look()
    assert gc.get_freeze_count() <= before  # what is freed leaves it
    assert len(kept) == 500


def test_what_was_made_is_set_aside_and_not_looked_at(begun: Garbage) -> None:
    before, gone = gc.get_freeze_count(), cycle()
    kept: list[list[int]] = [[] for _ in range(2_000)]
    begun.look()
    assert gc.get_freeze_count() >= before + len(kept)
    assert gc.get_count()[0] < 1_000
    assert gone() is not None


def test_what_was_freed_again_is_not_counted(begun: Garbage) -> None:
    gone = cycle()
    for _ in range(20):
        kept: list[list[int]] = [[] for _ in range(900)]
        del kept
        begun.look()
    assert gone() is not None


def test_cycles_are_freed_once_much_was_set_aside(begun: Garbage) -> None:
    gone = cycle()
    kept: list[list[list[int]]] = []
    for _ in range(6):
        kept.append([[] for _ in range(1_500)])
        begun.look()
    assert gone() is None
    assert gc.get_freeze_count() > 0  # what lives is left alone again
    again = cycle()
    begun.look()
    assert again() is not None  # and it is counted anew


async def test_it_is_looked_again_and_again(begun: Garbage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(garbage, "LOOK_SECONDS", 0)
    gone = cycle()
    kept: list[list[list[int]]] = []
    watching = asyncio.ensure_future(begun.watch())
    async with asyncio.timeout(30):
        while gone() is not None:
            kept.append([[] for _ in range(1_500)])
            await asyncio.sleep(0)
    watching.cancel()
