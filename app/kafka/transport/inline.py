"""Faust's consumer thread without a thread: the consumer runs on the loop that its agents run on.

Between two threads each fetch costs a message there and one back, four wake-ups of a loop, and the wait for the interpreter's lock, for
up to 5 ms each time that the other thread is busy. Here it is a call. What a second thread was for, heartbeats while an agent computes,
holds as long as nothing computes for seconds without giving the loop back; nothing here does for longer than a fraction of one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import aiokafka
from faust.transport.drivers import aiokafka as faust_driver
from faust.types import TP
from mode.services import Service
from mode.utils.futures import maybe_async

from app.kafka.lane import REST_MS, Lane

FETCH_BYTES = 512 * 1024
"""Of one answer, if its first batch is not larger: some 1,000 records, so that of a backlog no more is here than is soon worked on."""
UNPOSITIONED = -1
"""Epoch of what was fetched before positions were set."""


class Fetched(dict[Any, Any]):
    """Fetched records by partition, and how often positions had been set before they were fetched."""

    epoch = 0


class InlineConsumer(faust_driver.AIOKafkaConsumerThread):
    """The consumer, in which fetching and going back to what is committed never overlap."""

    def __init__(self, consumer: Any, *, lanes: tuple[Lane, ...], **kwargs: Any) -> None:
        self._lanes = lanes
        loop = kwargs.pop("loop", None) or asyncio.get_event_loop()
        super().__init__(consumer, loop=loop, thread_loop=loop, **kwargs)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.epoch = 0
        """How often positions were set to what is committed. Records fetched before the last time are fetched again."""
        self.needs_seek = True
        """Whether partitions stand where an earlier assignment, or nobody, left them."""
        self._turn = asyncio.Lock()

    # --- a service as any other

    wait_for_shutdown = False

    async def start(self) -> None:
        """Start, on this loop."""
        await self._default_start()

    async def maybe_start(self) -> bool:
        """Start, unless it has been."""
        return await Service.maybe_start(self)

    async def on_start(self) -> None:
        """Connect."""
        await super().on_start()
        cast(Any, self._consumer)._fetcher.lanes = self._lanes

    async def on_stop(self) -> None:
        """Leave the group, and disconnect."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def stop(self) -> None:
        """Stop."""
        await Service.stop(self)

    async def crash(self, exc: BaseException) -> None:
        """Take the worker down with it."""
        await Service.crash(self, exc)

    def _stopped_set(self) -> None:
        self._stopped.set()

    async def _stop_children(self) -> None:
        await self._default_stop_children()

    async def _stop_futures(self) -> None:
        await self._default_stop_futures()

    async def _stop_exit_stacks(self) -> None:
        await self._default_stop_exit_stacks()

    async def call_thread(self, fun: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        """Call, here."""
        return await maybe_async(fun(*args, **kwargs))

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Nothing: `app.kafka.watchdog` looks at what is read and committed, and Faust's sensors see one partition of a batch."""

    # --- fetching and seeking

    def _create_worker_consumer(self, transport: faust_driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = REST_MS
        consumer._fetch_max_bytes = FETCH_BYTES
        return consumer

    async def _fetch_records(self, *args: Any, **kwargs: Any) -> Fetched:
        async with self._turn:
            fetched = Fetched(await super()._fetch_records(*args, **kwargs))
            fetched.epoch = UNPOSITIONED if self.needs_seek else self.epoch
        return fetched

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Go to the committed offset of every partition but the changelogs', and to the log's start where there is none."""
        consumer = self._ensure_consumer()
        changelogs = self.app.tables.changelog_topics
        committed: dict[TP, int] = {}
        async with self._turn:
            tps = [tp for tp in consumer.assignment() if tp.topic not in changelogs]
            for tp in tps:
                offset = await consumer.committed(tp)
                if offset is not None:
                    committed[TP(tp.topic, tp.partition)] = offset
                    consumer.seek(tp, offset)  # offset 0 too, which aiokafka's own leaves out
            fresh = [tp for tp in tps if TP(tp.topic, tp.partition) not in committed]
            if fresh:
                await consumer.seek_to_beginning(*fresh)
            # Both at once, before the next fetch: what is fetched from here on is to be kept, whenever it is looked at.
            self.epoch += 1
            self.needs_seek = False
        return committed
