"""Talking SMTP, to a real mail server on loopback."""

from __future__ import annotations

import logging
import random
import ssl
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from notifications import smtp
from notifications.message import Message
from notifications.outbox import Outcome
from notifications.settings import parse_smtp
from notifications.smtp import Connection, Door, Unreachable
from tests.mail.server import MailServer
from tests.ports import free_port
from tests.unit.notifications.certificates import server_context

# The server's own advice: a password without TLS is what some of these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")

SECRET = "s3cret-s3cret"
MAIL = Message("teamcast@example.org", "ann@example.org", b"X-Teamcast-Event-Id: e1\r\n\r\nhello\r\n", needs_utf8=False)


def connection(url: str, seconds: float = 5.0) -> Connection:
    return Connection(parse_smtp(url), seconds)


async def refusal(url: str) -> str:
    """Why no connection is to be had."""
    with pytest.raises(Unreachable) as refused:
        await connection(url).open()
    said = str(refused.value)
    assert "\n" not in said
    assert SECRET not in said
    return said


async def sent(url: str) -> bool:
    """Whether a mail goes this way."""
    one = connection(url)
    await one.open()
    try:
        return (await one.send(MAIL)).outcome is Outcome.SENT
    finally:
        await one.close()


def authenticated(**more: Any) -> dict[str, Any]:
    """Options of a server that knows Ann, and takes mails of nobody else."""

    def check(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        return AuthResult(success=(given.login, given.password) == (b"ann", SECRET.encode()), handled=False)

    return {"authenticator": check, "auth_required": True, "auth_require_tls": False, **more}


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's certificate that this machine trusts, by the setting that OpenSSL has for it."""
    context, file = server_context(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    return context


@pytest.fixture
def untrusted(tmp_path: Path) -> ssl.SSLContext:
    """A server's certificate that nobody vouches for."""
    return server_context(tmp_path)[0]


# --- TLS


async def test_smtps_is_tls_from_the_first_byte(trusted: ssl.SSLContext) -> None:
    async with MailServer(tls=trusted) as server:
        assert await sent(f"smtps://127.0.0.1:{server.port}")


@pytest.mark.parametrize("query", ["", "?starttls=required"])
async def test_starttls_is_used_where_it_is_offered(trusted: ssl.SSLContext, query: str) -> None:
    async with MailServer(options={"tls_context": trusted, "require_starttls": True}) as server:
        assert await sent(server.url + query)


async def test_without_starttls_mails_go_as_they_are_unless_it_is_required() -> None:
    async with MailServer() as server:
        assert await sent(server.url)
        assert "STARTTLS" in await refusal(server.url + "?starttls=required")
        assert len(server.mails) == 1


@pytest.mark.parametrize("query", ["", "?starttls=required"])
async def test_an_offer_of_tls_that_fails_is_no_reason_to_go_on_without(
    trusted: ssl.SSLContext, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def later(self: SMTP, _arg: str) -> None:
        await self.push("454 TLS not available due to temporary reason")

    monkeypatch.setattr(SMTP, "smtp_STARTTLS", later)
    async with MailServer(options={"tls_context": trusted}) as server:
        assert "454" in await refusal(server.url + query)
        assert server.mails == []


@pytest.mark.parametrize("query", ["", "?starttls=required"])
async def test_a_password_is_not_sent_where_tls_was_taken_away(query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody in between removes the offer of STARTTLS: AUTH is never begun."""
    monkeypatch.setattr(smtp, "is_loopback", lambda _host: False)
    asked: list[str] = []

    async def note(_self: SMTP, arg: str) -> None:
        asked.append(arg)

    monkeypatch.setattr(SMTP, "smtp_AUTH", note)
    async with MailServer(options=authenticated()) as server:
        said = await refusal(f"smtp://ann:{SECRET}@127.0.0.1:{server.port}{query}")
    assert "TLS" in said
    assert asked == []


@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
async def test_a_certificate_that_nobody_vouches_for_is_refused(untrusted: ssl.SSLContext, scheme: str) -> None:
    options = {"tls_context": untrusted} if scheme == "smtp" else {}
    async with MailServer(tls=untrusted if scheme == "smtps" else None, options=options) as server:
        said = await refusal(f"{scheme}://ann:{SECRET}@127.0.0.1:{server.port}")
        assert "certificate verify failed" in said
        assert server.mails == []


async def test_a_certificate_of_another_host_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    context, file = server_context(tmp_path, "other.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with MailServer(tls=context) as server:
        assert "certificate" in await refusal(f"smtps://127.0.0.1:{server.port}")


async def test_smtps_to_a_server_that_speaks_plainly_is_refused() -> None:
    async with MailServer() as server:
        assert str(server.port) in await refusal(f"smtps://127.0.0.1:{server.port}")


# --- who sends


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_the_password_is_given_the_way_the_server_asks_for(mechanism: str) -> None:
    other = {"PLAIN": "LOGIN", "LOGIN": "PLAIN"}[mechanism]
    async with MailServer(options=authenticated(auth_exclude_mechanism=[other])) as server:
        assert await sent(f"smtp://ann:{SECRET}@127.0.0.1:{server.port}")


async def test_the_password_is_given_within_tls(trusted: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "is_loopback", lambda _host: False)
    async with MailServer(options=authenticated(tls_context=trusted, auth_require_tls=True)) as server:
        assert await sent(f"smtp://ann:{SECRET}@127.0.0.1:{server.port}")


async def test_a_wrong_password_is_a_server_that_cannot_be_reached() -> None:
    async with MailServer(options=authenticated()) as server:
        said = await refusal(f"smtp://ann:wrong-{SECRET}@127.0.0.1:{server.port}")
        assert "535" in said


async def test_a_server_that_takes_no_password_cannot_be_reached() -> None:
    async with MailServer() as server:
        assert "AUTH" in await refusal(f"smtp://ann:{SECRET}@127.0.0.1:{server.port}")


async def test_a_mail_that_a_password_is_missing_for_is_tried_again_and_not_given_up() -> None:
    async with MailServer(options=authenticated()) as server:
        one = connection(server.url)
        await one.open()
        answer = await one.send(MAIL)
        await one.close()
    assert (answer.outcome, answer.code) == (Outcome.DEFERRED, "smtp-530")


# --- what an answer means


@pytest.mark.parametrize(
    ("fault", "outcome", "code"),
    [
        ("452 mailbox full", Outcome.DEFERRED, "smtp-452"),
        ("data:451 try again", Outcome.DEFERRED, "smtp-451"),
        ("550 no such user", Outcome.REFUSED, "smtp-550"),
        ("data:554 not here", Outcome.REFUSED, "smtp-554"),
        ("535 authenticate", Outcome.DEFERRED, "smtp-535"),
        ("drop", Outcome.LOST, "connection-lost"),
        ("die", Outcome.LOST, "connection-lost"),
    ],
)
async def test_an_answer_says_what_becomes_of_the_mail(fault: str, outcome: Outcome, code: str) -> None:
    async with MailServer(fault=lambda _recipient, tries: None if tries else fault) as server:
        one = connection(server.url)
        await one.open()
        answer = await one.send(MAIL)
        assert (answer.outcome, answer.code) == (outcome, code)
        # What was left of it is no part of the next mail.
        if not await one.ready():
            await one.open()
        assert (await one.send(MAIL)).outcome is Outcome.SENT
        await one.close()


async def test_a_server_that_does_not_answer_is_waited_for_so_long_and_no_longer() -> None:
    async with MailServer(fault=lambda _recipient, _tries: "slow:30") as server:
        one = connection(server.url, seconds=0.1)
        await one.open()
        began = monotonic()
        assert (await one.send(MAIL)).outcome is Outcome.LOST
        assert monotonic() - began < 5
        await one.close()


async def test_an_address_that_is_not_ascii_needs_a_server_that_knows_it() -> None:
    mail = Message("teamcast@example.org", "änn@example.org", MAIL.body, needs_utf8=True)
    for knows, outcome in ((True, Outcome.SENT), (False, Outcome.REFUSED)):
        async with MailServer(options={"enable_SMTPUTF8": knows}) as server:
            one = connection(server.url)
            await one.open()
            assert (await one.send(mail)).outcome is outcome
            await one.close()


# --- connections are used again


async def test_a_connection_is_used_for_many_mails_and_then_another() -> None:
    async with MailServer() as server:
        one = connection(server.url)
        for _ in range(smtp.MAILS + 1):
            if not await one.ready():
                await one.open()
            assert (await one.send(MAIL)).outcome is Outcome.SENT
        await one.close()
        assert (server.accepted, len(server.mails)) == (2, smtp.MAILS + 1)


async def test_an_idle_connection_is_asked_whether_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smtp, "FRESH_SECONDS", 0.0)
    async with MailServer() as server:
        one = connection(server.url)
        await one.open()
        assert await one.ready()
        await server.stop()
        assert not await one.ready()
        assert (await one.send(MAIL)).outcome is Outcome.DEFERRED, "no connection"
        await one.close()


# --- the door


async def test_a_door_that_was_shut_is_knocked_at_again_after_a_pause_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    url = f"smtp://127.0.0.1:{free_port()}"
    door = Door(random.Random(1))
    with caplog.at_level(logging.INFO, logger="notifications.smtp"):
        for _ in range(3):
            with pytest.raises(Unreachable):
                await door.through(connection(url))
        assert 0 < door.wait_seconds <= 1
        assert len(caplog.messages) == 1, "of three that wanted to pass one has knocked"
        door._closed_until = 0.0
        async with MailServer(port=int(url.rpartition(":")[2])):
            one = connection(url)
            await door.through(one)
            await one.close()
    assert caplog.messages[0].startswith("no mails can be sent for now, they wait: 127.0.0.1:")
    assert caplog.messages[1:] == ["the mail server takes mails again"]


async def test_the_pause_between_two_knocks_grows_to_a_minute() -> None:
    door, url = Door(random.Random(1)), f"smtp://127.0.0.1:{free_port()}"
    pauses = []
    for _ in range(9):
        door._closed_until = 0.0
        with pytest.raises(Unreachable):
            await door.through(connection(url))
        pauses.append(door.wait_seconds)
    assert pauses[0] <= 1
    assert 25 < pauses[-1] <= 60
