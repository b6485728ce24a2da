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
    recipients: tuple[str, ...]
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
        message = email.message_from_bytes(cast(bytes, envelope.content), policy=email.policy.default)
        self.mails.append(Caught(self.total, tuple(envelope.rcpt_tos), message))
        return "250 OK"

    async def index(self, _request: web.Request) -> web.Response:
        """The page."""
        rows = [
            f'<a href="mail/{one.number}" target="mail">{escape(str(one.message["Subject"]))}<small>{escape(", ".join(one.recipients))}'
            f" · {escape(str(one.message['Date']))}</small></a>"
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
            return web.Response(text=found.message.as_string(), content_type="text/plain")
        kind = "plain" if "text" in request.query else "html"
        part = found.message.get_body((kind, "html", "plain"))
        headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox allow-popups"}
        text = part.get_content() if part is not None else ""
        return web.Response(text=text, content_type=part.get_content_type() if part is not None else "text/plain", headers=headers)


def port(name: str, default: int) -> int:
    """A port of the environment.

    Raises:
        ValueError: it is none.
    """
    text = os.environ.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError(f"{name} is no port: {text!r}")
    return int(text)


async def main() -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    catcher = Catcher()
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    app = web.Application()
    app.add_routes([web.get("/", catcher.index), web.get("/count", catcher.count), web.get("/mail/{number}", catcher.mail)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    try:
        smtp_port, page_port = port("CATCHER_SMTP_PORT", 1025), port("CATCHER_PORT", 8025)
        await web.TCPSite(runner, HOST, page_port).start()
        server = await loop.create_server(
            lambda: SMTP(catcher, data_size_limit=LARGEST, enable_SMTPUTF8=True, hostname="catcher.localhost", loop=loop), HOST, smtp_port
        )
    except (OSError, ValueError) as error:
        print(f"catcher: {error}", file=sys.stderr)
        return 2
    print(f"Mails to {HOST}:{smtp_port} are shown at http://{HOST}:{page_port}/", flush=True)
    await stopping.wait()
    server.close()
    await runner.cleanup()
    return 0


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(asyncio.run(main()))
