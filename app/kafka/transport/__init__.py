"""Faust's aiokafka transport, with batches in place of messages and commits of what is acknowledged only."""

from __future__ import annotations

from app.kafka.transport.batches import Batch, BatchSchema, batches
from app.kafka.transport.driver import Transport

__all__ = ["Batch", "BatchSchema", "Transport", "batches"]
