"""What a mail server does to us, and what each recipient gets all the same."""

from __future__ import annotations

import asyncio
import time

import pytest

from app.domain.topics import ADDRESSES, REQUESTS
from app.kafka.embedded_broker import EmbeddedKafka
from tests.mail.sending import Fold, address_of, letter_for, records
from tests.mail.server import MailServer
from tests.processes import Worker

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def counted(service: Worker, outcome: str) -> float:
    """How often the service has counted an outcome."""
    _status, metrics = await service.request("GET", "/metrics")
    name = f'teamcast_emails_total{{outcome="{outcome}",template="task.created"}} '
    return sum(float(line.removeprefix(name)) for line in metrics.splitlines() if line.startswith(name))


def at_first(user: int, *faults: str) -> object:
    """A fault for the first tries to one user."""
    return lambda recipient, tries: faults[tries] if recipient == address_of(user) and tries < len(faults) else None


async def test_a_mail_says_what_it_is_about_and_nothing_can_be_put_into_its_headers(
    fold: Fold, server: MailServer, service: Worker, users: range
) -> None:
    ann = users[0]
    await fold.tell(ann)
    await fold.ask(ann, "e1", task_title="Evil\r\nBcc: x@example.org\x00 <b>&", team_name="Ops\nX-Injected: yes")
    await server.until(lambda: len(server.to(address_of(ann))) == 1)
    message = server.mails[-1].message
    assert message["To"] == f"User {ann} <{address_of(ann)}>"
    assert message["From"] == "Teamcast <teamcast@example.org>"
    assert message["Subject"] == "New task: Evil Bcc: x@example.org <b>&"
    assert (message["X-Teamcast-Event-Id"], message["X-Teamcast-Type"]) == ("e1", "task.created")
    assert message["Auto-Submitted"] == "auto-generated"
    assert (message["Bcc"], message["X-Injected"]) == (None, None)
    html, text = message.get_body(("html",)), message.get_body(("plain",))
    assert html is not None
    assert text is not None
    assert "Evil Bcc: x@example.org" in text.get_content()
    assert "&lt;b&gt;&amp;" in html.get_content()
    assert "https://teamcast.example.org/?team=1" in text.get_content()


async def test_a_repeated_event_is_mailed_once(fold: Fold, server: MailServer, service: Worker, users: range) -> None:
    ann = users[0]
    before = [await counted(service, outcome) for outcome in ("expired", "duplicate")]
    await fold.tell(ann)
    for event in ("a", "a", "b", "a"):
        await fold.ask(ann, event)
    await fold.ask(ann, "old", age_seconds=25 * 3600)
    await fold.ask(ann, "end")
    await server.until(lambda: "end" in server.to(address_of(ann)))
    assert server.to(address_of(ann)) == ["a", "b", "end"]
    assert [await counted(service, outcome) for outcome in ("expired", "duplicate")] == [before[0] + 1, before[1] + 2]


async def test_4xx_is_tried_again_and_holds_back_its_recipient_alone(fold: Fold, server: MailServer, service: Worker, users: range) -> None:
    ann, bob = users[:2]
    server.fault = at_first(ann, "452 mailbox full", "data:451 try again")  # type: ignore[assignment]
    for user in (ann, bob):
        await fold.tell(user)
    for event in "abc":
        await fold.ask(ann, event)
        await fold.ask(bob, event)
    await server.until(lambda: len(server.to(address_of(bob))) == 3)
    assert server.to(address_of(ann)) == []
    await server.until(lambda: len(server.to(address_of(ann))) == 3)
    assert server.to(address_of(ann)) == ["a", "b", "c"]


@pytest.mark.parametrize("fault", ["550 no such user", "data:554 not here"])
async def test_5xx_is_a_dead_letter_at_once_and_the_next_mail_goes(
    broker: EmbeddedKafka, fold: Fold, server: MailServer, service: Worker, users: range, fault: str
) -> None:
    ann = users[0]
    server.fault = at_first(ann, fault)  # type: ignore[assignment]
    await fold.tell(ann)
    await fold.ask(ann, "a")
    await fold.ask(ann, "b")
    await server.until(lambda: server.to(address_of(ann)) == ["b"])
    headers, event = await letter_for(broker.bootstrap, ann)
    code = fault.removeprefix("data:")[:3]
    assert (headers["recipient"], headers["error-code"], headers["attempts"]) == (b"%d" % ann, f"smtp-{code}".encode(), b"1")
    assert headers["error"].startswith(code.encode())
    assert headers["failed-at"].endswith(b"Z")
    assert event["eventId"] == "a"


async def test_a_connection_that_goes_in_the_middle_of_data_costs_nothing(
    fold: Fold, server: MailServer, service: Worker, users: range
) -> None:
    ann = users[0]
    server.fault = at_first(ann, "drop", "drop")  # type: ignore[assignment]
    await fold.tell(ann)
    for event in "ab":
        await fold.ask(ann, event)
    await server.until(lambda: len(server.to(address_of(ann))) == 2)
    assert server.to(address_of(ann)) == ["a", "b"]


async def test_a_mail_that_was_taken_without_an_answer_comes_twice_with_one_message_id(
    fold: Fold, server: MailServer, service: Worker, users: range
) -> None:
    ann = users[0]
    before = await counted(service, "unsure")
    server.fault = at_first(ann, "die")  # type: ignore[assignment]
    await fold.tell(ann)
    for event in "ab":
        await fold.ask(ann, event)
    await server.until(lambda: len(server.to(address_of(ann))) == 3)
    assert server.to(address_of(ann)) == ["a", "a", "b"]
    assert len({mail.message_id for mail in server.mails if mail.event_id == "a"}) == 1
    assert await counted(service, "unsure") == before + 1


async def test_a_slow_address_holds_back_nobody_else(fold: Fold, server: MailServer, service: Worker, users: range) -> None:
    slow = address_of(users[0])
    server.fault = lambda recipient, tries: "slow:3" if recipient == slow else None
    for user in users[:20]:
        await fold.tell(user)
        await fold.ask(user, "a")
    began = time.monotonic()
    await server.until(lambda: len(server.mails) == 19)
    assert time.monotonic() - began < 3
    await server.until(lambda: len(server.mails) == 20)


async def test_a_mail_waits_for_the_address(fold: Fold, server: MailServer, service: Worker, users: range) -> None:
    ann, bob = users[:2]
    await fold.ask(ann, "a")
    await fold.ask(ann, "b")
    await fold.tell(bob)
    await fold.ask(bob, "a")
    await server.until(lambda: len(server.mails) == 1)
    _status, listed = await service.request("GET", f"/api/outbox?user={ann}")
    assert [(mail["eventId"], mail["status"]) for mail in listed["mails"]] == [("a", "waiting"), ("b", "waiting")]
    await fold.tell(ann)
    await server.until(lambda: server.to(address_of(ann)) == ["a", "b"])


async def test_what_is_no_request_is_a_dead_letter_and_what_follows_goes_on(
    broker: EmbeddedKafka, fold: Fold, server: MailServer, service: Worker, users: range
) -> None:
    ann = users[0]
    await fold.raw(REQUESTS, b"user:%d" % ann, b"{}")
    await fold.raw(ADDRESSES, b"user:%d" % ann, b'{"v":1,"rank":"1","email":"two@example.org, addresses@example.org"}')
    await fold.tell(ann, rank="2")
    await fold.ask(ann, "a")
    await server.until(lambda: server.to(address_of(ann)) == ["a"])
    found = [dict(record.headers)["source-topic"] for record in await records(broker.bootstrap) if record.key == b"user:%d" % ann]
    assert sorted(found) == [ADDRESSES.encode(), REQUESTS.encode()]


async def test_an_address_that_fits_no_header_is_a_dead_letter(
    broker: EmbeddedKafka, fold: Fold, server: MailServer, service: Worker, users: range
) -> None:
    ann = users[0]
    await fold.tell(ann, email='a"(b@example.org')
    await fold.ask(ann, "a")
    headers, _event = await letter_for(broker.bootstrap, ann)
    assert headers["error-code"] == b"bad-address"
    assert service.running


async def test_a_server_that_is_away_loses_nothing_and_is_not_stormed(
    fold: Fold, server: MailServer, service: Worker, users: range
) -> None:
    await server.stop()
    crowd = users[:200]
    await fold.tell_all(range(crowd[0], crowd[-1] + 1))
    for event in "abc":
        for user in crowd:
            await fold.ask(user, event, wait=False)
    await fold.flush()
    deadline = time.monotonic() + 20
    while (await service.request("GET", "/api/outbox"))[1]["server"]["reachable"]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert (await service.request("GET", "/readyz"))[0] == 200
    await server.start()
    await server.until(lambda: len(server.mails) == 600, 60)
    assert all(server.to(address_of(user)) == ["a", "b", "c"] for user in crowd)
    assert server.most_connections <= 10
