"""Lanes: what keeps coming is fetched with pauses in between, what comes alone is not kept waiting, and a hurry ends a pause."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.kafka.lane import ALONE_SECONDS, FULL_BYTES, FULL_RECORDS, HELD_SECONDS, HELD_STEP_SECONDS, Lane, Pause
from tests.unit.kafka.clock import jumping

FOR_EVER = Pause(least_ms=3_600_000, most_ms=3_600_000)
LIMIT_SECONDS = 5


async def paused(lane: Lane, size: int = 1) -> asyncio.Task[None]:
    """A lane in its pause."""
    task = asyncio.create_task(lane.after(size))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not task.done()
    return task


async def ends(*tasks: asyncio.Task[None]) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await asyncio.gather(*tasks)


def test_a_pause_is_the_longer_the_more_there_is_and_never_longer_than_the_most() -> None:
    pause = Pause(least_ms=8, per_kib_ms=1.5, most_ms=25)
    assert [pause.after(size) for size in (1024, 2048, 100 * 1024)] == [0.0095, 0.011, 0.025]


def test_a_fetch_that_brings_nothing_is_followed_by_no_pause() -> None:
    assert FOR_EVER.after(0) == 0.0


def test_a_backlog_is_fetched_without_pauses() -> None:
    assert FOR_EVER.after(FULL_BYTES - 1) == 3600
    assert FOR_EVER.after(FULL_BYTES) == 0.0


@given(st.integers(0, 10 * FULL_BYTES), st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_whatever_it_is_set_to_a_pause_is_bounded(size: int, least: float, per_kib: float, most: float) -> None:
    assert 0 <= Pause(least, per_kib, most).after(size) <= most / 1000


@jumping
async def test_a_lane_pauses_after_what_it_brought() -> None:
    began = asyncio.get_running_loop().time()
    await Lane(Pause(least_ms=20, most_ms=20)).after(1)
    assert asyncio.get_running_loop().time() - began == pytest.approx(0.02, abs=0.001)


@pytest.mark.parametrize(
    ("lane", "size"),
    [(Lane(), 1), (Lane(FOR_EVER), 0), (Lane(FOR_EVER), FULL_BYTES), (Lane(FOR_EVER, wanted=lambda: True), 1)],
    ids=["no pause is set", "nothing came", "a backlog", "somebody waits"],
)
async def test_there_is_no_pause_where(lane: Lane, size: int) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await lane.after(size)


async def test_a_hurry_ends_every_pause_of_the_lane() -> None:
    lane = Lane(FOR_EVER)
    tasks = [await paused(lane), await paused(lane)]
    lane.hurry()
    await ends(*tasks)


async def test_a_hurry_ends_the_pause_and_not_the_next_one() -> None:
    lane = Lane(FOR_EVER)
    first = await paused(lane)
    lane.hurry()
    await ends(first)
    second = await paused(lane)
    lane.hurry()
    await ends(second)


async def test_a_hurry_where_nothing_pauses_is_nothing() -> None:
    lane = Lane(FOR_EVER)
    lane.hurry()
    again = await paused(lane)
    lane.hurry()
    lane.hurry()
    await ends(again)


async def test_a_pause_that_is_cancelled_leaves_nothing_behind() -> None:
    lane = Lane(FOR_EVER)
    task = await paused(lane)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not lane._paused


# --- what is brought and not fetched


async def pauses(lane: Lane, size: int = 1) -> float:
    began = asyncio.get_running_loop().time()
    await lane.after(size)
    return asyncio.get_running_loop().time() - began


@jumping
async def test_who_is_brought_what_nobody_else_appends_fetches_seldom() -> None:
    lane = Lane(Pause(least_ms=5, most_ms=5), alone=lambda: True)
    assert await pauses(lane) == pytest.approx(0.005, abs=0.001)
    lane.brought()
    assert await pauses(lane, 0) == pytest.approx(ALONE_SECONDS, abs=0.001)


@jumping
async def test_who_is_not_alone_fetches_as_often_as_before() -> None:
    lane = Lane(Pause(least_ms=5, most_ms=5))
    lane.brought()
    assert await pauses(lane) == pytest.approx(0.005, abs=0.001)


@jumping
async def test_once_nothing_is_brought_for_a_while_it_is_fetched_as_before() -> None:
    lane = Lane(alone=lambda: True)
    lane.brought()
    await asyncio.sleep(ALONE_SECONDS)
    assert await pauses(lane, 0) == 0


@jumping
async def test_what_was_missed_is_fetched_at_once() -> None:
    lane = Lane(alone=lambda: True)
    lane.brought()
    task = await paused(lane)
    began = asyncio.get_running_loop().time()
    lane.missed()
    await ends(task)
    assert asyncio.get_running_loop().time() == began
    assert await pauses(lane, 0) == 0


async def test_a_pause_that_has_another_reason_outlasts_what_was_missed() -> None:
    lane = Lane(FOR_EVER)
    lane.brought()
    task = await paused(lane)
    lane.missed()
    await asyncio.sleep(0)
    assert not task.done()
    lane.hurry()
    await ends(task)


@jumping
async def test_a_lane_that_is_not_held_has_its_turn_at_once() -> None:
    began = asyncio.get_running_loop().time()
    await Lane().turn()
    assert asyncio.get_running_loop().time() == began


@jumping
async def test_a_lane_that_is_held_has_its_turn_soon_after() -> None:
    held = [True]
    waiting = asyncio.ensure_future(Lane(held=lambda: held[0]).turn())
    await asyncio.sleep(HELD_SECONDS / 2)
    assert not waiting.done()
    held[0] = False
    async with asyncio.timeout(2 * HELD_STEP_SECONDS):
        await waiting


@jumping
async def test_a_lane_is_not_held_for_ever() -> None:
    began = asyncio.get_running_loop().time()
    await Lane(held=lambda: True).turn()
    assert asyncio.get_running_loop().time() - began == pytest.approx(HELD_SECONDS, rel=0.01)


def test_lanes_are_told_apart_though_they_are_alike() -> None:
    assert len({Lane(), Lane()}) == 2


@jumping
async def test_a_flood_leaves_no_pauses_behind() -> None:
    lane, given = Lane(Pause(least_ms=200, most_ms=200), gathers=True), list[float]()
    clock = asyncio.get_running_loop().time
    for records, times in ((FULL_RECORDS // 2, 40), (1, 100)):
        given.clear()
        for _ in range(times):
            lane.gather(records, lambda: given.append(clock()))
            await asyncio.sleep(0.01)
    assert len(given) <= 6
    assert len(lane._paused) <= 1


@pytest.mark.parametrize(("kib_s", "ms"), [(0, 17), (100, 17), (150, 10), (200, 3), (5_000, 3)])
def test_a_pause_fades_where_much_keeps_coming(kib_s: float, ms: float) -> None:
    pause = Pause(least_ms=12, per_kib_ms=1, most_ms=25, busy_ms=3, fades_kib=(100, 200))
    assert pause.after(5 * 1024, kib_s * 1024) == pytest.approx(ms / 1000)


def test_a_pause_that_fades_is_never_longer_than_it_was() -> None:
    pause = Pause(least_ms=1, most_ms=25, busy_ms=3, fades_kib=(100, 200))
    assert pause.after(1, 5_000 * 1024) == pytest.approx(0.001)
    assert pause.after(0, 5_000 * 1024) == 0
    assert pause.after(FULL_BYTES, 5_000 * 1024) == 0


@jumping
async def test_how_much_keeps_coming_is_told_from_what_fetches_bring() -> None:
    lane = Lane(Pause(least_ms=20, most_ms=20, busy_ms=2, fades_kib=(100, 200)))
    clock = asyncio.get_running_loop().time

    async def pauses(size: int, every: float, times: int) -> float:
        for _ in range(times):
            began = clock()
            await lane.after(size)
            took = clock() - began
            await asyncio.sleep(max(0.0, every - took))
        return took

    assert await pauses(1024, 0.02, 100) == pytest.approx(0.02, rel=0.01)  # 50 KiB a second
    assert await pauses(8 * 1024, 0.02, 100) == pytest.approx(0.002, rel=0.01)  # 400
    assert await pauses(1024, 0.02, 100) == pytest.approx(0.02, rel=0.01)
