"""Services that are killed, and that come and go: nobody misses a mail, and repeats are those that were under way."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from collections import Counter
from pathlib import Path
from typing import Any

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.services import Services, member, task, team, user
from tests.mail.conftest import mail_worker
from tests.mail.run import Figures, run
from tests.mail.sending import Fold, address_of, letter_for
from tests.mail.server import MailServer
from tests.processes import ROOT, Worker

CONNECTIONS = 10


def check(figures: Figures, kills: int) -> None:
    assert figures.lost == 0
    assert figures.out_of_order == 0
    # What was under way when a service was killed, one mail a connection, with the same Message-ID.
    assert figures.repeated <= kills * CONNECTIONS
    assert figures.message_ids_differ == 0


async def test_a_service_that_is_killed_twice_loses_and_misorders_nothing(broker: EmbeddedKafka, tmp_path: Path) -> None:
    check(await run(broker, tmp_path, mails=600, people=40, kills=2, first_user=500_001), kills=2)


async def test_a_second_service_that_comes_and_goes_repeats_nothing(broker: EmbeddedKafka, tmp_path: Path) -> None:
    check(await run(broker, tmp_path, mails=600, people=40, kills=0, comes_and_goes=True, first_user=600_001), kills=0)


async def test_a_mail_is_given_up_after_the_retry_time_and_a_replay_brings_it(broker: EmbeddedKafka, tmp_path: Path) -> None:
    ann = 700_001
    async with MailServer() as server:
        server.fault = lambda recipient, tries: "452 mailbox full" if recipient == address_of(ann) else None
        async with mail_worker(broker, server, tmp_path, MAIL_RETRY_HOURS="0.0008"), Fold(broker.bootstrap) as fold:
            await fold.tell(ann)
            await fold.ask(ann, "a")
            headers, event = await letter_for(broker.bootstrap, ann)
            assert (event["eventId"], headers["error-code"]) == ("a", b"smtp-452")
            assert int(headers["attempts"]) >= 2
            server.fault = None
            assert await command(broker, "outbox", "list") == []
            [listed] = await command(broker, "deadletters", "list", "--user", str(ann))
            assert (listed["eventId"], listed["error-code"]) == ("a", "smtp-452")
            assert await command(broker, "deadletters", "replay", "--user", str(ann)) == {"replayed": 1, "skipped": 0}
            await server.until(lambda: server.to(address_of(ann)) == ["a"])


async def test_a_mail_that_waits_is_listed_shown_retried_and_cancelled(broker: EmbeddedKafka, tmp_path: Path) -> None:
    ann = 750_001
    async with MailServer() as server:
        server.fault = lambda recipient, tries: "452 later"
        async with mail_worker(broker, server, tmp_path), Fold(broker.bootstrap) as fold:
            await fold.tell(ann)
            for event in "ab":
                await fold.ask(ann, event)
            await server.until(lambda: server.tries[address_of(ann)] >= 3)
            first, second = await command(broker, "outbox", "list", "--user", str(ann))
            assert [(one["eventId"], one["recipient"]) for one in (first, second)] == [("a", ann), ("b", ann)]
            shown = await command(broker, "outbox", "show", first["id"])
            assert shown["request"]["event"]["eventId"] == "a"
            assert "452" in shown["error"]
            assert "Retrying" in await command(broker, "outbox", "retry", first["id"], parse=False)
            assert "Cancelling" in await command(broker, "outbox", "cancel", first["id"], parse=False)
            while len(await command(broker, "outbox", "list", "--user", str(ann))) > 1:
                pass
            server.fault = None
            await server.until(lambda: len(server.to(address_of(ann))) > 0, 70)
            assert server.to(address_of(ann)) == ["b"]


async def command(broker: EmbeddedKafka, *words: str, parse: bool = True) -> Any:
    """What a command of the service prints as JSON."""
    arguments = [sys.executable, "-m", "faust", "-A", "notifications", *words, *(["--json"] if parse else [])]
    env = {**os.environ, "KAFKA_BROKERS": broker.bootstrap, "REPLICATION_FACTOR": "1"}
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, env=env, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out) if parse else out.decode()


async def test_from_a_source_event_to_the_mail(broker: EmbeddedKafka, tmp_path: Path) -> None:
    """Both services, in the order in which people install them: the second one comes later, and knows every address."""
    owner, ann, bob, team_id = 800_001, 800_002, 800_003, 800_001
    async with MailServer() as server, Worker(broker.bootstrap, tmp_path), Services(broker.bootstrap) as services:
        for one in (owner, ann, bob):
            await services.send("user.created", user(one, email=address_of(one)), partition=1)
        await services.make_team(team_id, owner, ann)
        await asyncio.sleep(0)
        async with mail_worker(broker, server, tmp_path):
            await server.until(lambda: len(server.to(address_of(ann))) == 2)
            sent = await services.send(
                "task.created", task("task.created", team_id, 5, owner, creator=owner, title="Write") | {"assigneeId": ann}
            )
            await server.until(lambda: sent.event_id in server.to(address_of(ann)))
            stranger = await services.send("task.updated", task("task.updated", team_id, 5, ann, creator=owner) | {"assigneeId": bob})
            await server.until(lambda: stranger.event_id in server.to(address_of(owner)))
            gone = await services.send("team.member_removed", member("team.member_removed", team_id, ann, owner))
            await server.until(lambda: gone.event_id in server.to(address_of(ann)))
            await services.send("team.updated", team("team.updated", team_id, owner, name="Own act"))
            end = await services.send("team.updated", team("team.updated", team_id, ann, name="By another") | {"ownerId": owner})
            await server.until(lambda: end.event_id in server.to(address_of(owner)))
        types = {
            one: Counter(str(mail.message["X-Teamcast-Type"]) for mail in server.mails if mail.recipient == address_of(one))
            for one in (owner, ann, bob)
        }
        assert types[owner] == {"user.created": 1, "task.updated": 1, "team.updated": 1}
        assert types[ann] == {"user.created": 1, "team.member_added": 1, "task.created": 1, "team.member_removed": 1}
        assert types[bob] == {"user.created": 1}, "no member of the team"
