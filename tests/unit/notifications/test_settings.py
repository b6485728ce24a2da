"""Settings of the notification service: a bad value ends the start with exit code 2 and one line, and nothing secret is ever shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from notifications.settings import MailSettings, Smtp, load_mail, load_or_exit, parse_smtp

SECRET = "s3cret-s3cret"


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of this machine, and no ``.env``."""
    for name in MailSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_with_nothing_set_mails_go_to_the_catcher() -> None:
    found = load_mail()
    assert found.smtp == Smtp("127.0.0.1", 1025, tls=False, starttls="auto", username=None)
    assert (found.port, found.mail_connections, found.mail_rate, found.public_url) == (8090, 10, 0, "http://127.0.0.1:8086")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example.org", Smtp("mail.example.org", 25, tls=False, starttls="auto", username=None)),
        ("smtp://mail.example.org:587/?starttls=required", Smtp("mail.example.org", 587, tls=False, starttls="required", username=None)),
        ("smtp://mail.example.org?starttls=never", Smtp("mail.example.org", 25, tls=False, starttls="never", username=None)),
        ("smtps://mail.example.org", Smtp("mail.example.org", 465, tls=True, starttls="auto", username=None)),
        ("smtps://ann%40x:p%3A%2F%20@[::1]:2465", Smtp("::1", 2465, tls=True, starttls="auto", username="ann@x", password="p:/ ")),
    ],
)
def test_the_url_says_where_and_how(url: str, expected: Smtp) -> None:
    assert parse_smtp(url) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SMTP_URL", SECRET),
        ("SMTP_URL", f"http://ann:{SECRET}@mail.example.org"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail.example.org:587x"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail.example.org:0"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail.example.org:65536"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@[::1"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail example.org"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail.example.org/inbox"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail.example.org?starttls=sometimes"),
        ("SMTP_URL", f"smtp://ann:{SECRET}@mail.example.org?tls=1"),
        ("SMTP_URL", f"smtp://:{SECRET}@mail.example.org"),
        ("SMTP_URL", "smtp://ann@mail.example.org"),
        ("MAIL_FROM", "Teamcast"),
        ("MAIL_FROM", "Teamcast <teamcast>"),
        ("MAIL_FROM", "a@example.org, b@example.org"),
        ("MAIL_FROM", 'a"(b@example.org'),
        ("MAIL_FROM", "a..b@example.org"),
        ("MAIL_FROM", "Ann <änn@example.org>"),
        ("MAIL_FROM", "Teamcast\r\nBcc: x@example.org <teamcast@example.org>"),
        ("MAIL_MAX_AGE", "-1"),
        ("MAIL_RETRY_HOURS", "inf"),
        ("MAIL_RETRY_HOURS", "-1"),
        ("MAIL_ADDRESS_WAIT", "soon"),
        ("MAIL_CONNECTIONS", "0"),
        ("MAIL_CONNECTIONS", "1001"),
        ("MAIL_RATE", "-0.1"),
        ("MAIL_RATE", "nan"),
        ("MAIL_TIMEOUT", "0"),
        ("MAIL_USERS", "99"),
        ("PUBLIC_URL", "teamcast.example.org"),
        ("PUBLIC_URL", "javascript:alert(1)"),
        ("PUBLIC_URL", "https://teamcast.example.org/?x=1"),
        ("PUBLIC_URL", 'https://teamcast.example.org/"><script>'),
    ],
)
def test_a_bad_value_ends_the_start_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load_or_exit()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n")) == (2, 1)
    assert said.startswith(f"teamcast: bad setting: {name}: ")
    assert SECRET not in said


def test_a_password_is_in_nothing_that_is_printed() -> None:
    found = load_mail(smtp_url=f"smtp://ann:{SECRET}@mail.example.org")
    assert found.smtp.password == SECRET
    assert SECRET not in f"{found!r} {found} {found.smtp!r} {found.smtp} {found.model_dump()} {found.model_dump_json()}"


@pytest.mark.parametrize(
    "sender", ["teamcast@example.org", "Teamcast <teamcast@example.org>", '"Ops, Inc." <ops@example.org>', "Tëam <t@x>"]
)
def test_who_mails_are_from_is_an_address_with_or_without_a_name(sender: str) -> None:
    assert load_mail(mail_from=sender).mail_from == sender


def test_a_slash_at_the_end_of_the_public_address_is_not_doubled_in_links() -> None:
    assert load_mail(public_url="https://example.org/teamcast/").public_url == "https://example.org/teamcast"
