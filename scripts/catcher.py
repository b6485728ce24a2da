"""A mail server for development: takes every mail, delivers none, and shows them on a page.

``CATCHER_SMTP_PORT`` (1025) is where mails go, ``CATCHER_PORT`` (8025) is the page. Keeps the newest mails in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import os
import signal
import socket
import sys
from collections import deque
from dataclasses import dataclass
from email.message import EmailMessage
from html import escape
from typing import cast

from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

KEPT = 1000
LARGEST = 32 * 2**20
HOST = "127.0.0.1"
#: Of every mail that is shown: nothing in it runs, loads or is taken for another kind of content.
HARMLESS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups",
    "X-Content-Type-Options": "nosniff",
}

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mails · Teamcast</title><meta name="color-scheme" content="light dark">
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; margin: 0; display: grid; grid-template-columns: minmax(18rem, 26rem) 1fr; height: 100vh; }}
header {{ padding: 12px 16px; font-weight: 600; border-bottom: 1px solid #8884; }}
nav {{ overflow: auto; border-right: 1px solid #8884; }}
nav a {{ display: block; padding: 10px 16px; border-bottom: 1px solid #8883; color: inherit; text-decoration: none; }}
nav a:hover, nav a:focus-visible, nav a[aria-current] {{ background: #8882; }}
nav small {{ display: block; opacity: .75; overflow-wrap: anywhere; }}
iframe {{ border: 0; width: 100%; height: 100%; }}
main {{ min-width: 0; }}
</style></head>
<body><nav aria-label="Mails"><header>{count} mails caught, newest first</header>{rows}</nav>
<main><iframe name="mail" title="The mail" sandbox="allow-popups" {source}></iframe></main>
<script>
let shown = {total};
setInterval(async () => {{
  const now = await (await fetch("count")).json();
  if (now === shown) return;
  shown = now;
  const page = new DOMParser().parseFromString(await (await fetch("")).text(), "text/html");
  document.querySelector("nav").replaceChildren(...page.querySelector("nav").childNodes);
}}, 2000);
</script></body></html>"""


@dataclass(slots=True, frozen=True)
class Caught:
    """A mail."""

    number: int
    recipients: str
    subject: str
    date: str
    source: bytes
    message: EmailMessage


class Catcher:
    """Takes mails, and shows them."""

    def __init__(self) -> None:
        """Begin with none."""
        self.mails: deque[Caught] = deque(maxlen=KEPT)
        self.total = 0

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802  (aiosmtpd's name)
        """Keep a mail."""
        self.total += 1
        source = cast(bytes, envelope.content)
        message = email.message_from_bytes(source, policy=email.policy.default)
        subject, date = header(message, "Subject"), header(message, "Date")
        self.mails.append(Caught(self.total, printable(", ".join(envelope.rcpt_tos)), subject, date, source, message))
        return "250 OK"

    def routes(self) -> list[web.RouteDef]:
        """What the page consists of."""
        return [web.get("/", self.index), web.get("/count", self.count), web.get("/mail/{number}", self.mail)]

    async def index(self, _request: web.Request) -> web.Response:
        """The page."""
        rows = [
            f'<a href="mail/{one.number}" target="mail">{escape(one.subject)}'
            f"<small>{escape(one.recipients)} · {escape(one.date)}</small></a>"
            for one in reversed(self.mails)
        ]
        source = f'src="mail/{self.mails[-1].number}"' if self.mails else ""
        body = PAGE.format(count=self.total, total=self.total, rows="".join(rows) or "<a>None yet.</a>", source=source)
        return web.Response(text=body, content_type="text/html")

    async def count(self, _request: web.Request) -> web.Response:
        """How many came."""
        return web.json_response(self.total)

    async def mail(self, request: web.Request) -> web.Response:
        """One mail's HTML, or its text, or with ``?raw`` its source. Nothing in it runs."""
        number = request.match_info["number"]
        found = next((one for one in self.mails if str(one.number) == number), None)
        if found is None:
            raise web.HTTPNotFound
        if "raw" in request.query:
            return web.Response(body=found.source, content_type="text/plain", charset="utf-8", headers=HARMLESS)
        kind, text = readable(found.message, "plain" if "text" in request.query else "html")
        return web.Response(text=text, content_type=kind, headers=HARMLESS)


def header(message: EmailMessage, name: str) -> str:
    """A header's text; a mail may have none, or one that cannot be read."""
    try:
        return printable(str(message[name] or f"no {name.lower()}"))
    except Exception:  # noqa: BLE001  (the parser raises whatever comes of it; one such mail must not cost the page)
        return f"no readable {name.lower()}"


def readable(message: EmailMessage, wanted: str) -> tuple[str, str]:
    """The content type and the text of what a mail has to read, best the kind that is wanted."""
    try:
        part = message.get_body((wanted, "html", "plain"))
        if part is None:
            return "text/plain", ""
        return ("text/html" if part.get_content_type() == "text/html" else "text/plain"), printable(str(part.get_content()))
    except Exception as error:  # noqa: BLE001  (as above)
        return "text/plain", f"This mail cannot be read ({type(error).__name__}); add ?raw to the address for its source."


def printable(text: str) -> str:
    """A text that can be written as UTF-8: bytes that were none become question marks."""
    return text.encode(errors="replace").decode()


def port(name: str, default: int) -> int:
    """A port of the environment.

    Raises:
        ValueError: it is none.
    """
    text = os.environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{name} is no port: {text!r}")
    return int(text)


def listener(name: str, number: int) -> socket.socket:
    """A socket that listens on a port.

    Raises:
        ValueError: it cannot be listened on.
    """
    try:
        return socket.create_server((HOST, number))
    except OSError as error:
        raise ValueError(f"{name}: {HOST}:{number} cannot be listened on: {error.strerror}") from None


async def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    catcher = Catcher()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    app = web.Application()
    app.add_routes(catcher.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        smtp_port, page_port = port("CATCHER_SMTP_PORT", 1025), port("CATCHER_PORT", 8025)
        page = listener("CATCHER_PORT", page_port)
        mails = listener("CATCHER_SMTP_PORT", smtp_port)
    except ValueError as error:
        print(f"catcher: {error}", file=sys.stderr)
        return 2
    await web.SockSite(runner, page).start()
    server = await loop.create_server(
        lambda: SMTP(catcher, data_size_limit=LARGEST, enable_SMTPUTF8=True, hostname="catcher.localhost", loop=loop), sock=mails
    )
    print(f"Mails to {HOST}:{smtp_port} are shown at http://{HOST}:{page_port}/", flush=True)
    await stopping.wait()
    server.close()
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
