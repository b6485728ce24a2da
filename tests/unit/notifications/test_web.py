"""The service's own pages: health for everybody, metrics by their token, the outbox for administrators."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any, cast

import jwt
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from notifications.factory import Notifications, create
from notifications.settings import MailSettings
from notifications.web import Server
from tests.tokens import SECRET, claims

ADMIN, METRICS = "an administrator's token", "a token for metrics"
OUTBOX = ("/api/outbox", "/api/outbox/7/abc")


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[tuple[TestClient[Any, Any], Notifications]]:
    app = create(MailSettings(data_dir=folder, **settings))
    async with TestClient(TestServer(cast(Server, app.web).web_app)) as client:
        yield client, app


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def user_token(**more: Any) -> str:
    return jwt.encode(claims(now=time(), **more), SECRET, algorithm="HS256")


async def problem(response: ClientResponse) -> int:
    """The status of an answer that is a problem."""
    assert response.content_type == "application/problem+json"
    assert (await response.json(content_type=None))["status"] == response.status
    return response.status


async def test_without_authentication_this_machine_may_ask_and_nobody_else(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _app):
        for path in ("/metrics", "/api/outbox"):
            assert (await client.get(path)).status == 200
            for foreign in ({"Host": "evil.example.org"}, {"X-Forwarded-For": "10.0.0.1"}):
                assert await problem(await client.get(path, headers=foreign)) == 403


@pytest.mark.parametrize("path", OUTBOX)
async def test_the_outbox_is_for_administrators(tmp_path: Path, path: str) -> None:
    async with served(tmp_path, jwt_secret=SECRET, admin_token=ADMIN) as (client, _app):
        assert await problem(await client.get(path)) == 401
        for bad in ("", "wrong", METRICS, user_token(exp=1)):
            assert await problem(await client.get(path, headers=bearer(bad))) == 401
        assert await problem(await client.get(path, headers=bearer(user_token()))) == 403
        assert await problem(await client.get(f"{path}?token={ADMIN}")) == 401, "a token in the address ends up in logs"
        for good in (ADMIN, user_token(scope="admin")):
            assert (await client.get(path, headers=bearer(good))).status == (200 if path == "/api/outbox" else 404)


async def test_metrics_are_shown_for_their_token_and_hold_no_secret(tmp_path: Path) -> None:
    url = "smtp://ann:s3cret-s3cret@127.0.0.1:1025"
    async with served(tmp_path, jwt_secret=SECRET, metrics_token=METRICS, smtp_url=url) as (client, _app):
        assert await problem(await client.get("/metrics")) == 401
        assert await problem(await client.get("/metrics", headers=bearer(ADMIN))) == 401
        response = await client.get("/metrics", headers=bearer(METRICS))
        text = await response.text()
    assert (response.status, response.content_type) == (200, "text/plain")
    assert "teamcast_emails_total" in text
    assert "s3cret" not in text


async def test_health_is_for_everybody_and_readiness_says_what_is_missing(tmp_path: Path) -> None:
    async with served(tmp_path, jwt_secret=SECRET) as (client, app):
        assert (await client.get("/healthz")).status == 200
        response = await client.get("/readyz")
        assert (response.status, await response.json()) == (503, {"status": "not ready", "reasons": ["the outbox is being recovered"]})
        app.draining = True
        assert (await (await client.get("/readyz")).json())["reasons"] == ["going away"]


async def test_an_empty_outbox_is_an_empty_page_that_no_cache_keeps(tmp_path: Path) -> None:
    async with served(tmp_path) as (client, _app):
        response = await client.get("/api/outbox?user=7&limit=1000")
        assert response.headers["Cache-Control"] == "no-store"
        assert await response.json() == {"server": {"reachable": True, "error": None}, "mails": [], "cursor": None}


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "limit=", "limit=-1", "limit=٣", "user=", "user=0", "user=x", "user=-7", "cursor=ä", "cursor=x"],
)
async def test_a_question_that_makes_no_sense_is_refused(tmp_path: Path, query: str) -> None:
    async with served(tmp_path) as (client, _app):
        assert await problem(await client.get(f"/api/outbox?{query}")) == 400


@pytest.mark.parametrize("path", ["/api/outbox/x/abc", "/api/outbox/0/abc", "/api/outbox/7/%00", "/api/outbox/7/ä", "/nothing"])
async def test_what_is_not_there_is_not_found(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as (client, _app):
        assert await problem(await client.get(path)) == 404


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", *OUTBOX])
async def test_nothing_can_be_written_here(tmp_path: Path, path: str) -> None:
    async with served(tmp_path) as (client, _app):
        assert await problem(await client.post(path)) == 405
