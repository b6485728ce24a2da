"""Who a request speaks for: where its token is looked for, and what each caller may do."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from time import time
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from app.auth import Authenticator, BadToken, KeysUnavailable
from app.settings import Settings
from tests.ports import free_port
from tests.tokens import SECRET, claims, hs256, jwk, key_server, signed
from web.identity import (
    Caller,
    authenticate_socket,
    bearer_of,
    caller_of,
    caller_of_stream,
    names_loopback,
    origin_allowed,
    refuse_foreign_host,
    refuse_foreign_origin,
    same,
    token_of,
)
from web.problems import Problem

ADMIN_TOKEN = "the token of an administrator"
Lines = list[tuple[str, str]]


def settings(**more: Any) -> Settings:
    return Settings(_env_file=None, **more)


OPEN = settings()
GUARDED = settings(jwt_secret=SECRET, admin_token=ADMIN_TOKEN)


def request(lines: Lines, path: str = "/api/teams/1", method: str = "GET") -> web.Request:
    """A request with these header lines as aiohttp gives them: bytes that are no UTF-8 are lone surrogates."""
    found = make_mocked_request(method, path)
    headers = CIMultiDictProxy(CIMultiDict(lines))
    object.__setattr__(found, "_headers", headers)
    return found


def bearer(token: str) -> Lines:
    return [("Authorization", f"Bearer {token}")]


def token(user_id: int | str = 7, **more: Any) -> str:
    return hs256(claims(user_id, now=time(), **more))


async def caller(lines: Lines, configured: Settings = GUARDED, path: str = "/api/teams/1") -> Caller:
    return await caller_of(request(lines, path), configured, Authenticator(configured))


async def refused(lines: Lines, configured: Settings = GUARDED, path: str = "/api/teams/1") -> Problem:
    with pytest.raises(Problem) as problem:
        await caller(lines, configured, path)
    return problem.value


# --- places


@pytest.mark.parametrize(
    ("lines", "query", "found"),
    [
        ([], "", None),
        ([("Authorization", "Bearer a")], "", "a"),
        ([("authorization", "bearer a")], "", "a"),
        ([("Authorization", "BEARER  a ")], "", "a"),
        ([("Authorization", "Bearer")], "", ""),
        ([("Authorization", "Bearer ")], "?token=q", ""),
        ([("Authorization", "Basic dTpw")], "", None),
        ([("Authorization", "Basic dTpw")], "?token=q", "q"),
        ([("Authorization", "Bearera")], "", None),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], "", ""),
        ([("Authorization", "Basic dTpw"), ("Authorization", "Bearer b")], "", ""),
        ([("Sec-WebSocket-Protocol", "teamcast.v1, bearer.p")], "", "p"),
        ([("Sec-WebSocket-Protocol", "teamcast.v1"), ("Sec-WebSocket-Protocol", "bearer.p")], "", "p"),
        ([("Sec-WebSocket-Protocol", "bearer.p,bearer.second")], "", "p"),
        ([("Sec-WebSocket-Protocol", "bearer.")], "?token=q", ""),
        ([("Sec-WebSocket-Protocol", "xbearer.p")], "", None),
        ([("Sec-WebSocket-Protocol", "bearer")], "", None),
        ([], "?token=q", "q"),
        ([], "?token=", ""),
        ([], "?token=q&token=second", "q"),
        ([("Sec-WebSocket-Protocol", "bearer.p")], "?token=q", "p"),
        ([("Authorization", "Bearer a"), ("Sec-WebSocket-Protocol", "bearer.p")], "?token=q", "a"),
    ],
)
def test_the_first_place_that_has_a_token_decides(lines: Lines, query: str, found: str | None) -> None:
    assert token_of(request(lines, f"/ws{query}"), query_allowed=True) == found


def test_the_query_counts_only_where_it_may() -> None:
    assert token_of(request([], "/api/teams/1?token=q"), query_allowed=False) is None


async def test_a_bad_token_in_the_first_place_is_not_made_good_by_a_later_one() -> None:
    lines = [("Authorization", "Bearer bad"), ("Sec-WebSocket-Protocol", f"bearer.{token()}")]
    with pytest.raises(BadToken):
        await authenticate_socket(request(lines, f"/ws?token={token()}"), GUARDED, Authenticator(GUARDED))


# --- callers


async def test_a_user() -> None:
    found = await caller(bearer(token(7, exp=2_000_000_000)))
    assert found == Caller(7, admin=False, produce=False, expires_at=2_000_000_000)
    assert found.close_at is not None
    assert 2_000_000_000 < found.close_at < 2_000_000_030


@pytest.mark.parametrize(
    ("scope", "admin", "produce"),
    [
        ("admin", True, True),
        ("produce", False, True),
        (["x", "produce"], False, True),
        ("Admin", False, False),
        ("admin,produce", False, False),
    ],
)
async def test_scopes(scope: Any, admin: bool, produce: bool) -> None:
    found = await caller(bearer(token(scope=scope)))
    assert (found.user_id, found.admin, found.produce) == (7, admin, produce)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER "])
async def test_the_admin_token_makes_an_administrator(scheme: str) -> None:
    found = await caller([("Authorization", f"{scheme} {ADMIN_TOKEN}")])
    assert found == Caller(None, admin=True, produce=True)
    assert found.close_at is None


BAD = {
    "nothing": [],
    "no scheme": [("Authorization", ADMIN_TOKEN)],
    "another scheme": [("Authorization", f"Basic {ADMIN_TOKEN}")],
    "no token": bearer(""),
    "a longer token": bearer(ADMIN_TOKEN + "x"),
    "a shorter token": bearer(ADMIN_TOKEN[:-1]),
    "other letters": bearer(ADMIN_TOKEN.upper()),
    "garbage": bearer("garbage"),
    "no UTF-8": bearer("\udcff\udcfe"),
    "two of them": bearer(token()) + bearer(token()),
    "expired": bearer(hs256({"sub": "7", "exp": 1})),
    "not signed": bearer(token().rpartition(".")[0] + "."),
    "signed by another": bearer(hs256(claims(7, now=time()), secret="x" * 32)),
    "no user": bearer(token("0")),
}


@pytest.mark.parametrize("lines", BAD.values(), ids=BAD.keys())
async def test_without_a_good_token_it_is_401_and_says_how_to_ask(lines: Lines) -> None:
    problem = await refused(lines)
    assert problem.status == 401
    assert problem.headers == {"WWW-Authenticate": "Bearer"}


async def test_a_token_in_the_query_is_none_for_the_api() -> None:
    assert (await refused([], path=f"/api/teams/1?token={token()}")).status == 401


async def test_an_empty_token_is_nobody_where_no_admin_token_is_set() -> None:
    for unset in (settings(jwt_secret=SECRET), settings(jwt_secret=SECRET, admin_token="")):
        assert (await refused(bearer(""), unset)).status == 401


async def test_the_admin_token_opens_no_socket_and_no_stream() -> None:
    asked = request(bearer(ADMIN_TOKEN), "/ws")
    with pytest.raises(BadToken):
        await authenticate_socket(asked, GUARDED, Authenticator(GUARDED))
    with pytest.raises(Problem) as problem:
        await caller_of_stream(asked, GUARDED, Authenticator(GUARDED))
    assert problem.value.status == 401


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.text(alphabet=st.characters(max_codepoint=0xDFFF, exclude_characters="\r\n\0"), max_size=60))
async def test_any_token_is_good_or_401(text: str) -> None:
    assert (await refused(bearer(text))).status == 401


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.text(), st.text(min_size=1))
def test_secrets_are_compared_whatever_they_hold(shown: str, secret: str) -> None:
    assert same(shown, secret) is (shown == secret)


@pytest.fixture
async def unreachable() -> AsyncIterator[tuple[Settings, Authenticator]]:
    configured = settings(jwt_jwks_url=f"http://127.0.0.1:{free_port()}/keys", admin_token=ADMIN_TOKEN)
    authenticator = Authenticator(configured)
    yield configured, authenticator
    await authenticator.close()


async def test_while_a_token_cannot_be_proven_it_is_503(unreachable: tuple[Settings, Authenticator]) -> None:
    asked = request(bearer(signed(claims(7, now=time()), "EdDSA", "one")), "/events")
    for ask in (caller_of, caller_of_stream):
        with pytest.raises(Problem) as problem:
            await ask(asked, *unreachable)
        assert problem.value.status == 503
        assert 1 <= int(problem.value.headers["Retry-After"]) <= 30
    with pytest.raises(KeysUnavailable):
        await authenticate_socket(asked, *unreachable)


async def test_what_needs_no_key_needs_no_key_server(unreachable: tuple[Settings, Authenticator]) -> None:
    assert (await caller_of(request(bearer(ADMIN_TOKEN)), *unreachable)).admin
    with pytest.raises(Problem) as problem:
        await caller_of(request(bearer("garbage")), *unreachable)
    assert problem.value.status == 401


async def test_a_key_server_proves_a_caller() -> None:
    async with key_server(jwk("EdDSA", "one")) as server:
        configured = settings(jwt_jwks_url=server.url)
        assert (await caller(bearer(signed(claims(7, now=time()), "EdDSA", "one")), configured)).user_id == 7


# --- sockets and streams


async def test_a_socket_may_come_without_a_token_and_a_stream_may_not() -> None:
    asked = request([], "/ws?userId=7")
    assert await authenticate_socket(asked, GUARDED, Authenticator(GUARDED)) is None
    with pytest.raises(Problem) as problem:
        await caller_of_stream(asked, GUARDED, Authenticator(GUARDED))
    assert problem.value.status == 401


async def test_with_a_token_the_user_id_of_the_query_is_ignored() -> None:
    asked = request([], f"/events?userId=8&token={token(7)}")
    for ask in (authenticate_socket, caller_of_stream):
        found = await ask(asked, GUARDED, Authenticator(GUARDED))
        assert found is not None
        assert found.user_id == 7


LOCAL = [("Host", "localhost:8086")]


async def test_without_authentication_the_query_names_the_user() -> None:
    found = await authenticate_socket(request(LOCAL, "/ws?userId=7&token=x"), OPEN, Authenticator(OPEN))
    assert found == Caller(7, admin=True, produce=True)


@pytest.mark.parametrize("query", ["", "?userId=", "?userId=0", "?userId=x", "?userId=07", "?userid=7", "?userId=9007199254740992"])
async def test_without_authentication_and_without_a_user_id_there_is_no_socket(query: str) -> None:
    with pytest.raises(BadToken):
        await authenticate_socket(request(LOCAL, f"/ws{query}"), OPEN, Authenticator(OPEN))
    with pytest.raises(Problem) as problem:
        await caller_of_stream(request(LOCAL, f"/events{query}"), OPEN, Authenticator(OPEN))
    assert problem.value.status == 401


async def test_without_authentication_whoever_asks_on_loopback_may_do_all() -> None:
    assert await caller(LOCAL, OPEN) == Caller(None, admin=True, produce=True)
    assert (await refused([("Host", "evil.example")], OPEN)).status == 403
    with pytest.raises(Problem) as problem:
        await caller_of_stream(request([("Host", "evil.example")], "/events?userId=7"), OPEN, Authenticator(OPEN))
    assert problem.value.status == 403


# --- hosts

OURS = [
    "localhost",
    "LOCALHOST:8086",
    "app.localhost:1",
    "127.0.0.1",
    "127.0.0.1:8086",
    "127.1.2.3",
    "[::1]",
    "[::1]:8086",
    "[0:0:0:0:0:0:0:1]",
]
FOREIGN = [
    "",
    " ",
    ":8086",
    "evil.example",
    "127.0.0.1.evil.com",
    "127.0.0.1.nip.io",
    "localhost.evil.com",
    "evil.com:127.0.0.1",
    "evillocalhost",
    ".localhost",
    "a..localhost",
    "localhost.",
    "127.0.0.1.",
    "0.0.0.0",
    "[::]",
    "0",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.0.0.01",
    "127.0.0.256",
    "127.999.0.1",
    "128.0.0.1",
    "10.0.0.1",
    "::1",
    "::1:8086",
    "[::1",
    "::1]",
    "[[::1]]",
    "[::1]]",
    "[::1%lo]",
    "[::1%25lo]",
    "[::ffff:10.0.0.1]",
    "[::2]",
    "[127.0.0.1]",
    "[localhost]",
    "localhost:",
    "localhost:x",
    "localhost:80:80",
    "localhost:123456",
    "localhost@evil.com",
    "evil.com@localhost",
    "localhost/",
    "localhost#",
    "localhost\\",
    "localhost,evil.com",
    "localhost evil.com",
    "localhost\n",
    "localhoſt",
    "１２７.0.0.1",
]


@pytest.mark.parametrize("host", OURS)
def test_a_name_of_this_machine(host: str) -> None:
    refuse_foreign_host(request([("Host", host)]), OPEN)


@pytest.mark.parametrize("host", FOREIGN)
def test_no_name_of_this_machine(host: str) -> None:
    with pytest.raises(Problem) as problem:
        refuse_foreign_host(request([("Host", host)]), OPEN)
    assert problem.value.status == 403


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"], ["localhost", "evil.example"]])
def test_a_request_has_one_host(hosts: list[str]) -> None:
    assert not names_loopback(hosts)


@hypothesis_settings(deadline=None)  # a busy machine is not what is tested
@given(st.text(max_size=30))
def test_any_host_is_ours_or_not(host: str) -> None:
    if names_loopback([host]):
        assert "localhost" in host.lower() or host.startswith(("127.", "["))


@pytest.mark.parametrize("target", ["http://evil.example/api/tables", "http://localhost/api/tables", "*"])
def test_a_target_for_a_proxy_is_none_for_us(target: str) -> None:
    with pytest.raises(Problem):
        refuse_foreign_host(request(LOCAL, target), OPEN)


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "x-forwarded-for"])
@pytest.mark.parametrize("value", ["", "127.0.0.1", "for=127.0.0.1"])
def test_nobody_comes_through_a_proxy(header: str, value: str) -> None:
    with pytest.raises(Problem):
        refuse_foreign_host(request([*LOCAL, (header, value)]), OPEN)


# --- origins

ALLOWED = ("https://app.example.org", "https://*.example.net", "https://*.example.net:8443", "null", "*", "capacitor://localhost")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://app.example.org", True),
        ("https://a.b.example.net", True),
        ("https://a.example.net:8443", True),
        ("capacitor://localhost", True),
        ("http://teamcast.example.com:3000", True),
        ("null", False),
        ("", False),
        ("*", False),
        ("https://*.example.net", False),
        ("https://example.net", False),
        ("https://.example.net", False),
        ("https://evilexample.net", False),
        ("https://a.example.net.evil.com", False),
        ("https://a.example.net:9999", False),
        ("https://evil.com/.example.net", False),
        ("https://evil.com#.example.net", False),
        ("https://evil.com\\.example.net", False),
        ("https://evil.com?.example.net", False),
        ("https://evil.com@a.example.net", False),
        ("http://a.example.net", False),
        ("https://app.example.org.evil.com", False),
        ("https://app.example.org:444", False),
        ("https://app.example.org/", False),
        ("teamcast.example.com", False),
        ("https://teamcast.example.com.", False),
        ("ftp://teamcast.example.com", False),
        ("https://x.teamcast.example.com", False),
        ("https://app.example.org https://evil.com", False),
        ("https://teamcast.example.com\n", False),
    ],
)
def test_origins(origin: str, allowed: bool) -> None:
    assert origin_allowed(origin, "teamcast.example.com:8086", ALLOWED) is allowed


def test_two_origins_are_foreign() -> None:
    twice = [("Host", "localhost"), ("Origin", "http://localhost"), ("Origin", "http://localhost")]
    refuse_foreign_origin(request(twice[:2]), OPEN)
    with pytest.raises(Problem):
        refuse_foreign_origin(request(twice), OPEN)


# --- secrecy


async def test_nothing_of_a_token_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    tokens = ["garbage-that-is-secret", token()[:-3], token("0"), ADMIN_TOKEN + "x"]
    with caplog.at_level(logging.DEBUG):
        for one in tokens:
            problem = await refused(bearer(one))
            assert one not in str(problem.response().body)
    assert "refused" in caplog.text
    for one in tokens:
        assert not any(part in caplog.text for part in one.split(".") if len(part) > 8)


def test_no_settings_show_their_secrets() -> None:
    assert SECRET not in repr(GUARDED)
    assert ADMIN_TOKEN not in repr(GUARDED)


def test_with_authentication_the_server_is_for_everyone() -> None:
    assert OPEN.bind == "127.0.0.1"
    assert GUARDED.bind == "0.0.0.0"
    assert settings(jwt_secret=SECRET, host="192.0.2.1").bind == "192.0.2.1"


def test_bearer_of_reads_the_header_alone() -> None:
    assert bearer_of(request([("Sec-WebSocket-Protocol", "bearer.p")], "/ws?token=q")) is None
