"""Garbage collection that does not look at the same living objects over and over.

A worker keeps nearly all that it makes for a while (what the ring holds, records that others are about to read), and frees it by
reference counts. A collection of the youngest objects finds them all in use, and holds everything up for as long as it
looks: 40 to 90 ms for each 100,000. So nothing is collected on its own. What has been made is set aside in one stroke, which
costs nothing, and once much has gathered there all of it is looked at, for the cycles in it.
"""

from __future__ import annotations

import asyncio
import gc

YOUNG_OBJECTS = 50_000
"""More that were made than freed are set aside."""
ASIDE_OBJECTS = 1_000_000
"""So many set aside, and everything is looked at: the most that cycles can hold, and some 0.3 s about once in as many new events
as make them, 200,000."""
LOOK_SECONDS = 0.5


class Garbage:
    """The garbage of a process; one only."""

    def __init__(self) -> None:
        self._aside = 0

    def begin(self) -> None:
        """Collect what there is, leave what a started process consists of alone, and let nothing be collected on its own any more."""
        gc.set_threshold(0)
        self._collect()

    def look(self) -> None:
        """Set aside what has been made; collect once that has become much."""
        young = gc.get_count()[0]  # what was made less what was freed, since the last time
        if young < YOUNG_OBJECTS:
            return
        gc.freeze()
        self._aside += young
        if self._aside >= ASIDE_OBJECTS:
            self._collect()

    async def watch(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self.look()

    def _collect(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._aside = 0
