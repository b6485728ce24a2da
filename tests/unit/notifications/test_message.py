"""Mails: every kind of event has its words, and nothing that people write can become markup or a header."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.requests import REASONS, Address, Request
from app.domain.topics import SOURCE_TOPICS
from notifications.message import BadAddress, clean, compose, message_id
from notifications.templates import OTHER, render, template_of
from tests.unit.notifications.world import START

HOSTILE = "\"><script>alert('x')</script>{{ 7 * 7 }}\r\nBcc: eve@example.org\r\n\r\n<img src=x onerror=alert(1)>\x00\u2028\u202e"
EVERY = [*SOURCE_TOPICS, "task.moved"]
FULL: dict[str, Any] = {
    "taskId": 5,
    "userId": 8,
    "title": "Write it down",
    "name": "Ops",
    "description": "All of it",
    "role": "admin",
    "due": "2026-12-01",
    "priority": "high",
    "completed": True,
    "assigneeId": 8,
    "username": "ann",
}


def request(kind: str, *, reason: str = "assignee", title: str | None = "Write it down", team: str | None = "Ops", **more: Any) -> Request:
    event = {"eventId": "e1", "type": kind, "teamId": 42, "actorId": 9, "timestamp": "2026-11-23T10:20:30.000000Z", "data": FULL} | more
    return Request("team:42", "p", 8, reason, team, title, event)


def mail_of(
    made: Request, name: str | None = "ann", address: str = "ann@example.org", sender: str = "Teamcast <t@example.org>"
) -> EmailMessage:
    message = compose(made, Address(8, "1", address, name), sender, "https://teamcast.example.org", START)
    parsed = email.message_from_bytes(message.body, policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    assert parsed.defects == []
    return parsed


def part(mail: EmailMessage, kind: str) -> str:
    found = mail.get_body((kind,))
    assert found is not None
    return str(found.get_content())


class Page(HTMLParser):
    """The tags and the attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str | None] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _value in attrs}
        self.links += [value for name, value in attrs if name in ("href", "src")]


# --- words


@pytest.mark.parametrize("kind", EVERY)
def test_every_kind_of_event_has_a_subject_a_text_and_a_page(kind: str) -> None:
    mail = mail_of(request(kind, reason="owner" if kind.startswith("team") else "assignee"))
    text, html = part(mail, "plain"), part(mail, "html")
    assert template_of(kind) == (kind if kind in SOURCE_TOPICS else OTHER)
    assert mail["Subject"]
    for said in (text, html):
        assert "2026-11-23 10:20 UTC" in said
        assert "https://teamcast.example.org/" in said
        assert "You get this mail because" in said
    assert ("Ops" in text) == (kind != "user.created")
    assert ("Write it down" in text) == kind.startswith("task.") or kind == "task.moved"
    assert html.startswith("<!doctype html>")


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("kind", EVERY)
def test_what_is_null_or_not_there_leaves_no_hole(kind: str, reason: str) -> None:
    for data in ({}, dict.fromkeys(FULL)):
        mail = mail_of(request(kind, reason=reason, title=None, team=None, data=data), name=None)
        for said in (mail["Subject"], part(mail, "plain"), part(mail, "html")):
            assert "None" not in said
            assert "undefined" not in said.lower()
        text = part(mail, "plain")
        assert "\n\n\n\n" not in text
        assert "Hello" not in text, "nobody's name is known"


@pytest.mark.parametrize("kind", EVERY)
def test_what_people_write_stays_text(kind: str) -> None:
    data = {name: HOSTILE if type(value) is str else value for name, value in FULL.items()}
    plain, mail = mail_of(request(kind)), mail_of(request(kind, title=HOSTILE, team=HOSTILE, data=data), name=HOSTILE)
    expected, found = Page(part(plain, "html")), Page(part(mail, "html"))
    assert found.tags == expected.tags
    assert found.attributes == expected.attributes
    assert found.links == expected.links
    assert "{{ 7 * 7 }}" in part(mail, "html") or kind == "user.created"
    assert set(mail.keys()) == set(plain.keys())
    assert "Bcc" not in mail


def test_a_link_leads_to_the_team_and_without_one_to_the_board() -> None:
    assert "https://teamcast.example.org/?team=42" in part(mail_of(request("task.created")), "plain")
    personal = part(mail_of(request("task.created", teamId=None, team=None)), "plain")
    assert "https://teamcast.example.org/\n" in personal
    assert "?team" not in personal
    for kind in ("team.deleted", "team.member_removed"):
        assert "?team" not in part(mail_of(request(kind)), "plain"), "their board has it no more"


def test_a_long_description_is_cut() -> None:
    texts = render(request("task.created", data=FULL | {"description": "ä" * 100_000}), "ann", "https://x")
    assert texts.text.count("ä") == texts.html.count("ä") == 2000


# --- headers


@settings(max_examples=30)
@given(st.text(max_size=300), st.text(max_size=300), st.text(max_size=300))
def test_no_text_can_add_a_header_or_break_a_line(title: str, name: str, event_id: str) -> None:
    made = request("task.created", title=title, eventId=event_id or "e")
    message = compose(made, Address(8, "1", "ann@example.org", name), "Teamcast <t@example.org>", "https://x", START)
    head, _, _body = message.body.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    names = [line.partition(b":")[0] for line in lines if line[:1] not in (b" ", b"\t")]
    assert names == [
        b"From", b"To", b"Subject", b"Date", b"Message-ID", b"Auto-Submitted", b"X-Teamcast-Event-Id", b"X-Teamcast-Type", b"MIME-Version",
        b"Content-Type",
    ]  # fmt: skip
    assert head.isascii()
    assert all(byte >= 32 or byte == 9 for line in lines for byte in line)
    assert max(map(len, lines)) <= 998


def test_a_subject_is_one_line_of_what_prints_and_has_an_end() -> None:
    subject = mail_of(request("task.created", title=HOSTILE))["Subject"]
    assert subject.startswith("New task: \"><script>alert('x')</script>{{ 7 * 7 }} Bcc: eve@example.org")
    assert subject.isprintable()
    assert len(mail_of(request("task.created", title="ä" * 5000))["Subject"]) == 200
    assert clean(" a\tb\x00c\r\n ", 100) == "a b c"


def test_a_mail_says_that_a_machine_wrote_it_and_about_what() -> None:
    mail = mail_of(request("task.created"))
    assert {name: mail[name] for name in ("From", "To", "Auto-Submitted", "X-Teamcast-Event-Id", "X-Teamcast-Type")} == {
        "From": "Teamcast <t@example.org>",
        "To": "ann <ann@example.org>",
        "Auto-Submitted": "auto-generated",
        "X-Teamcast-Event-Id": "e1",
        "X-Teamcast-Type": "task.created",
    }


def test_a_mail_is_the_same_whoever_makes_it_and_another_recipients_is_another() -> None:
    made = request("task.created")
    address = Address(8, "1", "ann@example.org", "ann")
    once, again = (compose(made, address, "t@example.org", "https://x", START).body for _ in range(2))
    assert once == again
    other = Request(made.key, "p", 9, made.reason, None, None, made.event)
    assert message_id(made, "t@example.org") != message_id(other, "t@example.org")


@pytest.mark.parametrize(
    "address", ['a"(b@example.org', "a..b@example.org", "@example.org", "ann", "", "a@b@c", "ann@example.org\r\nBcc: x@y"]
)
def test_an_address_that_fits_no_header_is_refused(address: str) -> None:
    with pytest.raises(BadAddress):
        compose(request("task.created"), Address(8, "1", address, "ann"), "t@example.org", "https://x", START)


def test_an_address_that_is_not_ascii_asks_for_smtputf8() -> None:
    message = compose(request("task.created"), Address(8, "1", "änn@exämple.org", "Änn"), "t@example.org", "https://x", START)
    assert message.needs_utf8
    assert "änn@exämple.org".encode() in message.body
