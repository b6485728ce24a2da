"""Reading the log for an administrator: a few at a time, each with an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka.errors import KafkaError

from app.errors import Unavailable
from app.kafka.reading import Log
from app.settings import Settings

READS_AT_ONCE = 2
"""Each takes memory and the loop's time, which belong to the clients."""
WAIT_SECONDS = 5.0
READ_SECONDS = 20.0


class LogReads:
    """Opens the log over connections of its own, so that a read that is slow or cut short disturbs nobody."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._free = asyncio.Semaphore(READS_AT_ONCE)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Log]:
        """The log, for as long as the block lasts.

        Raises:
            Unavailable: Others read for longer than `WAIT_SECONDS`; or the block takes longer than `READ_SECONDS`; or no broker answers.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("others are reading the log; try again in a moment") from None
        try:
            async with asyncio.timeout(READ_SECONDS), Log(self._settings) as log:
                yield log
        except TimeoutError:
            raise Unavailable(f"the log could not be read within {READ_SECONDS:.0f} s") from None
        except KafkaError as error:
            raise Unavailable(f"the log cannot be read now ({type(error).__name__})") from error
        finally:
            self._free.release()
