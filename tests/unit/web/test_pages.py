"""Static files: what is served, as what, and that nothing else is."""

from __future__ import annotations

import configparser
import json
from collections.abc import AsyncIterator
from fnmatch import fnmatch

import aiohttp
import pytest
import yarl
from aiohttp import web

from tests.ports import free_port
from tests.processes import ROOT
from web.pages import FOLDER, HEADERS, TYPES, add_pages


class Site:
    """Asks for paths as they are written."""

    def __init__(self, port: int, session: aiohttp.ClientSession) -> None:
        self._port, self._session = port, session

    async def get(self, path: str) -> tuple[int, str, bytes, dict[str, str]]:
        url = yarl.URL(f"http://127.0.0.1:{self._port}{path}", encoded=True)
        async with self._session.get(url, allow_redirects=False) as answer:
            return answer.status, answer.content_type, await answer.read(), dict(answer.headers)


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    application = web.Application()
    add_pages(application)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    async with aiohttp.ClientSession() as session:
        yield Site(port, session)
    await runner.cleanup()


@pytest.mark.parametrize(
    ("path", "file", "kind"),
    [
        ("/", "board/index.html", "text/html"),
        ("/ops", "ops/index.html", "text/html"),
        ("/ops/ops.js", "ops/ops.js", "text/javascript"),
        ("/ops/vendor/uPlot.iife.min.js", "ops/vendor/uPlot.iife.min.js", "text/javascript"),
        ("/shared/base.css", "shared/base.css", "text/css"),
        ("/board/board.js", "board/board.js", "text/javascript"),
        ("/board/board.css", "board/board.css", "text/css"),
        ("/sdk/teamcast.js", "sdk/teamcast.js", "text/javascript"),
        ("/sdk/teamcast.d.ts", "sdk/teamcast.d.ts", "text/plain"),
    ],
)
async def test_a_file_is_served_as_what_it_is(site: Site, path: str, file: str, kind: str) -> None:
    status, content_type, body, headers = await site.get(path)
    assert (status, content_type) == (200, kind)
    assert body == (FOLDER / file).read_bytes()
    assert {name: headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    "path",
    [
        "/sdk",
        "/sdk/",
        "/board/",
        "/ops/",
        "/ops/index.html",
        "/ops/vendor/LICENSE",
        "/ops/vendor/README.md",
        "/sdk/package.json",
        "/sdk/README.md",
        "/sdk//teamcast.js",
        "/sdk/./teamcast.js/",
        "/sdk/../__init__.py",
        "/sdk/%2e%2e/__init__.py",
        "/sdk/..%2f__init__.py",
        "/sdk/%252e%252e/__init__.py",
        "/sdk/..%5c__init__.py",
        "/board/%2e%2e/sdk/teamcast.js",
        "/board/../../../../etc/passwd",
        "/sdk/teamcast.js%00.html",
        "/sdk/teamcast.js%2e",
        "/sdk/TEAMCAST.JS",
        "/__init__.py",
        "/asyncapi.yaml/../setup.cfg",
    ],
)
async def test_no_other_path_leads_to_a_file(site: Site, path: str) -> None:
    status, _, body, _ = await site.get(path)
    assert status == 404
    assert b"import" not in body


def test_everything_that_is_served_is_in_the_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    patterns = [one.strip() for one in setup["options.package_data"]["web"].split(",")]
    files = [file.relative_to(FOLDER.parent).as_posix() for file in FOLDER.rglob("*") if file.suffix in TYPES]
    files.append("asyncapi.yaml")
    assert "pages/sdk/teamcast.js" in files
    assert [file for file in files if not any(fnmatch(file, one) and file.count("/") == one.count("/") for one in patterns)] == []


def test_the_client_has_the_projects_version_and_licence() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    package = json.loads((FOLDER / "sdk" / "package.json").read_text(encoding="utf-8"))
    assert (package["version"], package["license"]) == (setup["metadata"]["version"], setup["metadata"]["license"])
    assert (FOLDER / "sdk" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert {".", "./package.json"} == set(package["exports"])
    for name in (*package["files"], package["main"], package["types"]):
        assert (FOLDER / "sdk" / name).is_file(), name
