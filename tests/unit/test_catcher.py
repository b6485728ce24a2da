"""scripts/catcher.py: it takes whatever comes, shows it, and nothing in a mail runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from scripts.catcher import KEPT, Catcher
from tests.ports import free_port
from tests.processes import ROOT

HOSTILE = b"""Subject: </a><script>alert(1)</script> {count}\r
Date: <img src=x onerror=alert(1)>\r
Content-Type: text/html; charset="utf-8"\r
\r
<script>alert(document.domain)</script>\r
"""


class Page:
    """A catcher, and who looks at it."""

    def __init__(self, client: TestClient[Any, Any], catcher: Catcher) -> None:
        self._client = client
        self._catcher = catcher

    async def catch(self, content: bytes, *recipients: str) -> None:
        envelope = SimpleNamespace(content=content, rcpt_tos=list(recipients or ("ann@example.org",)))
        assert await self._catcher.handle_DATA(cast(Any, None), cast(Any, None), cast(Any, envelope)) == "250 OK"

    async def get(self, path: str = "/") -> tuple[str, Any]:
        response = await self._client.get(path)
        assert response.status == 200
        return (await response.read()).decode(errors="replace"), response.headers


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    catcher = Catcher()
    app = web.Application()
    app.add_routes(catcher.routes())
    async with TestClient(TestServer(app)) as client:
        yield Page(client, catcher)


async def test_a_hostile_mail_is_listed_as_text(page: Page) -> None:
    await page.catch(HOSTILE, '"<b>"@example.org')
    text, _headers = await page.get()
    assert "&lt;/a&gt;&lt;script&gt;alert(1)&lt;/script&gt; {count}" in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert "&quot;&lt;b&gt;&quot;@example.org" in text
    assert text.count("<script>") == 1, "the page's own"


@pytest.mark.parametrize("query", ["", "?text", "?raw"])
async def test_nothing_in_a_mail_runs(page: Page, query: str) -> None:
    await page.catch(HOSTILE)
    _text, headers = await page.get(f"/mail/1{query}")
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "sandbox" in policy
    assert "allow-scripts" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Type"].startswith("text/plain") or query != "?raw"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe no mail at all",
        b"Subject: \xff\xfe\r\nDate: \xe4\r\n\r\n\xff",
        b"Subject: =?nonsense?b?////?=\r\nContent-Type: text/html; charset=nonsense\r\n\r\n\xff",
        b"To: <<<>>>,;:\r\nDate: Mon, 99 Foo 10000 99:99\r\nContent-Type: multipart/mixed\r\n\r\n--",
        b"Content-Type: multipart/alternative; boundary=\r\n\r\nx",
        b"Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
        b"Content-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!",
    ],
)
async def test_a_mail_that_is_none_costs_nobody_the_page(page: Page, content: bytes) -> None:
    await page.catch(content, "ann\udcff@example.org")
    await page.get()
    for query in ("", "?text", "?raw"):
        await page.get(f"/mail/1{query}")


async def test_the_newest_stand_first_and_the_oldest_go(page: Page) -> None:
    for number in range(KEPT + 1):
        await page.catch(b"Subject: mail %d\r\n\r\n" % number)
    text, _headers = await page.get()
    assert f"{KEPT + 1} mails caught" in text
    assert text.index(f"mail {KEPT}<") < text.index("mail 1<")
    assert "mail 0<" not in text
    assert (await page.get("/count"))[0] == str(KEPT + 1)


@pytest.mark.parametrize("taken", ["CATCHER_SMTP_PORT", "CATCHER_PORT"])
def test_a_port_that_is_taken_ends_it_with_one_line(taken: str) -> None:
    ports = {"CATCHER_SMTP_PORT": str(free_port()), "CATCHER_PORT": str(free_port())}
    with socket.create_server(("127.0.0.1", int(ports[taken]))):
        ended = subprocess.run(
            [sys.executable, "scripts/catcher.py"],
            cwd=ROOT,
            env={**os.environ, **ports},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"catcher: {taken}: ")
    assert ports[taken] in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_port_that_is_none_ends_it_with_one_line() -> None:
    ended = subprocess.run(
        [sys.executable, "scripts/catcher.py"],
        cwd=ROOT,
        env={**os.environ, "CATCHER_PORT": "http"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (2, "catcher: CATCHER_PORT is no port: 'http'\n")
