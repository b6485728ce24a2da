"""The broker of a benchmark: KAFKA_BROKERS where that is set, else an embedded one of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from app.kafka.embedded_broker import EmbeddedKafka
from bench.progress import make_topics
from tests.ports import free_port


@asynccontextmanager
async def broker(folder: Path) -> AsyncIterator[str]:
    """Its address, for as long as the context lasts; the service's topics are there."""
    if given := os.environ.get("KAFKA_BROKERS"):
        await make_topics(given)
        yield given
        return
    kafka = EmbeddedKafka(folder / "kafka", free_port(2))
    kafka.start()
    try:
        await make_topics(kafka.bootstrap)
        yield kafka.bootstrap
    finally:
        kafka.stop()
