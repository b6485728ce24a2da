"""The settings of the notification service: those of every worker, and where and how mail goes out."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from email.errors import MessageError
from email.headerregistry import Address as MailAddress
from email.utils import getaddresses, parseaddr
from typing import Annotated, Any, Literal, cast
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, SecretStr, field_validator

from app.domain.schema import is_email
from app.errors import StartRefused
from app.settings import Count, Port, Seconds, Settings, load

StartTls = Literal["auto", "required", "never"]
HOUR = 3600.0
_FROM = "must look like teamcast@example.org or Teamcast <teamcast@example.org>"
_HOST = re.compile(r"[A-Za-z0-9._:%-]+")


@dataclass(slots=True, frozen=True)
class Smtp:
    """SMTP_URL taken apart."""

    host: str
    port: int
    tls: bool
    """TLS from the first byte (``smtps://``)."""
    starttls: StartTls
    """``auto``: where the server offers it. A password goes over plain text to loopback only, unless ``never`` asks for it."""
    username: str | None
    password: str | None = None

    def __repr__(self) -> str:
        return f"Smtp({self.host}:{self.port})"  # never the password


def parse_smtp(url: str) -> Smtp:
    """Take SMTP_URL apart.

    Raises:
        ValueError: It is no such URL; the message holds nothing of it.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL like smtp://user:password@host:587") from None
    if port == 0:
        raise ValueError("has no port that can be connected to")
    host = parts.hostname or ""
    if parts.scheme not in ("smtp", "smtps") or not _HOST.fullmatch(host) or parts.path not in ("", "/") or parts.fragment:
        raise ValueError("must look like smtp://user:password@host:587 or smtps://user:password@host")
    query = parse_qs(parts.query, keep_blank_values=True)
    starttls = query.pop("starttls", ["auto"])[-1]
    if query or starttls not in ("auto", "required", "never"):
        raise ValueError("takes ?starttls=auto, required or never, and nothing else")
    if (parts.password is not None) != bool(parts.username):
        raise ValueError("needs a user and a password, or neither")
    tls = parts.scheme == "smtps"
    username = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password is not None else None
    return Smtp(host, port or (465 if tls else 25), tls, cast(StartTls, starttls), username, password)


class MailSettings(Settings):
    """What can be set for the notification service. A field's description is its line in docs/settings.md."""

    port: Port = Field(default=8090, description="Port of the notification service's web server.")
    smtp_url: SecretStr = Field(
        default=SecretStr("smtp://127.0.0.1:1025"),
        description="Mail server: `smtp://user:password@host:587`, `smtps://…`, `?starttls=required`. Default: the catcher of `make run`.",
    )
    mail_from: str = Field(default="Teamcast <teamcast@localhost>", description="Who mails are from: an address, or `Name <address>`.")
    mail_max_age: Seconds = Field(default=24 * HOUR, description="Events older than this when they are read are not mailed.")
    mail_retry_hours: Annotated[float, Field(ge=0, le=24 * 30, allow_inf_nan=False)] = Field(
        default=24.0, description="For how many hours a mail is tried again that the server does not take for now."
    )
    mail_address_wait: Seconds = Field(default=24 * HOUR, description="For how long a mail waits for its recipient's address.")
    mail_connections: Annotated[int, Field(ge=1, le=1000)] = Field(default=10, description="Connections of this worker to the mail server.")
    mail_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.0, description="Mails a second that this worker sends at most; 0 is no limit."
    )
    mail_timeout: Annotated[Seconds, Field(gt=0)] = Field(
        default=60.0, description="For how long an answer of the mail server is waited for."
    )
    mail_users: Annotated[Count, Field(ge=100)] = Field(
        default=20_000, description="Users whose next mail is kept in memory; of the others it waits on disk."
    )
    public_url: str = Field(default="http://127.0.0.1:8086", description="Where links in mails lead: the board's address.")

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: SecretStr) -> SecretStr:
        parse_smtp(value.get_secret_value())
        return value

    @field_validator("mail_from")
    @classmethod
    def _from(cls, value: str) -> str:
        name, address = parseaddr(value)
        if not value.isprintable() or len(getaddresses([value])) != 1 or not is_email(address) or not address.isascii():
            raise ValueError(_FROM)
        try:
            # As every mail does: what it cannot write would make a dead letter of each.
            MailAddress(name, addr_spec=address)
        except (MessageError, ValueError, IndexError, AttributeError):
            raise ValueError(_FROM) from None
        return value

    @field_validator("public_url")
    @classmethod
    def _public(cls, value: str) -> str:
        if not re.fullmatch(r"https?://[^\s/?#@\"'<>]+(/[^\s?#\"'<>]*)?", value):
            raise ValueError("must look like https://teamcast.example.org")
        return value.rstrip("/")

    @property
    def smtp(self) -> Smtp:
        """SMTP_URL taken apart."""
        return parse_smtp(self.smtp_url.get_secret_value())


def load_mail(**overrides: Any) -> MailSettings:
    """The settings of this process.

    Raises:
        StartRefused: A value is bad; the message names each setting, and never shows a value.
    """
    return load(MailSettings, **overrides)


def load_or_exit() -> MailSettings:
    """The settings of this process; a bad value ends it with exit code 2 and one line."""
    try:
        return load_mail()
    except StartRefused as error:
        print(f"teamcast: {error}", file=sys.stderr)
        raise SystemExit(2) from None
