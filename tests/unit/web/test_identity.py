"""Who may ask: origins, hosts, tokens."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from app.settings import Settings
from web.identity import origin_allowed, refuse_foreign_host, refuse_foreign_origin, same, user_id_of
from web.problems import Problem

SECRET = "s3cret-s3cret-s3cret-s3cret-s3cret"


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


OPEN = settings(jwt_secret=None, jwt_jwks_url=None, admin_token=None, allowed_origins=())
GUARDED = settings(jwt_secret=SECRET, admin_token="an-admins-token", allowed_origins="https://app.example.com")


def request(**headers: str) -> web.Request:
    return make_mocked_request("GET", "/ws", headers={name.replace("_", "-"): value for name, value in headers.items()})


def status(refused: pytest.ExceptionInfo[Problem]) -> int:
    return refused.value.status


# --- origins

ALLOWED = ("https://app.example.com", "https://*.example.org", "http://dev.example.net:3000", "https://slash.example.net/")


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        # The same host name; the port, and so the scheme, may differ.
        ("http://localhost:8086", "localhost:8086"),
        ("http://localhost:3000", "localhost:8086"),
        ("https://board.example.net", "board.example.net"),
        ("https://Board.Example.net", "board.example.NET:443"),
        ("http://127.0.0.1:8086", "127.0.0.1:8087"),
        ("http://[::1]:3000", "[::1]:8086"),
        ("http://[::1]", "[::1]"),
        # Exact.
        ("https://app.example.com", "api.example.net"),
        ("https://APP.example.com", "api.example.net"),
        ("http://dev.example.net:3000", "api.example.net"),
        ("https://slash.example.net", "api.example.net"),
        # Any name below.
        ("https://a.example.org", "api.example.net"),
        ("https://a.b.example.org", "api.example.net"),
        ("https://A.Example.ORG", "api.example.net"),
    ],
)
def test_origins_that_may_ask(origin: str, host: str) -> None:
    assert origin_allowed(origin, host, ALLOWED)


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "*",
        "file://",
        "https://",
        "https://evil.com",
        "https://api.example.net.evil.com",
        "https://evilapi.example.net",
        "https://evil.com/api.example.net",
        "https://evil.com#api.example.net",
        "https://evil.com?api.example.net",
        "https://api.example.net@evil.com",
        "https://api.example.net:80@evil.com",
        "https://api.example.net:x",
        "https://api.example.net/",
        "https://api.example.net\n",
        "https://api.example.net https://evil.com",
        "api.example.net",
        "//api.example.net",
        "ftp://api.example.net",
        "javascript://api.example.net",
        "chrome-extension://api.example.net",
        # Next to what is allowed.
        "http://app.example.com",
        "https://app.example.com:8443",
        "https://app.example.com.evil.com",
        "https://xapp.example.com",
        "https://dev.example.net:3000",
        "http://dev.example.net",
        "http://dev.example.net:30000",
        "https://example.org",
        "http://a.example.org",
        "https://a.example.org:8443",
        "https://evilexample.org",
        "https://a.example.org.evil.com",
        "https://*.example.org.evil.com",
        "https://[::1]",
        "https://[example.org]",
    ],
)
def test_origins_that_may_not(origin: str) -> None:
    assert not origin_allowed(origin, "api.example.net", ALLOWED)


@pytest.mark.parametrize("name", ["evil.com?", "evil.com#", "evil.com\\", "evil.com ", "evil.com%2f", "evil.com,", "\x00"])
def test_what_is_no_host_name_is_not_below_an_allowed_one(name: str) -> None:
    assert not origin_allowed(f"https://{name}.example.org", "api.example.net", ALLOWED)


@pytest.mark.parametrize("host", ["", ":8086", ".example.org"])
def test_a_host_that_is_none_is_nobodys_own(host: str) -> None:
    assert not origin_allowed("https://evil.com", host, ())
    assert not origin_allowed("null", host, ())


def test_an_allowed_null_is_still_foreign() -> None:
    assert not origin_allowed("null", "api.example.net", ("null",))


def test_a_request_without_an_origin_comes_from_no_page() -> None:
    refuse_foreign_origin(request(Host="api.example.net"), GUARDED)


def test_a_foreign_origin_is_refused_with_403() -> None:
    with pytest.raises(Problem) as refused:
        refuse_foreign_origin(request(Host="api.example.net", Origin="https://evil.com"), GUARDED)
    assert status(refused) == 403


def test_an_allowed_origin_passes() -> None:
    refuse_foreign_origin(request(Host="api.example.net", Origin="https://app.example.com"), GUARDED)


# --- hosts


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8086", "LocalHost:1", "127.0.0.1", "127.0.0.1:8086", "127.9.9.9:1", "[::1]", "[::1]:8086", "a.localhost:1"],
)
def test_without_authentication_loopback_may_ask(host: str) -> None:
    refuse_foreign_host(request(Host=host), OPEN)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.com",
        "evil.com:8086",
        "192.168.1.2:8086",
        "0.0.0.0:8086",
        "127.0.0.1.evil.com",
        "127.0.0.1.nip.io:8086",
        "localhost.evil.com:8086",
        "evil-localhost",
        "localhost:8086:80",
        "localhost:evil",
        "localhost@evil.com",
        "[::1].evil.com",
        "[::ffff:10.0.0.1]:80",
        "evil.com/.localhost",
        "evil.com#.localhost",
    ],
)
def test_a_name_that_a_page_could_rebind_may_not(host: str) -> None:
    with pytest.raises(Problem) as refused:
        refuse_foreign_host(request(Host=host), OPEN)
    assert status(refused) == 403


def test_a_request_without_a_host_may_not() -> None:
    with pytest.raises(Problem) as refused:
        refuse_foreign_host(request(), OPEN)
    assert status(refused) == 403


@pytest.mark.parametrize("header", ["Forwarded", "X-Forwarded-For", "x-forwarded-for", "FORWARDED"])
def test_nor_anybody_behind_a_proxy(header: str) -> None:
    with pytest.raises(Problem) as refused:
        refuse_foreign_host(make_mocked_request("GET", "/", headers={"Host": "localhost", header: ""}), OPEN)
    assert status(refused) == 403


def test_with_authentication_the_token_decides_and_not_the_host() -> None:
    refuse_foreign_host(request(Host="api.example.net", X_Forwarded_For="10.0.0.1"), GUARDED)


# --- secrets and ids (callers and tokens: test_auth_identity.py)


@pytest.mark.parametrize(
    ("one", "other", "equal"), [("a", "a", True), ("a", "b", False), ("é", "é", True), ("", "a", False), ("\udcff", "a", False)]
)
def test_secrets_are_the_same_or_not_whatever_bytes_came(one: str, other: str, equal: bool) -> None:
    assert same(one, other) is equal


@pytest.mark.parametrize(("text", "user_id"), [("1", 1), ("42", 42), ("9007199254740991", 2**53 - 1)])
def test_a_user_id(text: str, user_id: int) -> None:
    assert user_id_of(text) == user_id


@pytest.mark.parametrize(
    "text", [None, "", "0", "-1", "+1", "042", "1.0", " 1", "1\n", "x", "9007199254740992", "99999999999999999", "١", "1e3"]
)
def test_what_is_no_user_id(text: str | None) -> None:
    assert user_id_of(text) is None
