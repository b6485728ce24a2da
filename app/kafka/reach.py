"""Whether the brokers answer, asked over a connection of its own."""

from __future__ import annotations

import asyncio

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.errors import BrokersAway, StartRefused
from app.kafka.client import connection
from app.settings import Settings

PROBE_SECONDS = 5.0


async def reachable(settings: Settings) -> bool:
    """Whether a fresh client gets an answer within `PROBE_SECONDS`: tells a stuck client from brokers that are away."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await admin.start()
            await admin.describe_cluster()
    except (KafkaError, OSError, TimeoutError):
        return False
    finally:
        await admin.close()
    return True


def refusal(error: Exception) -> type[StartRefused]:
    """What an error of a client is to a start: `BrokersAway` when trying again may help, else `StartRefused`."""
    return StartRefused if isinstance(error, KafkaError) and not error.retriable else BrokersAway
