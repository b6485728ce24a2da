"""Tokens signed with the keys of a key server: a real one, which rotates, fails, stalls and lies."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from jwt.algorithms import RSAAlgorithm

from app.auth import Authenticator, BadToken, KeysUnavailable
from app.auth import key_server as module
from app.auth.keys import KEYS_MAX, parse_key_set
from app.settings import Settings
from tests.tokens import SECRET, KeyServer, claims, hs256, jwk, key_server, private_key, public_pem, segment, signed

NOW = 1_795_000_000.0
GOOD = claims(7, now=NOW)


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with key_server(jwk("RS256", "one"), jwk("ES256", "two"), jwk("EdDSA", "three")) as started:
        yield started


@pytest.fixture
async def authenticator(server: KeyServer, clock: Clock) -> AsyncIterator[Authenticator]:
    found = Authenticator(Settings(_env_file=None, jwt_jwks_url=server.url), clock)
    yield found
    await found.close()


async def user(authenticator: Authenticator, token: str) -> int:
    return (await authenticator.verify(token, NOW)).user_id


ONE = signed(GOOD, "RS256", "one")
NEW = signed(GOOD, "RS256", "new")


@pytest.mark.parametrize(("algorithm", "name"), [("RS256", "one"), ("ES256", "two"), ("EdDSA", "three")])
async def test_each_algorithm_is_taken(authenticator: Authenticator, algorithm: str, name: str) -> None:
    assert await user(authenticator, signed(GOOD, algorithm, name)) == 7


async def test_the_server_is_asked_once_for_many(authenticator: Authenticator, server: KeyServer) -> None:
    found = await asyncio.gather(*(user(authenticator, signed(claims(one, now=NOW), "ES256", "two")) for one in range(1, 21)))
    assert found == list(range(1, 21))
    assert server.asked == 1


async def test_a_token_without_a_key_id_is_tried_with_every_key_of_its_algorithm(authenticator: Authenticator, server: KeyServer) -> None:
    server.keys = [jwk("RS256", "new"), jwk("RS256", "one", kid=None)]
    assert await user(authenticator, signed(GOOD, "RS256", "one", key_id=None)) == 7
    with pytest.raises(BadToken):
        await user(authenticator, signed(GOOD, "RS256", "stranger", key_id=None))


async def test_secret_and_key_server_may_both_be_on(server: KeyServer, clock: Clock) -> None:
    both = Authenticator(Settings(_env_file=None, jwt_jwks_url=server.url, jwt_secret=SECRET), clock)
    assert await user(both, hs256(GOOD)) == 7
    assert server.asked == 0
    assert await user(both, ONE) == 7
    for pem in (public_pem("RS256", "one"), public_pem("RS256", "one").rstrip()):
        with pytest.raises(BadToken):
            await user(both, hs256(GOOD, secret=pem, kid="one"))
    with pytest.raises(BadToken):
        await user(both, hs256(GOOD, alg="RS256", kid="one"))


BAD_TOKENS = {
    "a stranger's key under a known id": signed(GOOD, "RS256", "stranger", key_id="one"),
    "an unknown id": NEW,
    "the id of a key of another algorithm": signed(GOOD, "RS256", "one", key_id="two"),
    "no key id, and no such key": signed(GOOD, "ES256", "stranger", key_id=None),
    "HS256 with the public key as the secret": hs256(GOOD, secret=public_pem("RS256", "one"), kid="one"),
    "HS256 with no secret set": hs256(GOOD),
    "HS256 with an empty secret": hs256(GOOD, secret=b"", kid="one"),
    "RS256 over HS256's signature": hs256(GOOD, secret=public_pem("RS256", "one"), alg="RS256", kid="one"),
    "PS256 with the key of RS256": signed(GOOD, "PS256", "one"),
    "ES384": signed(GOOD, "ES384", "big"),
    "none": f"{segment({'alg': 'none', 'kid': 'one'})}.{segment(GOOD)}.",
    "no signature": ONE.rpartition(".")[0] + ".",
    "a key of its own": signed(GOOD, "RS256", "stranger", jwk=jwk("RS256", "stranger")),
    "a key server of its own": signed(GOOD, "RS256", "one", jku="https://evil.example/keys"),
    "a certificate of its own": signed(GOOD, "RS256", "one", x5u="https://evil.example/cert"),
    "crit": hs256(GOOD, alg="RS256", kid="one", crit=["b64"], b64=True),
    "expired": signed(GOOD | {"exp": NOW - 31}, "RS256", "one"),
    "an ES256 signature of zeros": f"{segment({'alg': 'ES256', 'kid': 'two'})}.{segment(GOOD)}.{segment(bytes(64))}",
    "an ES256 signature cut short": f"{segment({'alg': 'ES256', 'kid': 'two'})}.{segment(GOOD)}.{segment(bytes(10))}",
    "an EdDSA signature of zeros": f"{segment({'alg': 'EdDSA', 'kid': 'three'})}.{segment(GOOD)}.{segment(bytes(64))}",
}


@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
async def test_a_bad_token_is_refused(authenticator: Authenticator, token: str) -> None:
    with pytest.raises(BadToken):
        await user(authenticator, token)


async def test_a_new_key_is_found_as_soon_as_the_server_may_be_asked_again(
    authenticator: Authenticator, server: KeyServer, clock: Clock
) -> None:
    await user(authenticator, ONE)
    server.keys = [jwk("RS256", "new")]

    clock.now += 29.9
    with pytest.raises(BadToken):
        await user(authenticator, NEW)
    assert server.asked == 1

    clock.now += 0.2
    assert await user(authenticator, NEW) == 7
    assert server.asked == 2


async def test_forged_key_ids_do_not_flood_the_server(authenticator: Authenticator, server: KeyServer, clock: Clock) -> None:
    for second in range(120):
        clock.now = 1000.0 + second
        with pytest.raises(BadToken):
            await user(authenticator, signed(GOOD, "EdDSA", "three", key_id=f"forged-{second}"))
    assert server.asked == 4


async def test_a_withdrawn_key_is_not_taken_for_ever(authenticator: Authenticator, server: KeyServer, clock: Clock) -> None:
    await user(authenticator, ONE)
    server.keys = [jwk("RS256", "new")]
    clock.now += 299
    assert await user(authenticator, ONE) == 7
    clock.now += 2
    with pytest.raises(BadToken):
        await user(authenticator, ONE)


async def test_known_keys_survive_an_outage_and_unknown_ones_say_so(authenticator: Authenticator, server: KeyServer, clock: Clock) -> None:
    await user(authenticator, ONE)
    await server.stop()
    clock.now += 86_400
    assert await user(authenticator, ONE) == 7
    with pytest.raises(KeysUnavailable):
        await user(authenticator, NEW)

    server.keys.append(jwk("RS256", "new"))
    await server.start()
    clock.now += 30
    assert await user(authenticator, NEW) == 7


async def test_without_any_key_nothing_can_be_told_until_the_server_is_asked_again(
    authenticator: Authenticator, server: KeyServer, clock: Clock
) -> None:
    await server.stop()
    with pytest.raises(KeysUnavailable) as first:
        await user(authenticator, ONE)
    assert first.value.retry_after_seconds == 30

    await server.start()
    clock.now += 12
    with pytest.raises(KeysUnavailable) as second:
        await user(authenticator, ONE)
    assert second.value.retry_after_seconds == 18
    clock.now += 18
    assert await user(authenticator, ONE) == 7


def _json(value: Any) -> web.Response:
    return web.json_response(value)


async def _error(_request: web.Request) -> web.StreamResponse:
    return web.json_response({"keys": [jwk("RS256", "new")]}, status=500)


async def _redirect(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": "/elsewhere"})


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(10_000):
        await response.write(b" " * 65_536)
    await response.write(json.dumps({"keys": [jwk("RS256", "new")]}).encode())
    return response


async def _bomb(_request: web.Request) -> web.StreamResponse:
    body = gzip.compress(b" " * 10_000_000 + json.dumps({"keys": [jwk("RS256", "new")]}).encode())
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


async def _deep(_request: web.Request) -> web.StreamResponse:
    return web.Response(body=b"[" * 100_000)


async def _not_json(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>")


async def _no_list(_request: web.Request) -> web.StreamResponse:
    return _json({"keys": {"new": jwk("RS256", "new")}})


async def _nothing(_request: web.Request) -> web.StreamResponse:
    return _json(None)


async def _cut(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "100000"})
    await response.prepare(request)
    await response.write(b'{"keys": [')
    assert request.transport is not None
    request.transport.abort()
    return response


BAD_ANSWERS = [_error, _redirect, _huge, _bomb, _deep, _not_json, _no_list, _nothing, _cut]


@pytest.mark.parametrize("answer", BAD_ANSWERS, ids=lambda answer: answer.__name__.strip("_"))
async def test_a_bad_answer_is_an_outage(authenticator: Authenticator, server: KeyServer, clock: Clock, answer: Any) -> None:
    await user(authenticator, ONE)
    server.keys, server.answer = [jwk("RS256", "new")], answer
    clock.now += 301
    assert await user(authenticator, ONE) == 7
    assert server.asked == 2
    with pytest.raises(KeysUnavailable):
        await user(authenticator, NEW)


async def test_a_server_that_does_not_answer_delays_known_keys_a_moment_and_others_to_its_time_limit(
    authenticator: Authenticator, server: KeyServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await user(authenticator, ONE)

    async def stall(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    server.answer = stall
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.4)
    monkeypatch.setattr(module, "STALE_WAIT_SECONDS", 0.05)
    clock.now += 301
    async with asyncio.timeout(0.35):
        assert await user(authenticator, ONE) == 7
    async with asyncio.timeout(2):
        with pytest.raises(KeysUnavailable):
            await user(authenticator, NEW)
    assert server.asked == 2


async def test_one_who_gives_up_does_not_take_the_answer_from_the_others(authenticator: Authenticator, server: KeyServer) -> None:
    go = asyncio.Event()

    async def later(_request: web.Request) -> web.StreamResponse:
        await go.wait()
        return _json({"keys": server.keys})

    server.answer = later
    first, second = (asyncio.create_task(user(authenticator, ONE)) for _ in range(2))
    await server.asked_again.wait()
    first.cancel()
    go.set()
    assert await second == 7
    with pytest.raises(asyncio.CancelledError):
        await first
    assert server.asked == 1


async def test_closing_gives_up_a_request(server: KeyServer) -> None:
    authenticator = Authenticator(Settings(_env_file=None, jwt_jwks_url=server.url))

    async def stall(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        raise AssertionError("nobody waits so long")

    server.answer = stall
    waiting = asyncio.create_task(user(authenticator, ONE))
    await server.asked_again.wait()
    await authenticator.close()
    with pytest.raises(KeysUnavailable):
        await waiting


async def test_an_outage_is_logged_without_the_address(server: KeyServer, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    await server.stop()
    url = server.url.replace("127.0.0.1", "localhost") + "?password=hunter2"
    with caplog.at_level(logging.DEBUG), pytest.raises(KeysUnavailable):
        await user(Authenticator(Settings(_env_file=None, jwt_jwks_url=url), clock), ONE)
    assert "JWT_JWKS_URL" in caplog.text
    assert "hunter2" not in caplog.text
    assert ONE not in caplog.text


UNUSABLE = {
    "symmetric": {"kty": "oct", "k": segment(SECRET.encode()), "kid": "one", "alg": "HS256"},
    "for encryption": jwk("RS256", "one", use="enc"),
    "for wrapping": jwk("RS256", "one", key_ops=["wrapKey"]),
    "operations that are no list": jwk("RS256", "one", key_ops="verify"),
    "of another algorithm": jwk("RS256", "one", alg="PS256"),
    "claiming HS256": jwk("RS256", "one", alg="HS256"),
    "another curve": jwk("ES384", "big"),
    "a point that is not on the curve": jwk("ES256", "two") | {"x": segment(bytes(32))},
    "too short": jwk("RS256", "short"),
    "too long": jwk("RS256", "one") | {"n": segment(b"\xff" * 2048)},
    "an exponent of 1": jwk("RS256", "one") | {"e": segment(b"\1")},
    "without its number": jwk("RS256", "one", n=None),
    "a number that is no text": jwk("RS256", "one") | {"n": 7},
    "an id that is no text": jwk("RS256", "one") | {"kid": 7},
    "no kind": jwk("RS256", "one", kty=None),
    "a kind that is no text": jwk("RS256", "one") | {"kty": ["RSA"]},
    "no object": "key",
}


@pytest.mark.parametrize("key", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_key_that_is_not_for_this_is_left_out_and_the_others_stay(key: Any) -> None:
    found = parse_key_set(json.dumps({"keys": [key, jwk("ES256", "two")]}).encode())
    assert [one.key_id for one in found] == ["two"]


def test_a_private_key_published_by_mistake_is_taken_for_its_public_part() -> None:
    private = RSAAlgorithm.to_jwk(private_key("RS256", "one"), as_dict=True) | {"key_ops": ["sign", "verify"]}
    assert "d" in private
    [found] = parse_key_set(json.dumps({"keys": [private]}).encode())
    assert not hasattr(found.jwk.key, "private_numbers")


def test_a_set_is_bounded() -> None:
    keys = [jwk("EdDSA", "three") | {"kid": str(number)} for number in range(500)]
    assert len(parse_key_set(json.dumps({"keys": keys}).encode())) == KEYS_MAX
