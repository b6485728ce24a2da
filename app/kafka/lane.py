"""A lane: topics that a consumer fetches together, over a connection of their own, and how long it pauses between two fetches.

What a fetch costs hardly depends on how much it brings. So where records keep coming the consumer pauses before the next fetch, the
longer the more of them there are; a record that comes alone finds no pause. Where very many keep coming, each fetch brings several of them
however short the pause is, and it is the one record beside them that would wait: there it fades. A broker handles one request of a
connection at a time, which is why topics that need other pauses need another connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass, field

REST_MS = 500
"""How long the broker holds a fetch that finds nothing. Whoever cannot wait for that closes the connection."""
HELD_SECONDS = 0.5
"""How long a lane is held, at most, before it fetches all the same: nothing waits for ever."""
HELD_STEP_SECONDS = 0.005
ALONE_SECONDS = 0.1
"""From one fetch to the next where a process brings what it appends, and nobody else should append: how late is noticed who does."""
FULL_RECORDS = 500
"""So many that gathered are given out at once: more of them together would cost no less."""
FULL_BYTES = 256 * 1024
"""A fetch that brings so much is one of a backlog: no time is to be lost, and there is none to be gained."""
RATE_SECONDS = 0.25
"""How far back is looked for how much keeps coming."""


@dataclass(slots=True, frozen=True)
class Pause:
    """How long to pause after a fetch, in milliseconds: some, and more for each KiB that it brought, up to a bound."""

    least_ms: float = 0.0
    per_kib_ms: float = 0.0
    most_ms: float = 0.0
    busy_ms: float = 0.0
    """What is left of it where much keeps coming."""
    fades_kib: tuple[float, float] = (math.inf, math.inf)
    """From how many KiB a second on it gets shorter, and from how many on no more than `busy_ms` is left."""

    def after(self, size: int, rate: float = 0.0) -> float:
        """Seconds of pause after a fetch that brought so many bytes, where so many a second keep coming."""
        if not size or size >= FULL_BYTES:
            return 0.0
        usual = min(self.most_ms, self.least_ms + self.per_kib_ms * size / 1024)
        begins, ends = self.fades_kib
        if rate <= begins * 1024 or usual <= self.busy_ms:
            return usual / 1000
        left = max(0.0, (ends * 1024 - rate) / ((ends - begins) * 1024))
        return (self.busy_ms + (usual - self.busy_ms) * left) / 1000


@dataclass(slots=True, eq=False)
class Lane:
    """Topics that are fetched together."""

    pause: Pause = Pause()
    topics: frozenset[str] = frozenset()
    """Which; empty: all that no other lane has."""
    held: Callable[[], bool] = lambda: False
    """Says whether what comes next would only pile up, so that it is fetched a little later."""
    wanted: Callable[[], bool] = lambda: False
    """Says whether somebody waits for what comes next, so that nothing pauses."""
    alone: Callable[[], bool] = lambda: False
    """Says whether nobody but this process appends to these topics: whoever is brought what it appends has little to fetch then."""
    gathers: bool = False
    """Whether what is brought waits for as long as there is a pause between two fetches, unless it is much."""
    rest_ms: int = REST_MS
    _paused: set[asyncio.Future[None]] = field(default_factory=set)
    _brought_at: float = -math.inf
    _rate: float = 0.0
    """Bytes a second that keep coming."""
    _fetched_at: float = 0.0
    _gathered: int = 0
    _given_at: float = -math.inf
    _giving: asyncio.Future[None] | None = None
    """The pause behind which what gathers is given out."""

    def brought(self) -> None:
        """What would have come with the next fetch is here already."""
        self._brought_at = asyncio.get_running_loop().time()

    def gather(self, records: int, give: Callable[[], None]) -> None:
        """Give out what was brought with what comes behind it: when the pause since the last time is over, or enough has gathered.

        Args:
            records: How many were brought.
            give: Gives out all that has gathered.
        """
        self._gathered += records
        left = self._given_at + self.pause.least_ms / 1000 - asyncio.get_running_loop().time()
        if self._gathered >= FULL_RECORDS or left <= 0 or self.wanted():
            self._give(give)
        elif self._giving is None:
            self._giving = self._pause(left)
            self._giving.add_done_callback(lambda over: self._give(give) if over is self._giving else None)

    def _give(self, give: Callable[[], None]) -> None:
        giving, self._giving = self._giving, None
        if giving is not None and not giving.done():
            giving.cancel()  # or each flood would leave one more behind, and what follows would gather no more
        if self._gathered:
            self._gathered, self._given_at = 0, asyncio.get_running_loop().time()
            give()

    def missed(self) -> None:
        """What was brought does not follow what is here: something has to be fetched, and soon."""
        if self._brought_at != -math.inf and self.alone():
            self.hurry()
        self._brought_at = -math.inf

    async def after(self, size: int) -> None:
        """Pause after a fetch that brought so many bytes, unless somebody is in a hurry."""
        loop = asyncio.get_running_loop()
        seconds = self.pause.after(size, self._noted(size))
        if loop.time() - self._brought_at < ALONE_SECONDS and self.alone():
            seconds = max(seconds, ALONE_SECONDS)
        if not seconds or self.wanted():
            return
        await self._pause(seconds)

    def _noted(self, size: int) -> float:
        """Note a fetch that brought so many bytes; give the bytes a second that keep coming."""
        now = asyncio.get_running_loop().time()
        passed, self._fetched_at = now - self._fetched_at, now
        self._rate = self._rate * math.exp(-passed / RATE_SECONDS) + size / RATE_SECONDS
        return self._rate

    def _pause(self, seconds: float) -> asyncio.Future[None]:
        """Done when so many seconds are over, or somebody is in a hurry."""
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        timer = loop.call_later(seconds, _end, over)

        def forget(_over: object) -> None:
            timer.cancel()
            self._paused.discard(over)

        self._paused.add(over)
        over.add_done_callback(forget)
        return over

    async def turn(self) -> None:
        """Wait while the lane is held."""
        steps = int(HELD_SECONDS / HELD_STEP_SECONDS)
        while self.held() and steps > 0:
            await asyncio.sleep(HELD_STEP_SECONDS)
            steps -= 1

    def hurry(self) -> None:
        """End the pause: somebody waits."""
        for over in self._paused:
            _end(over)


def _end(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
