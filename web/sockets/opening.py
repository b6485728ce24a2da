"""Opening: a client is answered once its listener has begun in every feed, or a moment later all the same."""

from __future__ import annotations

import asyncio

OPEN_SECONDS = 3.0
"""For how long the answer waits; an owner that is out of reach longer than that delays events, and not the connection."""


async def wait_until_joined(joining: asyncio.Task[None]) -> None:
    """Wait for the joins of a listener, at most `OPEN_SECONDS`; what became of them is the task's to say.

    Who stops being a member between the answer and the join could not be told so any more: nothing proves then that they were one.
    """
    await asyncio.wait({joining}, timeout=OPEN_SECONDS)
