"""What the applications of this project have in common: our transport under Faust's agents, and Faust's settings."""

from __future__ import annotations

from typing import Any, cast

import faust
from mode.supervisors import CrashingSupervisor
from mode.utils.objects import cached_property

from app.kafka import topics
from app.kafka.assignor import Assignor
from app.kafka.client import faust_credentials
from app.kafka.sender import Sender
from app.kafka.transport import Transport
from app.kafka.transport.driver import Producer
from app.kafka.transport.flow import FlowControl
from app.settings import Settings
from app.worker import Worker

SESSION_SECONDS = 10.0
"""A worker that died is replaced after so long; one that leaves, at once."""
HEARTBEAT_SECONDS = 2.0
COMMIT_SECONDS = 0.5
"""What a killed worker did since its last commit is done again by the next owner."""
MAX_POLL_RECORDS = 4000
MAX_REQUEST_BYTES = topics.CHANGELOG_MAX
MAX_BATCH_BYTES = 512 * 1024
"""Of records of one partition in one request; a flood then takes few round trips. Every topic takes so much at a time."""
STREAM_BUFFER = 64
"""Batches that wait for an agent; each is up to 500 records."""


class Application(faust.App):
    """A Faust application over batches."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sender = Sender(lambda: cast(Producer, self.producer).client)

    def _new_transport(self) -> Any:
        return Transport(self.conf.broker_consumer, self)

    def _new_producer_transport(self) -> Any:
        return Transport(self.conf.broker_producer, self)

    @cached_property
    def flow_control(self) -> FlowControl:
        """What lets batches into the agents' queues."""
        return FlowControl(loop=self.loop)


def faust_options(settings: Settings, group: str) -> dict[str, Any]:
    """Faust's settings of an application whose consumer group is ``group``."""
    return {
        "id": group,
        "Worker": Worker,
        "broker": ";".join(f"kafka://{broker}" for broker in settings.kafka_brokers),
        "broker_credentials": faust_credentials(settings),
        "broker_session_timeout": SESSION_SECONDS,
        "broker_heartbeat_interval": HEARTBEAT_SECONDS,
        "broker_commit_interval": COMMIT_SECONDS,
        "broker_max_poll_records": MAX_POLL_RECORDS,
        "producer_max_request_size": MAX_REQUEST_BYTES,
        "producer_max_batch_size": MAX_BATCH_BYTES,
        "agent_supervisor": CrashingSupervisor,
        "stream_buffer_maxsize": STREAM_BUFFER,
        "store": "rocksdb://",
        "datadir": settings.folder,
        "PartitionAssignor": Assignor,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_bind": settings.bind,
        "web_host": settings.bind,
        "web_port": settings.port,
        "canonical_url": settings.url,
    }
