"""The application of the notification service: every part made once, and handed to those that need it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, cast

import uvloop
from faust.types import TP, ServiceT

from app.application import Application, faust_options
from app.domain.topics import ADDRESSES, REQUESTS
from app.errors import StartRefused
from app.kafka import topics
from app.kafka.deadletters import DeadLetters
from app.kafka.transport.driver import Consumer
from app.kafka.watchdog import Watchdog
from app.settings import is_loopback
from app.worker import refuse
from notifications import commands
from notifications.intake import Intake, register
from notifications.mailer import Mailer
from notifications.settings import MailSettings, load_or_exit
from notifications.table import OutboxTable
from notifications.web import Server, options

log = logging.getLogger(__name__)


class Notifications(Application):
    """The Faust application of the notification service."""

    def __init__(self, settings: MailSettings, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.settings = settings
        self.draining = False
        self.table = OutboxTable(self, partitions=settings.partitions)
        self.tables.add(self.table)
        dead_letters = DeadLetters(self.sender)
        self.mailer = Mailer(settings, self.table, self.sender, dead_letters)
        self.watchdog = Watchdog(settings, lambda: cast(Consumer, self.consumer), lambda: self.rebalancing or not self.tables.actives_ready)
        register(self, Intake(self.mailer, self.sender, dead_letters))
        self.on_partitions_revoked.connect(cast(Any, self._let_go))
        cast(Server, self.web).add_routes()

    def _new_web(self) -> Any:
        return Server(self)

    async def _let_go(self, _app: Any, _revoked: set[TP], /, **_kwargs: Any) -> None:
        """Mails under way end before another worker looks at their outbox."""
        await self.mailer.leave()

    def on_init_dependencies(self) -> Iterable[ServiceT]:
        """Faust's own services, and the mailer."""
        return [*super().on_init_dependencies(), self.mailer, self.watchdog]

    async def on_first_start(self) -> None:
        """Check what must be right before anything is read, and make what is missing."""
        try:
            # Faust makes the last folder of the path alone.
            self.settings.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            await super().on_first_start()
        except OSError as error:
            refuse(StartRefused(f"DATA_DIR: {self.settings.folder} cannot be used: {error.strerror}"))
        smtp = self.settings.smtp
        if smtp.password is not None and smtp.starttls == "never" and not smtp.tls and not is_loopback(smtp.host):
            log.warning("SMTP_URL: the password goes to %s without TLS", smtp.host)
        try:
            await topics.ensure(self.settings, topics.mail_catalogue)
            ids = await topics.identify(self.settings, (topics.OUTBOX_CHANGELOG,))
            self.table.rows.log_id = ids[topics.OUTBOX_CHANGELOG]
        except StartRefused as error:
            refuse(error)

    async def on_stop(self) -> None:
        """Finish the mails under way first, then let the partitions go."""
        self.draining = True
        await self.mailer.leave(min(self.settings.drain_seconds, 3.0))
        await super().on_stop()

    def reasons(self) -> list[str]:
        """Why this worker is not ready; empty when it is. A mail server out of reach is none: mails wait for it here."""
        if self.draining:
            return ["going away"]
        if self.rebalancing or not self.tables.actives_ready:
            return ["the outbox is being recovered"]
        if not any(tp.topic in (REQUESTS, ADDRESSES) for tp in self.consumer.assignment()):
            return ["no partitions assigned"]
        return []


def create(settings: MailSettings) -> Notifications:
    """An application with these settings; nothing is started."""
    app = Notifications(settings, **faust_options(settings, topics.MAIL_GROUP), web_application_options=options())
    commands.register(app)
    return app


def from_environment() -> Notifications:
    """The application of this process; a bad setting ends it with exit code 2 and one line."""
    settings = load_or_exit()
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    return create(settings)
