"""Measures: taken every few seconds, told when somebody asks, never told when they are old."""

from __future__ import annotations

from collections.abc import Callable, Set
from time import monotonic, time
from typing import Any

from mode import Service

from app import metrics
from app.errors import Unavailable
from app.kafka.cluster import Cluster
from app.kafka.lag import GroupLag, Lag, LagMeter, PartitionLag
from app.kafka.topics import CHANGELOG, GROUP
from app.settings import Settings
from app.version import VERSION
from delivery.hub import Hub
from delivery.tail import Tail
from tables.table import StateTable
from web.measures import flow, ownership, teams
from web.measures.flow import Flow
from web.measures.ownership import Partition, Sample
from web.measures.teams import Progress

POLL_SECONDS = 5.0
FRESH_SECONDS = 15.0
"""An older measurement is not shown: nothing is better than a lag that was."""
REUSE_SECONDS = 1.0
"""A measurement that somebody asks for is answered to others who ask meanwhile."""
LOOP_SECONDS = 0.5
WARN_BELOW = 0.1
"""Part of a topic's retention that unread records have left, below which /readyz warns: a day or so of seven."""


class Measures(Service):
    """Looks at the group, the partitions, the teams and the event loop."""

    def __init__(  # noqa: PLR0917  (made in one place)
        self,
        settings: Settings,
        cluster: Cluster,
        table: StateTable,
        tail: Tail,
        hub: Hub,
        assigned: Callable[[], Set[Partition]],
        **kwargs: Any,
    ) -> None:
        """Know where to look.

        Args:
            settings: Where the brokers are, and who this worker is.
            cluster: Which workers there are.
            table: This worker's rows.
            tail: What it has read of the unified stream.
            hub: Who listens here.
            assigned: Partitions that this worker owns now, of every topic.
            **kwargs: For `mode.Service`.
        """
        super().__init__(**kwargs)
        self._settings = settings
        self._cluster = cluster
        self._table = table
        self._tail = tail
        self._hub = hub
        self._assigned = assigned
        self._meter = LagMeter(settings)
        self._latest: Sample | None = None
        self._before: Sample | None = None
        self._whole: Lag | None = None
        self._away = False
        self._progress: list[Progress] = []
        self._recent = flow.Recent()
        metrics.BUILD.info({"version": VERSION})

    # --- taken every few seconds

    @Service.task
    async def _poll(self) -> None:
        while not self.should_stop:
            began = monotonic()
            self._recent.note(flow.counts(began))
            await self._sample()
            self._progress = await teams.progress(self._table, self._tail, self._settings.team_series_max + 1)
            await self.sleep(max(0.1, POLL_SECONDS - (monotonic() - began)))

    async def _sample(self) -> None:
        mine, speaks = frozenset(self._assigned()), self._speaks()
        try:
            lag = await self._meter.measure(lambda tp: speaks or tp in mine)
        except Unavailable as error:
            if not self._away:
                self.log.warning("%s", error)
            self._away = True
        else:
            if self._away:
                self.log.info("lag is measured again")
            self._away = False
            self._before, self._latest = self._latest, Sample(lag, mine)

    @Service.task
    async def _watch_loop(self) -> None:
        while not self.should_stop:
            due = monotonic() + LOOP_SECONDS
            await self.sleep(LOOP_SECONDS)
            if not self.should_stop:
                metrics.EVENT_LOOP_DELAY.observe(max(0.0, monotonic() - due))

    async def on_stop(self) -> None:
        """Close the connections to the brokers."""
        await self._meter.close()

    def _speaks(self) -> bool:
        """Whether this is the worker that speaks for the group, and for what nobody owns: the first by name of those that are there.

        A worker that has not heard itself yet has not heard of the others either, and leaves it to them.
        """
        return min(self._cluster.workers(), default=None) == self._settings.url

    def _alone(self) -> bool:
        return self._cluster.workers().keys() == {self._settings.url}

    def _fresh(self) -> Sample | None:
        latest = self._latest
        return latest if latest is not None and monotonic() - latest.lag.at < FRESH_SECONDS else None

    # --- told when somebody asks

    async def lag(self) -> Lag:
        """The lag of every partition, as it is now.

        Raises:
            Unavailable: The brokers are out of reach.
        """
        if self._whole is None or monotonic() - self._whole.at > REUSE_SECONDS:
            self._whole = await self._meter.measure()
        return self._whole

    async def progress(self) -> list[dict[str, Any]]:
        """How far the busy teams are folded that this worker owns, as the API tells it."""
        folded, now = teams.folded(self._table), time()
        found = await teams.progress(self._table, self._tail, self._settings.team_series_max)
        return [{"teamId": one.team_id, "position": one.position, "ageSeconds": one.age_seconds(folded, now)} for one in found]

    def connections(self) -> tuple[int, dict[int, int]]:
        """Open sockets of this worker, and how many of them get each team's events."""
        # The gauge is what every kind of connection counts itself in.
        open_here = sum(sample.value for family in metrics.CONNECTIONS.collect() for sample in family.samples)
        return int(open_here), teams.connections(self._hub.feeds)

    def flow(self) -> Flow:
        """What this worker reads and delivers."""
        return self._recent.flow(flow.counts(monotonic()))

    async def hot_teams(self, limit: int) -> list[dict[str, Any]]:
        """Teams of the whole cluster with most events of the last minute, as the API tells them."""
        found = await flow.hot(self._tail, sorted(self._tail.offsets()), time() * 1000, limit)
        return [{"teamId": team_id, "perSecond": events / flow.HOT_SECONDS} for team_id, events in found]

    def worker(self) -> dict[str, Any]:
        """This worker, as the API tells it."""
        partitions, standbys = self._table.held()
        return {"url": self._settings.url, "version": VERSION, "partitions": sorted(partitions), "standbys": sorted(standbys)}

    def warnings(self) -> list[str]:
        """What does not keep this worker from serving, and wants somebody's attention all the same."""
        sample = self._fresh()
        if sample is None:
            return ["lag is not known: the brokers do not answer"] if self._latest is not None else []
        found = []
        for topic, left in sorted(self._headroom(sample).items()):
            keeps = sample.lag.retention[topic]
            if keeps is not None and left < keeps * WARN_BELOW:
                found.append(f"unread records of {topic} may expire in {max(0.0, left):.0f} s")
        return found

    def _headroom(self, sample: Sample) -> dict[str, float]:
        return sample.lag.headroom([one for _group, found in self._reported(sample) for one in found], time())

    def _reported(self, sample: Sample) -> list[tuple[str, list[PartitionLag]]]:
        mine = ownership.owned(frozenset(self._assigned()), sample, self._before, alone=self._alone())
        speaks = self._speaks()
        return [(one.group, self._reported_of(one, mine, speaks)) for one in sample.lag.groups]

    @staticmethod
    def _reported_of(group: GroupLag, mine: Set[Partition], speaks: bool) -> list[PartitionLag]:
        if group.group == GROUP:
            return list(ownership.reported(group, mine, speaks=speaks))
        # Of other groups no worker owns anything: the one that speaks tells all.
        return list(group.partitions) if speaks else []

    def collect(self) -> None:
        """Bring the gauges up to date; nothing here waits."""
        self._collect_lag()
        self._collect_teams()
        owned = self._table.owned()
        metrics.TABLE_ROWS.set(sum(self._table.rows.estimated_rows(partition) for partition in owned))
        for part, size in self._table.rows.sizes().items():
            metrics.ROCKSDB_BYTES.labels(part=part).set(size)
        metrics.RING_BYTES.set(self._tail.ring_bytes)
        metrics.VIEW_BYTES.set(self._hub.feeds.bytes)

    def _collect_lag(self) -> None:
        for gauge in (metrics.CONSUMER_LAG, metrics.GROUP_MEMBERS, metrics.RETENTION_HEADROOM, metrics.RETENTION):
            gauge.clear()
        metrics.LAG_AGE.set(float("nan") if self._latest is None else monotonic() - self._latest.lag.at)
        sample = self._fresh()
        if sample is None:
            metrics.CHANGELOG_RECORDS.set(float("nan"))
            return
        for group, found in self._reported(sample):
            for one in found:
                metrics.CONSUMER_LAG.labels(group=group, topic=one.topic, partition=one.partition).set(one.lag)
        for topic, left in self._headroom(sample).items():
            metrics.RETENTION_HEADROOM.labels(topic=topic).set(left)
            metrics.RETENTION.labels(topic=topic).set(sample.lag.retention[topic] or 0)
        if self._speaks():
            for told in sample.lag.groups:
                metrics.GROUP_MEMBERS.labels(group=told.group).set(told.members)
        owned = self._table.owned()
        held = sum(count for tp, count in sample.lag.records.items() if tp.topic == CHANGELOG and tp.partition in owned)
        metrics.CHANGELOG_RECORDS.set(held)

    def _collect_teams(self) -> None:
        limit = self._settings.team_series_max
        metrics.TEAM_LAG.clear()
        folded, now = teams.folded(self._table), time()
        here = [one for one in self._progress if one.partition in folded]
        for one in here[:limit]:
            metrics.TEAM_LAG.labels(team=one.team_id).set(one.age_seconds(folded, now))
        if len(here) > limit:
            metrics.TEAM_LAG.labels(team=teams.OTHER).set(max(one.age_seconds(folded, now) for one in here[limit:]))
        metrics.TEAM_CONNECTIONS.clear()
        for team, count in teams.capped(teams.connections(self._hub.feeds).items(), limit).items():
            metrics.TEAM_CONNECTIONS.labels(team=team).set(count)
