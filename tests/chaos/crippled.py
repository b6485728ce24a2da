"""The service with one of its safeguards taken out, named by CRIPPLED: what the suite must notice."""

from __future__ import annotations

import asyncio
import os
from functools import partialmethod

import tables.changelog
import tables.store
from agents.repartition import Repartition
from app.factory import create
from app.kafka.transport.batches import Batch
from app.settings import load
from delivery.cursor import Cursor

_forward = Repartition.forward
_late: set[asyncio.Task[None]] = set()


async def _commit_before_acks(self: Repartition, batch: Batch) -> None:
    """The source counts as done a moment before it is."""

    async def later() -> None:
        await asyncio.sleep(2)
        await _forward(self, batch)

    task = asyncio.create_task(later())
    _late.add(task)
    task.add_done_callback(_late.discard)


def _overwrite(_key: bytes, _ours: bytes | None, theirs: bytes) -> bytes:
    return theirs


def _stay(_self: Cursor, _at: int, _reason: str) -> None:
    """Whoever is removed goes on listening."""


match os.environ.get("CRIPPLED"):
    case "commit-before-acks":
        Repartition.forward = _commit_before_acks  # type: ignore[method-assign]
    case "overwrite":
        tables.changelog.Changelog.__init__ = partialmethod(tables.changelog.Changelog.__init__, merge=_overwrite)  # type: ignore[assignment]
        tables.store.merge_values = _overwrite  # type: ignore[attr-defined,assignment]
    case "removal":
        Cursor.leave = _stay  # type: ignore[method-assign,assignment]
    case None:
        pass
    case unknown:
        raise SystemExit(f"CRIPPLED={unknown} names nothing")

app = create(load())
