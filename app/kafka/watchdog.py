"""The watchdog: a client library that waits for ever is a loss that nobody sees, so a worker that stands still leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Any

from mode import Service

from app.kafka.reach import reachable
from app.kafka.transport.driver import Consumer
from app.settings import Settings

CHECK_SECONDS = 5.0
STUCK_SECONDS = 60.0
"""No record is worked on for so long, and no commit waits for so long, while the brokers answer."""
BUSY_SECONDS = 300.0
"""A rebalance, with the recovery of its tables, takes no longer: a million rows are recovered in less than a minute."""
EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h: the supervisor starts the worker again."""


class Watchdog(Service):
    """Watches that what was read is committed, and that what is there is read."""

    def __init__(self, settings: Settings, consumer: Callable[[], Consumer], busy: Callable[[], bool], **kwargs: Any) -> None:
        """Watch a worker.

        Args:
            settings: Where the brokers are.
            consumer: The worker's consumer, which exists once it has started.
            busy: Whether the worker is rebalancing or recovering, and so rightly stands still.
            **kwargs: For `mode.Service`.
        """
        super().__init__(**kwargs)
        self._settings = settings
        self._consumer = consumer
        self._busy = busy
        self._seen: dict[str, tuple[object, float]] = {}
        self._busy_since: float | None = None

    @Service.task
    async def _watch(self) -> None:
        while not self.should_stop:
            await self.sleep(CHECK_SECONDS)
            if self._busy():
                self._seen.clear()
                self._busy_since = self._busy_since or monotonic()
                stuck = "a rebalance" if monotonic() - self._busy_since > BUSY_SECONDS else None
            else:
                self._busy_since = None
                stuck = self.stuck(self._consumer().waiting(), monotonic())
            if stuck and await reachable(self._settings) and not self.should_stop:
                self.log.critical("%s does not move although the brokers answer: leaving, to be started again", stuck)
                os._exit(EXIT_CODE)

    def stuck(self, waiting: dict[str, object], now: float) -> str | None:
        """What has waited at the same place for too long; ``None`` when everything moves.

        Args:
            waiting: What has work to do, and where it stands.
            now: Seconds of a monotonic clock.
        """
        self._seen = {
            name: self._seen[name] if name in self._seen and self._seen[name][0] == at else (at, now) for name, at in waiting.items()
        }
        return next((name for name, (_at, since) in self._seen.items() if now - since > STUCK_SECONDS), None)
