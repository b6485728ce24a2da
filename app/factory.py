"""The application: every part made once, and handed to those that need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

import uvloop
from faust.app.base import BootStrategy
from faust.types import TP, ServiceT

from agents import register_fold, register_task, register_team, register_user
from agents.fold import Folding
from agents.repartition import Repartition
from app import commands
from app.application import SOURCES_PAUSE, Application, faust_options
from app.cluster_secret import cluster_secret
from app.domain.recent_records import RecentRecords
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.errors import StartRefused
from app.kafka import offsets, topics
from app.kafka.cluster import Cluster
from app.kafka.deadletters import DeadLetters
from app.kafka.lane import Lane, Pause
from app.kafka.log_id import UNKNOWN
from app.kafka.transport.driver import Consumer
from app.kafka.watchdog import Watchdog
from app.settings import Settings, load_or_exit
from app.version import VERSION
from app.worker import refuse
from delivery.hub import Hub
from delivery.owners import Seeds
from delivery.tail import Tail
from delivery.teller import Teller
from tables.changelog import Changelog
from tables.table import StateTable
from web.context import Context
from web.measures import Measures
from web.peers import Peers
from web.server import Server, options
from web.sockets import messages
from web.sockets.handshake import Sockets
from web.sockets.snapshots import encode_snapshot

log = logging.getLogger(__name__)

AHEAD_RECORDS = 2_000
"""So far ahead of its own fold, and of its own tail, a worker routes: or a backlog would be routed whole before much of it is folded and
delivered."""
FOLD_PAUSE = Pause(least_ms=200, most_ms=200)
"""From one fold to the next where little comes and nobody waits for the rows: one write to the changelog and to disk serves many."""


class Gateway(BootStrategy):
    """What a gateway starts of Faust: no consumer, no agents, no tables, so that its coming and going rebalances nothing."""

    def server(self) -> Iterable[ServiceT]:
        """Sensors, the producer and the web server."""
        return [*self.sensors(), *self.kafka_producer(), *self.web_server()]


class Teamcast(Application):
    """The Faust application of the realtime service."""

    def __init__(self, settings: Settings, **kwargs: Any) -> None:
        unified = Lane(FOLD_PAUSE, frozenset({UNIFIED}), wanted=lambda: table.wanted, alone=self._alone, gathers=True)
        sources = Lane(SOURCES_PAUSE, held=lambda: max(table.behind(repartition.sent), tail.waiting) > AHEAD_RECORDS)
        # A changelog is paused once it has been read: fetched with it, the sources would be looked at as if they soon were something else.
        changelog = Lane(topics=frozenset({topics.CHANGELOG}))
        super().__init__(lanes=(unified, changelog, sources), **kwargs)
        self.settings = settings
        self.log_id = UNKNOWN
        self.cluster_secret = cluster_secret(settings)
        counts: dict[str, int] = {}
        sender = self.sender
        table = StateTable(self, changelog=Changelog(settings, sender), partitions=settings.partitions, hurry=unified.hurry)
        self.tables.add(table)
        self.cluster = Cluster(settings, sender, VERSION, table.held)
        peers = Peers(table, settings.url, self.cluster_secret, self.cluster, counts)
        recent = RecentRecords()
        hub = Hub(settings, Seeds(peers.seed, peers.candidates), counts, encode_snapshot, recent)
        tail = Tail(settings, counts, hub, self._alone)
        hub.tail = tail
        for reader in (tail.on_appended, lambda appended: cast(Consumer, self.consumer).bring(appended)):
            sender.tell(UNIFIED, reader)
        measures = Measures(settings, self.cluster, table, tail, hub, self._assigned)
        self.context = Context(settings, table, tail, hub, peers, sender, self.cluster, measures, counts)
        self.sockets = Sockets(self.context)
        self.teller = Teller(hub.attendance, hub.presence, self.cluster, messages.presence)
        self.watchdog = Watchdog(settings, lambda: cast(Consumer, self.consumer), lambda: self.rebalancing or not self.tables.actives_ready)
        dead_letters = DeadLetters(sender)
        repartition = Repartition(sender, dead_letters, counts, recent)
        for register in (register_task, register_team, register_user):
            register(self, repartition)
        register_fold(self, Folding(table, dead_letters, sender, lambda: self.log_id, recent))
        cast(Server, self.web).add_routes(self.sockets)

    def _assigned(self) -> set[TP]:
        return self.assignor.assigned_actives()

    def _alone(self) -> bool:
        """Whether all that is routed is routed here."""
        sources = sum(self.context.topics[name] for name in SOURCE_TOPICS)
        return not self.rebalancing and sum(tp.topic in SOURCE_TOPICS for tp in self._assigned()) == sources

    def _new_web(self) -> Any:
        return Server(self)

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """Faust's own services, and delivery."""
        ours = [self.cluster, self.context.hub, self.context.tail, self.sockets, self.teller, self.context.measures]
        if self.settings.role == "gateway":
            return [*Gateway(self).server(), *ours]
        return [*super().on_init_dependencies(), *ours, self.watchdog]

    async def on_first_start(self) -> None:
        """Check what must be right before anything is read, and make what is missing."""
        try:
            await super().on_first_start()
        except OSError as error:
            refuse(StartRefused(f"DATA_DIR: {self.settings.folder} cannot be used: {error.strerror}"))
        if not self.settings.auth:
            log.warning("authentication is off: anyone on this machine may read and write as anyone")
        try:
            self.context.topics.update(await topics.ensure(self.settings))
            if self.settings.role != "gateway":
                await offsets.ensure_started(self.settings, self.context.topics)
            ids = await topics.identify(self.settings, (UNIFIED, topics.CHANGELOG))
            self.log_id, self.context.table.rows.log_id = ids[UNIFIED], ids[topics.CHANGELOG]
        except StartRefused as error:
            refuse(error)

    async def on_stop(self) -> None:
        """Let the clients go first, then the partitions."""
        self.context.draining.set()
        await self.sockets.drain(self.settings.drain_seconds)
        await self.cluster.leave()
        await super().on_stop()
        await self.context.peers.close()


def create(settings: Settings) -> Teamcast:
    """An application with these settings; nothing is started."""
    app = Teamcast(settings, **faust_options(settings, topics.GROUP), web_application_options=options())
    commands.register(app)
    return app


def from_environment() -> Teamcast:
    """The application of this process; a bad setting ends it with exit code 2 and one line."""
    settings = load_or_exit()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        return create(settings)
    except StartRefused as error:
        refuse(error)
