"""Every metric, in one catalogue."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""Our own, so that a test or a second application in the process does not meet the global one."""

EVENTS = Counter("teamcast_events", "Source records read.", ["topic"], registry=REGISTRY)
DEAD_LETTERS = Counter("teamcast_dead_letters", "Records that were no valid events.", ["topic", "code"], registry=REGISTRY)
CLAMPED = Counter(
    "teamcast_clamped_timestamps", "Timestamps more than 5 minutes after their record's, replaced by it.", ["topic"], registry=REGISTRY
)
CONNECTIONS = Gauge("teamcast_connections", "Open sockets.", ["mode"], registry=REGISTRY)
ONLINE_USERS = Gauge("teamcast_online_users", "Users with a connection to this worker.", registry=REGISTRY)
PRESENCE_MESSAGES = Counter("teamcast_presence_messages", "Messages that told who is online.", registry=REGISTRY)
DELIVERIES = Counter("teamcast_deliveries", "Events written to sockets.", registry=REGISTRY)
DELIVERY_SECONDS = Histogram(
    "teamcast_delivery_seconds",
    "From the source record's time to the write to a socket.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
DROPPED_CLIENTS = Counter("teamcast_dropped_clients", "Sockets that this worker closed.", ["reason"], registry=REGISTRY)
RESUMES = Counter("teamcast_resumes", "Resumed subscriptions, by what answered them.", ["source"], registry=REGISTRY)
TAIL_LAG = Gauge("teamcast_tail_lag_seconds", "How far this worker is behind the log.", registry=REGISTRY)
REPEAT_DISTANCE = Histogram(
    "teamcast_repeat_distance_records",
    "Offsets between a repeat and the record that it repeats.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000),
    registry=REGISTRY,
)
READY = Gauge("teamcast_ready", "1 when /readyz answers 200.", registry=REGISTRY)
