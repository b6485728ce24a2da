"""Waiting for a condition, with a limit."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

LIMIT_SECONDS = 15.0
"""Long enough for a busy machine; what works takes milliseconds."""

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], wanted: Callable[[T], object], limit: float = LIMIT_SECONDS) -> T:
    """Look again and again until what is seen is what is wanted; fail with what was seen last after `limit` seconds."""
    deadline = time.monotonic() + limit
    while True:
        seen = await look()
        if wanted(seen):
            return seen
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {limit:.0f} s; last seen: {seen!r:.2000}")
        await asyncio.sleep(0.05)
