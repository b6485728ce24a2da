"""The broker of a benchmark: KAFKA_BROKERS where that is set, else an embedded one of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.kafka.embedded_broker import EmbeddedKafka
from tests.ports import free_port


@contextmanager
def broker(folder: Path) -> Iterator[str]:
    """Its address, for as long as the context lasts."""
    if given := os.environ.get("KAFKA_BROKERS"):
        yield given
        return
    kafka = EmbeddedKafka(folder / "kafka", free_port(2))
    kafka.start()
    try:
        yield kafka.bootstrap
    finally:
        kafka.stop()
