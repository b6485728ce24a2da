"""The pages, and the client that others may load: static files."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".ts": "text/plain"}


def add_pages(application: web.Application) -> None:
    """Add the pages and their files, each by its own route: there is no path to play tricks with."""
    _add(application, "/favicon.ico", FOLDER / "board" / "icon.svg")
    for folder, address in (("board", "/"), ("ops", "/ops"), ("shared", None), ("sdk", None)):
        for file in sorted((FOLDER / folder).rglob("*")):
            if file.suffix in TYPES:
                name = file.relative_to(FOLDER / folder).as_posix()
                _add(application, address if address and name == "index.html" else f"/{folder}/{name}", file)


def _add(application: web.Application, path: str, file: Path) -> None:
    body = file.read_bytes()

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=TYPES[file.suffix], charset="utf-8", headers=HEADERS)

    application.router.add_get(path, serve)
