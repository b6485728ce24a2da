"""A mail as it goes out: headers that nothing can be injected into, a text and an HTML part."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address as MailAddress
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, parseaddr
from hashlib import blake2b

from app.domain.requests import Address, Request
from app.domain.timestamps import from_millis
from notifications.templates import Texts, render

SUBJECT_CHARACTERS = 200
NAME_CHARACTERS = 100


class BadAddress(ValueError):  # noqa: N818  (the address is the error)
    """The recipient's address cannot stand in a header: no try will ever succeed."""


@dataclass(slots=True, frozen=True)
class Message:
    """What SMTP needs of a mail."""

    sender: str
    recipient: str
    body: bytes
    needs_utf8: bool
    """Whether an address is not ASCII: the server must know SMTPUTF8."""


def compose(request: Request, address: Address, mail_from: str, public_url: str, since: int) -> Message:
    """The mail of a request. The same for the same arguments, to the byte.

    Args:
        request: what it is about, and why this recipient.
        address: where it goes; with an e-mail address.
        mail_from: ``Name <address>``.
        public_url: where links lead.
        since: when the request was read, milliseconds since the epoch: the mail's date.

    Raises:
        BadAddress: No mail can be sent to this address.
    """
    email = address.email or ""
    needs_utf8 = not email.isascii()
    texts = render(request, address.username, public_url)
    name, sender = parseaddr(mail_from)
    mail = EmailMessage(policy=SMTPUTF8 if needs_utf8 else SMTP)
    try:
        mail["From"] = MailAddress(clean(name, NAME_CHARACTERS), addr_spec=sender)
        mail["To"] = MailAddress(clean(address.username or "", NAME_CHARACTERS), **_parts(email, needs_utf8))
        mail["Subject"] = clean(texts.subject, SUBJECT_CHARACTERS)
        mail["Date"] = format_datetime(datetime.fromisoformat(from_millis(since)))
        identity = message_id(request, sender)
        mail["Message-ID"] = identity
        mail["Auto-Submitted"] = "auto-generated"
        mail["X-Teamcast-Event-Id"] = clean(request.event_id, 200)
        mail["X-Teamcast-Type"] = clean(request.type, 100)
        mail["MIME-Version"] = "1.0"
        boundary = blake2b(identity.encode(), digest_size=12).hexdigest()
        mail["Content-Type"] = f'multipart/alternative; boundary="={boundary}="'
        head = b"".join(mail.policy.fold_binary(name, value) for name, value in mail.raw_items())
        return Message(sender, email, head + b"\r\n" + _parts_of(texts, boundary), needs_utf8)
    except (MessageError, ValueError, IndexError, AttributeError, UnicodeError) as error:
        raise BadAddress(f"no mail can be written to this address: {type(error).__name__}") from error


def _parts(email: str, needs_utf8: bool) -> dict[str, str]:
    if not needs_utf8:
        return {"addr_spec": email}
    local, _, domain = email.rpartition("@")  # the parser of whole addresses knows ASCII alone
    return {"username": local, "domain": domain}


def message_id(request: Request, sender: str) -> str:
    """The same for every try of one event's mail to one recipient, whoever makes it."""
    identity = blake2b(f"{request.recipient} {request.key} {request.event_id}".encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return f"<{identity}@{sender.rpartition('@')[2]}>"


def clean(text: str, longest: int) -> str:
    """``text`` on one line, without anything that does not print, cut to a length."""
    line = " ".join("".join(char if char.isprintable() else " " for char in text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _parts_of(texts: Texts, boundary: str) -> bytes:
    """Both parts. Written here, since the standard library's way takes three times as long as all the rest of a mail."""
    written = b""
    for kind, text in (("plain", texts.text), ("html", texts.html)):
        body = base64.encodebytes(text.encode(errors="replace")).replace(b"\n", b"\r\n")
        head = f'--={boundary}=\r\nContent-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
        written += head.encode() + body + b"\r\n"
    return written + f"--={boundary}=--\r\n".encode()
