"""What the applications of this project have in common: our transport under Faust's agents, and Faust's settings."""

from __future__ import annotations

from typing import Any, cast

import faust
from mode.supervisors import CrashingSupervisor
from mode.utils.objects import cached_property

from app.kafka.assignor import Assignor
from app.kafka.client import faust_credentials
from app.kafka.lane import Lane, Pause
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
MAX_POLL_RECORDS = 1000
SOURCES_PAUSE = Pause(least_ms=12, per_kib_ms=0.7, most_ms=25, busy_ms=2, fades_kib=(700, 900))
"""Between two fetches: at 200 records a second one or two are routed together, at 1,000 some ten."""
STREAM_BUFFER = 3
"""Messages that wait for an agent, each of some 1,000 records. A full queue holds up all reading, so that none runs ahead of the others."""


class Application(faust.App):
    """A Faust application over batches."""

    def __init__(self, lanes: tuple[Lane, ...] = (), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.lanes = lanes or (Lane(SOURCES_PAUSE),)
        """What is fetched together; one of them has all topics that no other has."""
        self.sender = Sender(lambda: cast(Producer, self.producer).connections)

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
