"""Every metric, in one catalogue."""

from __future__ import annotations

from itertools import product

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, disable_created_metrics

from app.domain.errors import Code
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.weighted_histogram import WeightedHistogram

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""Our own, so that a test or a second application in the process does not meet the global one."""

ProcessCollector(registry=REGISTRY)

CONSUMER_LAG = Gauge(
    "teamcast_consumer_lag",
    "Records that a consumer group has not read, by the broker.",
    ["group", "topic", "partition"],
    registry=REGISTRY,
)
TEAM_LAG = Gauge(
    "teamcast_team_lag_seconds", "Age of the oldest event of a team that is not folded; 0 when all are.", ["team"], registry=REGISTRY
)
GROUP_MEMBERS = Gauge("teamcast_group_members", "Members of a consumer group, by the broker.", ["group"], registry=REGISTRY)
REBALANCES = Counter(
    "teamcast_rebalances", "Rebalances of a consumer group, counted by the worker that led them.", ["group"], registry=REGISTRY
)
EVENTS = Counter("teamcast_events", "Source records read.", ["topic"], registry=REGISTRY)
DEAD_LETTERS = Counter("teamcast_dead_letters", "Records that were no valid events.", ["topic", "code"], registry=REGISTRY)
CLAMPED = Counter(
    "teamcast_clamped_timestamps", "Timestamps more than 5 minutes after their record's, replaced by it.", ["topic"], registry=REGISTRY
)
CONNECTIONS = Gauge("teamcast_connections", "Open sockets and event streams.", ["mode"], registry=REGISTRY)
ONLINE_USERS = Gauge("teamcast_online_users", "Users with a connection to this worker.", registry=REGISTRY)
PRESENCE_MESSAGES = Counter("teamcast_presence_messages", "Messages that told who is online.", registry=REGISTRY)
TEAM_CONNECTIONS = Gauge(
    "teamcast_team_connections",
    "Open sockets that get a team's events; one that gets several teams counts for each.",
    ["team"],
    registry=REGISTRY,
)
DELIVERIES = Counter("teamcast_deliveries", "Events written to sockets.", registry=REGISTRY)
DELIVERY_SECONDS = WeightedHistogram(
    "teamcast_delivery_seconds",
    "From the source record's time to the write to a socket.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
DROPPED_CLIENTS = Counter("teamcast_dropped_clients", "Sockets that this worker closed.", ["reason"], registry=REGISTRY)
RESUMES = Counter("teamcast_resumes", "Resumed subscriptions, by what answered them.", ["source"], registry=REGISTRY)
EMAILS = Counter(
    "teamcast_emails", "Mails of the notification service, by what became of them.", ["template", "outcome"], registry=REGISTRY
)
TAIL_LAG = Gauge("teamcast_tail_lag_seconds", "How far this worker is behind the log.", registry=REGISTRY)
REPEAT_DISTANCE = Histogram(
    "teamcast_repeat_distance_records",
    "Offsets between a repeat and the record that it repeats.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000),
    registry=REGISTRY,
)
READY = Gauge("teamcast_ready", "1 when /readyz answers 200.", registry=REGISTRY)
RETENTION_HEADROOM = Gauge(
    "teamcast_retention_headroom_seconds",
    "Time until unread records of a topic may expire; its whole retention when all are read.",
    ["topic"],
    registry=REGISTRY,
)
RETENTION = Gauge("teamcast_retention_seconds", "How long a topic keeps its records.", ["topic"], registry=REGISTRY)
LAG_AGE = Gauge("teamcast_lag_age_seconds", "How long ago lag was measured; what is older than 15 s is not shown.", registry=REGISTRY)
CHANGELOG_RECORDS = Gauge(
    "teamcast_changelog_records",
    "Offsets that the changelog spans in the partitions that this worker owns; it is compacted, so it holds fewer records.",
    registry=REGISTRY,
)
TABLE_ROWS = Gauge("teamcast_table_rows", "Rows in the partitions that this worker owns, as RocksDB estimates them.", registry=REGISTRY)
ROCKSDB_BYTES = Gauge(
    "teamcast_rocksdb_bytes", "What RocksDB takes, standbys included: files on disk, the others in memory.", ["part"], registry=REGISTRY
)
RING_BYTES = Gauge("teamcast_ring_bytes", "The newest events, kept for clients that fall behind.", registry=REGISTRY)
VIEW_BYTES = Gauge("teamcast_view_bytes", "The rows of teams that somebody here looks at.", registry=REGISTRY)
EVENT_LOOP_DELAY = Histogram(
    "teamcast_event_loop_delay_seconds",
    "How late the event loop runs what is due; looked at twice a second.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
    registry=REGISTRY,
)
BUILD = Info("teamcast_build", "The version that runs.", registry=REGISTRY)

# Series that are there from the start, at 0: what first appears at 1 has, for Prometheus, never increased.
for _topic in SOURCE_TOPICS:
    EVENTS.labels(topic=_topic)
    CLAMPED.labels(topic=_topic)
for _topic, _code in product((*SOURCE_TOPICS, UNIFIED), Code):
    DEAD_LETTERS.labels(topic=_topic, code=_code.value)
for _mode in ("plain", "rich", "sse"):
    CONNECTIONS.labels(mode=_mode)
for _reason in ("slow", "stalled", "no_pong", "administrator"):
    DROPPED_CLIENTS.labels(reason=_reason)
for _source in ("memory", "log", "snapshot"):
    RESUMES.labels(source=_source)
