"""A coroutine that is begun where it stands ends as it would in a task."""

from __future__ import annotations

import asyncio

import pytest

from app.kafka.transport.begun import Begun


async def after(*waits: asyncio.Future[int]) -> int:
    return sum([await one for one in waits])


async def test_what_waits_for_nothing_is_done_at_once() -> None:
    begun = Begun(after())
    assert begun.results == [0]
    assert await begun == 0


async def test_what_waits_goes_on_when_it_is_awaited() -> None:
    loop = asyncio.get_running_loop()
    futures = [loop.create_future() for _ in range(3)]
    begun = Begun(after(*futures))
    assert not begun.results
    task = asyncio.ensure_future(begun)
    for number, future in enumerate(futures):
        await asyncio.sleep(0)
        future.set_result(number)
    assert await task == 3
    assert begun.results == [3]


async def test_what_it_waits_for_may_be_there_before_it_is_awaited() -> None:
    future = asyncio.get_running_loop().create_future()
    begun = Begun(after(future))
    future.set_result(7)
    assert await begun == 7


async def test_what_it_raises_before_it_waits_comes_out_at_once() -> None:
    async def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Begun(refuse())


async def test_what_it_raises_later_comes_out_where_it_is_awaited() -> None:
    future = asyncio.get_running_loop().create_future()
    begun = Begun(after(future))
    future.set_exception(ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        await begun


async def test_a_cancellation_reaches_it_and_it_may_clean_up() -> None:
    cleaned = []

    async def careful() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    task = asyncio.ensure_future(Begun(careful()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [True]
