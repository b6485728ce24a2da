"""Hostile clients, and the exact answer that each gets. At the end the worker is as well as before, and its log is clean."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from time import time
from typing import Any

import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.asking import ask, assert_problem
from tests.kafka.ids import fresh
from tests.kafka.raw import BINARY, FIN, PING, TEXT, exchange, frame, handshake, status_of, wire
from tests.kafka.services import Services, task
from tests.kafka.waiting import eventually
from tests.processes import Worker
from tests.tokens import SECRET, claims, hs256, jwk, key_server, public_pem, segment, signed

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN_TOKEN = "administrators-token-of-this-test"
ISSUER, AUDIENCE = "https://issuer.example", "teamcast"
CONNECTIONS = 3
MARK = "FORGED"
"""What an attacker would like to see at the beginning of a line of the log, or as a header."""


def said(user_id: int | str, **more: Any) -> dict[str, Any]:
    """The claims of a good token."""
    return claims(user_id, now=time(), **{"iss": ISSUER, "aud": AUDIENCE, **more})


def token(user_id: int | str, **more: Any) -> str:
    return hs256(said(user_id, **more))


@dataclass(slots=True, frozen=True)
class World:
    """A worker with authentication, a team, a member of it, and somebody else's team."""

    worker: Worker
    services: Services
    team: int
    member: int
    foreign: int

    def rich(self, user_id: int) -> Any:
        """A socket of ``teamcast.v1`` for a user."""
        return wire(self.worker.port, f"/ws?token={token(user_id)}", "Sec-WebSocket-Protocol: teamcast.v1")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with key_server(jwk("ES256", "one"), jwk("RS256", "two")) as keys:
        env = {
            "JWT_SECRET": SECRET,
            "JWT_JWKS_URL": keys.url,
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "ALLOWED_ORIGINS": "https://app.example.org,https://*.teams.example",
            "MAX_CONNECTIONS_PER_USER": str(CONNECTIONS),
            "HANDSHAKE_TIMEOUT": "2",
            "HOST": "127.0.0.1",
            "LOG_LEVEL": "DEBUG",
        }
        command = ("worker", "-l", "debug")
        async with (
            Worker(broker.bootstrap, tmp_path_factory.mktemp("hostile"), env=env, command=command) as worker,
            Services(broker.bootstrap) as services,
        ):
            found = World(worker, services, team=fresh(), member=fresh(), foreign=fresh())
            await services.make_team(found.team, found.member)
            await services.make_team(found.foreign, fresh())
            admin = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
            for team in (found.team, found.foreign):
                await eventually(lambda team=team: worker.request("GET", f"/api/teams/{team}", headers=admin), lambda seen: seen[0] == 200)  # type: ignore[misc]
            yield found


# --- tokens


def unsigned(algorithm: str) -> str:
    return f"{segment({'alg': algorithm, 'typ': 'JWT'})}.{segment(said(7))}."


BAD_TOKENS: dict[str, Callable[[], str]] = {
    "none": lambda: unsigned("none"),
    "none, in other letters": lambda: unsigned("nOnE"),
    "none, with a signature": lambda: hs256(said(7), alg="none"),
    "no algorithm": lambda: hs256(said(7), alg=None),
    "an algorithm that is a list": lambda: hs256(said(7), alg=["HS256"]),
    "HS512": lambda: hs256(said(7), alg="HS512"),
    "HS256 with the public key of ES256 as its secret": lambda: hs256(said(7), secret=public_pem("ES256", "one")),
    "HS256 with the public key of RS256 as its secret": lambda: hs256(said(7), secret=public_pem("RS256", "two"), kid="two"),
    "RS256 that is an HMAC": lambda: hs256(said(7), alg="RS256", kid="two"),
    "ES256 with the id of an RS256 key": lambda: signed(said(7), "ES256", "one", key_id="two"),
    "ES256 by a key of one's own": lambda: signed(said(7), "ES256", "own", key_id="one"),
    "a key id that is a path": lambda: signed(said(7), "ES256", "own", key_id="../../../dev/null"),
    "a key id that is SQL": lambda: signed(said(7), "ES256", "own", key_id="' or 1=1 --"),
    "jku": lambda: hs256(said(7), jku="https://evil.example/keys"),
    "x5u": lambda: hs256(said(7), x5u="https://evil.example/cert"),
    "jwk": lambda: signed(said(7), "ES256", "own", jwk=jwk("ES256", "own")),
    "crit": lambda: hs256(said(7), crit=["b64"], b64=True),
    "a secret of the attacker": lambda: hs256(said(7), secret="x" * 32),
    "an empty secret": lambda: hs256(said(7), secret=b""),
    "a changed payload": lambda: ".".join([token(7).split(".")[0], segment(said(8)), token(7).split(".")[2]]),
    "expired": lambda: token(7, exp=int(time()) - 31),
    "no exp": lambda: token(7, exp=None),
    "an exp that is text": lambda: token(7, exp="9999999999"),
    "an exp that is true": lambda: token(7, exp=True),
    "not valid yet": lambda: token(7, nbf=int(time()) + 60),
    "an nbf that is text": lambda: token(7, nbf="now"),
    "no issuer": lambda: token(7, iss=None),
    "another issuer": lambda: token(7, iss=ISSUER + "/"),
    "issuers, in a list": lambda: token(7, iss=[ISSUER]),
    "no audience": lambda: token(7, aud=None),
    "another audience": lambda: token(7, aud=["teamcast-dev"]),
    "no sub": lambda: token(7, sub=None),
    "sub 0": lambda: token("0"),
    "sub with a zero before": lambda: token("07"),
    "negative sub": lambda: token("-7"),
    "sub that is a number": lambda: token(7, sub=7),
    "sub beyond 2^53": lambda: token(str(2**53)),
    "sub with a line break": lambda: token("7\n"),
    "sub in other digits": lambda: token("７"),
    "sub that is a word": lambda: token("admin"),
    "claims that are a list": lambda: hs256([said(7)]),
    "claims that are no JSON": lambda: hs256(b"{"),
    "two parts": lambda: token(7).rpartition(".")[0],
    "four parts": lambda: token(7) + ".x",
    "dots": lambda: "..",
    "a letter": lambda: "x",
    "the administrator's, cut": lambda: ADMIN_TOKEN[:-1],
    "long": lambda: token(7, more="x" * 4000)[:-3],
}


@pytest.mark.parametrize("name", BAD_TOKENS)
async def test_a_bad_token_is_refused_everywhere(world: World, name: str) -> None:
    text = BAD_TOKENS[name]()
    answer = await ask(world.worker, "GET", f"/api/teams/{world.team}", headers={"Authorization": f"Bearer {text}"})
    assert_problem(answer, 401)
    assert answer.body["detail"] == "the token is not valid", "which fault it was is nobody's business"
    port = world.worker.port
    for path, headers in (
        ("/ws", [f"Authorization: Bearer {text}"]),
        (f"/ws?token={text}", []),
        ("/ws", [f"Sec-WebSocket-Protocol: bearer.{text}"]),
    ):
        async with wire(port, path, *headers) as socket:
            assert await socket.end() == ([], 4501)
    async with wire(port, "/ws", "Sec-WebSocket-Protocol: teamcast.v1") as socket:
        socket.say({"id": 1, "type": "auth", "token": text})
        messages, code = await socket.end()
        assert ([one["error"]["code"] for one in messages], code) == (["bad_token"], 4501)


@pytest.mark.parametrize(
    "text", ["%C3%A9", "%00", "%0d%0aSet-Cookie:%20x=" + MARK, "x" * 8000, ""], ids=["é", "NUL", "CRLF", "8,000 letters", "empty"]
)
async def test_what_is_no_token_at_all_is_refused(world: World, text: str) -> None:
    async with wire(world.worker.port, f"/ws?token={text}") as socket:
        assert await socket.end() == ([], 4501)


@pytest.mark.parametrize(
    "text", ["é", "\x00\r\n", "x" * 60_000, "\u2028" + MARK], ids=["é", "control characters", "60,000 letters", "line separator"]
)
async def test_what_is_no_token_at_all_is_refused_as_a_command_too(world: World, text: str) -> None:
    async with wire(world.worker.port, "/ws", "Sec-WebSocket-Protocol: teamcast.v1") as socket:
        socket.say({"id": 1, "type": "auth", "token": text})
        messages, code = await socket.end()
        assert ([one["error"]["code"] for one in messages], code) == (["bad_token"], 4501)


PLACES: list[tuple[str, str, list[str], bool]] = [
    (
        "the header before the subprotocol",
        "/ws",
        ["Authorization: Bearer {bad}", "Sec-WebSocket-Protocol: teamcast.v1, bearer.{good}"],
        False,
    ),
    ("the header before the query", "/ws?token={good}", ["Authorization: Bearer {bad}", "Sec-WebSocket-Protocol: teamcast.v1"], False),
    ("an empty header before the query", "/ws?token={good}", ["Authorization: Bearer ", "Sec-WebSocket-Protocol: teamcast.v1"], False),
    ("the subprotocol before the query", "/ws?token={good}", ["Sec-WebSocket-Protocol: teamcast.v1, bearer.{bad}"], False),
    ("an empty subprotocol before the query", "/ws?token={good}", ["Sec-WebSocket-Protocol: teamcast.v1, bearer."], False),
    ("the first subprotocol", "/ws", ["Sec-WebSocket-Protocol: teamcast.v1, bearer.{bad}, bearer.{good}"], False),
    ("the first query", "/ws?token={bad}&token={good}", ["Sec-WebSocket-Protocol: teamcast.v1"], False),
    (
        "two headers are none",
        "/ws",
        ["Authorization: Bearer {good}", "Authorization: Bearer {good}", "Sec-WebSocket-Protocol: teamcast.v1"],
        False,
    ),
    ("a good header", "/ws?token={bad}", ["Authorization: Bearer {good}", "Sec-WebSocket-Protocol: teamcast.v1, bearer.{bad}"], True),
    ("a good subprotocol", "/ws?token={bad}", ["Sec-WebSocket-Protocol: teamcast.v1, bearer.{good}"], True),
    ("a good query", "/ws?token={good}&userId=1", ["Sec-WebSocket-Protocol: teamcast.v1"], True),
]


@pytest.mark.parametrize(("path", "headers", "good"), [one[1:] for one in PLACES], ids=[one[0] for one in PLACES])
async def test_the_first_place_decides(world: World, path: str, headers: list[str], good: bool) -> None:
    user = fresh()
    tokens = {"good": token(user), "bad": token(fresh())[:-4]}
    async with wire(world.worker.port, path.format(**tokens), *(one.format(**tokens) for one in headers)) as socket:
        if good:
            assert (await socket.hear("welcome"))["userId"] == user
        else:
            assert await socket.end() == ([], 4501)


async def test_a_refresh_never_changes_the_user(world: World) -> None:
    async with world.rich(fresh()) as socket:
        await socket.hear("welcome")
        socket.say({"id": 1, "type": "refresh", "token": token(world.member)})
        assert (await socket.hear("reply"))["error"]["code"] == "wrong_user"
        socket.say({"id": 2, "type": "auth", "token": token(world.member)})
        assert (await socket.hear("reply"))["error"]["code"] == "already_authenticated"


# --- what is none of their business


@pytest.mark.parametrize("path", ["/api/teams/{}", "/api/teams/{}/members", "/api/teams/{}/members?cursor=1"])
async def test_unknown_and_foreign_teams_look_alike_over_http(world: World, path: str) -> None:
    headers = {"Authorization": f"Bearer {token(world.member)}"}
    unknown, foreign = [await ask(world.worker, "GET", path.format(one), headers=headers) for one in (fresh(), world.foreign)]
    assert_problem(unknown, 404)
    assert (foreign.status, foreign.body) == (unknown.status, unknown.body)
    assert foreign.headers.keys() == unknown.headers.keys()


@pytest.mark.parametrize("more", [{}, {"snapshot": True, "presence": True}, {"since": True}], ids=["events", "everything", "since"])
async def test_unknown_and_foreign_teams_look_alike_on_a_socket(world: World, more: dict[str, Any]) -> None:
    unknown, answers = fresh(), []
    async with world.rich(fresh()) as socket:
        await socket.hear("welcome")
        for team in (unknown, world.foreign):
            since = {"since": {str(team): "x"}} if more.get("since") else {}
            socket.say({"id": 1, "type": "subscribe", "teams": [team], **more, **since})
            answers.append(await socket.hear("reply"))
    assert answers[0] == answers[1]
    assert answers[0]["error"]["code"] == "not_member"


async def test_a_foreign_team_beside_ones_own_is_refused_like_an_unknown_one_and_gives_nothing(world: World) -> None:
    unknown = fresh()
    async with world.rich(world.member) as socket:
        await socket.hear("welcome")
        socket.say({"id": 1, "type": "subscribe", "teams": [world.team, world.foreign, unknown]})
        assert (await socket.hear("reply"))["refused"] == sorted([world.foreign, unknown])
        await world.services.send("task.created", task("task.created", world.foreign, fresh(), fresh(), title="secret"))
        await world.services.send("task.created", task("task.created", world.team, fresh(), world.member, title="ours"))
        assert (await socket.hear("task.created"))["teamId"] == world.team


async def test_a_user_reads_no_other_user_and_no_table(world: World) -> None:
    headers = {"Authorization": f"Bearer {token(fresh())}"}
    assert_problem(await ask(world.worker, "GET", f"/api/users/{world.member}", headers=headers), 404)
    for path in ("/api/tables", "/api/tables/tasks", f"/api/tables/tasks/{world.foreign}/1", "/api/lag", "/api/cluster"):
        assert_problem(await ask(world.worker, "GET", path, headers=headers), 403)
    assert_problem(await ask(world.worker, "POST", "/api/events/task.created", json={}, headers=headers), 403)
    assert_problem(await ask(world.worker, "POST", "/api/admin/disconnect", json={"userId": world.member}, headers=headers), 403)


# --- frames

COMMAND = b'{"id":1,"type":"ping","x":"%s"}'
FRAMES: dict[str, tuple[list[bytes], int]] = {
    "a binary message": ([frame(BINARY, b"{}")], 1003),
    "one byte too many": ([frame(TEXT, COMMAND % (b"x" * (2**16 + 1 - len(COMMAND) + 2)))], 1009),
    "a frame that claims 2^62 bytes": ([frame(TEXT, b"{", size=2**62)], 1009),
    "a frame that claims 2^64-1 bytes": ([frame(TEXT, b"{", size=2**64 - 1)], 1009),
    # No more of them than the limit takes: what is written to a socket that the server has closed resets it, and the code is lost.
    "fragments that never end": ([frame(TEXT, b"x" * 4000, first=0), *[frame(0, b"x" * 4000, first=0)] * 16], 1009),
    "no UTF-8": ([frame(TEXT, COMMAND % b"\xff")], 1007),
    "no UTF-8, over two frames": ([frame(TEXT, b"\xc3", first=0), frame(0, b"(")], 1007),
    "a lone surrogate": ([frame(TEXT, b"\xed\xa0\x80")], 1007),
    "reserved bits": ([frame(TEXT, b"{}", first=FIN | 0x20)], 1002),
    "compressed, without having agreed on it": ([frame(TEXT, b"{}", first=FIN | 0x40)], 1002),
    "an opcode that there is not": ([frame(3, b"{}")], 1002),
    "a ping in fragments": ([frame(PING, b"x", first=0)], 1002),
    "a ping of 126 bytes": ([frame(PING, b"x" * 126)], 1002),
    "a continuation of nothing": ([frame(0, b"x")], 1002),
    "a message within a message": ([frame(TEXT, b"{", first=0), frame(TEXT, b"}")], 1002),
    "no JSON": ([frame(TEXT, b"hello")], 4503),
    "an array": ([frame(TEXT, b"[]")], 4503),
    "no type": ([frame(TEXT, b"{}")], 4503),
    "60,000 brackets": ([frame(TEXT, b"[" * 60_000)], 4503),
    "nothing": ([frame(TEXT, b"")], 4503),
}


@pytest.mark.parametrize("name", FRAMES)
async def test_a_bad_frame_ends_the_socket_with_its_code(world: World, name: str) -> None:
    frames, expected = FRAMES[name]
    async with world.rich(fresh()) as socket:
        await socket.hear("welcome")
        for one in frames:
            socket.send(one)
        assert await socket.end() == ([], expected)


async def test_a_command_of_exactly_64_kib_is_taken(world: World) -> None:
    async with world.rich(fresh()) as socket:
        await socket.hear("welcome")
        socket.send(frame(TEXT, COMMAND % (b"x" * (2**16 - len(COMMAND) + 2))))
        assert (await socket.hear("pong"))["id"] == 1


async def test_a_flood_of_commands_is_told_the_limit_and_ended(world: World) -> None:
    async with world.rich(fresh()) as socket:
        await socket.hear("welcome")
        for number in range(300):
            socket.say({"id": number, "type": "ping"})
        messages, code = await socket.end()
        assert (messages[-1]["type"], messages[-1]["code"], code) == ("error", "limit", 4504)
        assert [one["type"] for one in messages[:-1]] == ["pong"] * (len(messages) - 1)
        assert len(messages) <= 160


async def test_a_flood_before_the_token_is_ended_too(world: World) -> None:
    async with wire(world.worker.port, "/ws", "Sec-WebSocket-Protocol: teamcast.v1") as socket:
        for number in range(300):
            socket.say({"id": number, "type": "ping"})
        messages, code = await socket.end()
        assert code == 4504
        assert {one["error"]["code"] for one in messages[:-1]} <= {"not_authenticated"}


async def test_a_thousand_pings_of_the_socket_are_answered_and_harm_nobody(world: World) -> None:
    async with world.rich(fresh()) as socket:
        await socket.hear("welcome")
        socket.send(frame(PING, b"x") * 1000)
        socket.say({"id": 1, "type": "ping"})
        await socket.hear("pong")


async def test_a_user_has_only_so_many_connections_whatever_the_way_in(world: World) -> None:
    user = fresh()
    async with AsyncExitStack() as stack:
        for _ in range(CONNECTIONS):
            await (await stack.enter_async_context(world.rich(user))).hear("welcome")
        answer = await exchange(world.worker.port, handshake(f"/ws?token={token(user)}", "Sec-WebSocket-Protocol: teamcast.v1"))
        assert status_of(answer) == 429
        assert b"\r\nRetry-After: " in answer
        async with wire(world.worker.port, "/ws", "Sec-WebSocket-Protocol: teamcast.v1") as late:
            late.say({"id": 1, "type": "auth", "token": token(user)})
            messages, code = await late.end()
            assert ([one["error"]["code"] for one in messages], code) == (["limit"], 4504)


# --- the handshake and HTTP itself

SOCKET = [line for line in handshake().decode().split("\r\n") if line]


def socket_request(*changes: tuple[str, str], more: tuple[str, ...] = ()) -> bytes:
    """A good handshake with some lines exchanged; an empty one is left out."""
    lines = [dict(changes).get(line.partition(":")[0], line) for line in SOCKET]
    return "\r\n".join([*(line for line in lines if line), *more, "", ""]).encode("latin-1")


def request(line: str, *headers: str, body: str = "") -> bytes:
    return "\r\n".join([f"{line} HTTP/1.1", "Host: 127.0.0.1", *headers, "", body]).encode("latin-1")


PRODUCE = "POST /api/events/task.created"
REQUESTS: dict[str, tuple[bytes, int]] = {
    "a foreign origin": (socket_request(more=("Origin: https://evil.example",)), 403),
    "the origin null": (socket_request(more=("Origin: null",)), 403),
    "an empty origin": (socket_request(more=("Origin: ",)), 403),
    "an origin that begins like an allowed one": (socket_request(more=("Origin: https://app.example.org.evil.example",)), 403),
    "an origin that ends like an allowed one": (socket_request(more=("Origin: https://evilteams.example",)), 403),
    "an allowed origin as its user name": (socket_request(more=("Origin: https://app.example.org@evil.example",)), 403),
    "an allowed origin by http": (socket_request(more=("Origin: http://app.example.org",)), 403),
    "an origin that is a file": (socket_request(more=("Origin: file://",)), 403),
    "two origins": (socket_request(more=("Origin: https://app.example.org", "Origin: https://evil.example")), 403),
    "an allowed origin": (socket_request(more=("Origin: https://app.example.org",)), 101),
    "an allowed origin with a star": (socket_request(more=("Origin: https://a.teams.example",)), 101),
    "its own origin": (socket_request(more=("Origin: http://127.0.0.1:1",)), 101),
    "no upgrade": (request("GET /ws"), 426),
    "an upgrade to something else": (socket_request(("Upgrade", "Upgrade: h2c")), 426),
    "no key": (socket_request(("Sec-WebSocket-Key", "")), 400),
    "a key that is too short": (socket_request(("Sec-WebSocket-Key", "Sec-WebSocket-Key: eA==")), 400),
    "an old version": (socket_request(("Sec-WebSocket-Version", "Sec-WebSocket-Version: 6")), 400),
    "a socket by POST": (request("POST /ws", "Content-Length: 0"), 405),
    "a lying length and chunks": (
        request(PRODUCE, "Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\nGET /x HTTP/1.1\r\n\r\n"),
        400,
    ),
    "chunks and a lying length": (request(PRODUCE, "Transfer-Encoding: chunked", "Content-Length: 4", body="0\r\n\r\n"), 400),
    "two lengths": (request(PRODUCE, "Content-Length: 4", "Content-Length: 5", body="abcde"), 400),
    "a length with a sign": (request(PRODUCE, "Content-Length: +4", body="abcd"), 400),
    "a negative length": (request(PRODUCE, "Content-Length: -1"), 400),
    "a transfer encoding that there is not": (request(PRODUCE, "Transfer-Encoding: xchunked", body="0\r\n\r\n"), 400),
    "a chunk of no size": (request(PRODUCE, "Transfer-Encoding: chunked", body="zz\r\n\r\n"), 400),
    "a space before the colon": (request("GET /healthz", "X-A : b"), 400),
    "a folded header": (request("GET /healthz", "X-A: b", " c"), 400),
    "a NUL in a header": (request("GET /healthz", "X-A: \x00"), 400),
    "a bare CR in a header": (request("GET /healthz", "X-A: b\rSet-Cookie: x"), 400),
    "a control character in the path": (request("GET /heal\x01thz"), 400),
    "a line of 9,000": (request("GET /healthz?" + "x" * 9000), 431),
    "a header of 9,000": (request("GET /healthz", "X-A: " + "x" * 9000), 431),
    "200 headers": (request("GET /healthz", *(f"X-{number}: x" for number in range(200))), 400),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    "a proxy's request": (request("GET http://evil.example/healthz"), 200),
    "a tunnel": (request("CONNECT evil.example:443"), 404),
    "a method that there is not": (request("BREW /"), 400),
    "TRACE": (request("TRACE /"), 405),
    "a page by POST": (request("POST /", "Content-Length: 0"), 405),
    "a team by DELETE": (request("DELETE /api/teams/1"), 405),
    "a body of another kind": (
        request(PRODUCE, f"Authorization: Bearer {ADMIN_TOKEN}", "Content-Type: text/plain", "Content-Length: 2", body="{}"),
        415,
    ),
    "a body that is too large": (
        request(
            PRODUCE, f"Authorization: Bearer {ADMIN_TOKEN}", "Content-Type: application/json", "Content-Length: 600000", body="x" * 600_000
        ),
        413,
    ),
    "a line break in the path": (request(f"GET /%0d%0aSet-Cookie:%20{MARK}=1"), 404),
    "a line break in a query": (request(f"GET /api/tables?prefix=%0d%0a{MARK}", f"Authorization: Bearer {ADMIN_TOKEN}"), 200),
    "a topic with a line break": (
        request(f"POST /api/events/%0d%0a{MARK}", f"Authorization: Bearer {ADMIN_TOKEN}", "Content-Length: 0"),
        404,
    ),
    "a table that is a path": (request("GET /api/tables/..%2f..%2fetc", f"Authorization: Bearer {ADMIN_TOKEN}"), 404),
    "an id beyond every number": (request("GET /api/teams/" + "9" * 5000, f"Authorization: Bearer {ADMIN_TOKEN}"), 404),
    "a limit beyond every number": (request("GET /api/tables/tasks?limit=" + "9" * 5000, f"Authorization: Bearer {ADMIN_TOKEN}"), 400),
    "a cursor that is none": (request("GET /api/tables/tasks?cursor=%00%ff", f"Authorization: Bearer {ADMIN_TOKEN}"), 400),
    "another worker's door": (request("GET /internal/tables", f"Authorization: Bearer {ADMIN_TOKEN}"), 404),
    **{
        f"the path {path}": (request(f"GET {path}"), 404)
        for path in (
            "/sdk/..",
            "/sdk/../../setup.cfg",
            "/sdk/%2e%2e/%2e%2e/setup.cfg",
            "/sdk/..%2f..%2fsetup.cfg",
            "/sdk/..%5c..%5csetup.cfg",
            "/sdk/%252e%252e/setup.cfg",
            "/sdk/teamcast.js%00.html",
            "/sdk//teamcast.js",
            "//sdk/teamcast.js",
            "//evil.example/%2e%2e",
            "/sdk/teamcast.js/",
            "/sdk/.",
            "/board/index.html",
            "/.env",
            "/.git/config",
        )
    },
}


@pytest.mark.parametrize("name", REQUESTS)
async def test_a_request_gets_its_answer(world: World, name: str) -> None:
    data, expected = REQUESTS[name]
    answer = await exchange(world.worker.port, data)
    head = answer.partition(b"\r\n\r\n")[0]
    assert status_of(answer) == expected, answer[:500]
    assert len(re.findall(rb"HTTP/1\.[01] [1-5][0-9][0-9] ", answer)) == 1, "what was smuggled behind it has no answer"
    assert MARK.encode() not in head
    assert b"set-cookie" not in head.lower()
    assert b"Traceback" not in answer


@pytest.mark.parametrize(
    "cursor", ["9" * 5000, "-1", "%D9%A2", "x", ""], ids=["5,000 digits", "negative", "other digits", "a letter", "nothing"]
)
async def test_a_cursor_of_members_that_is_none_is_400(world: World, cursor: str) -> None:
    line = f"GET /api/teams/{world.team}/members?cursor={cursor}"
    assert status_of(await exchange(world.worker.port, request(line, f"Authorization: Bearer {token(world.member)}"))) == 400


@pytest.mark.parametrize("data", [b"", b"GET /ws HTTP/1.1\r\nHost: x\r\nX: "], ids=["nothing", "half"])
async def test_a_handshake_that_does_not_go_on_is_ended(world: World, data: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.worker.port)
    writer.write(data)
    with suppress(ConnectionResetError):
        assert await asyncio.wait_for(reader.read(), 15) == b""
    writer.close()


@pytest.mark.parametrize("path", ["/", "/board/board.js", "/sdk/teamcast.js"])
async def test_pages_tell_browsers_what_they_may_do(world: World, path: str) -> None:
    answer = await ask(world.worker, "GET", path)
    policy = answer.headers["content-security-policy"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "same-origin"
    for part in ("default-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert part in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/tables", "/nothing", "/ws"])
async def test_no_answer_is_sniffed_or_tells_what_runs_here(world: World, path: str) -> None:
    answer = await ask(world.worker, "GET", path)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


# --- what all that left behind

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


async def test_the_log_holds_nothing_raw_and_nothing_secret_and_the_worker_is_well(world: World) -> None:
    evil = f"\r\n{MARK} line\x1b[2J\u2028{MARK}\x00"
    text = token(world.member)
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    bad = task("task.created", world.team, fresh(), world.member, title=evil) | {"eventId": evil, "timestamp": evil}
    assert_problem(await ask(world.worker, "POST", "/api/events/task.created", json=bad, headers=headers), 400)
    await world.services.send("task.created", bad, key=evil.encode(), headers=[(evil, evil.encode())])
    await world.services.send("task.created", task("task.created", world.team, fresh(), world.member, title=evil))
    await ask(world.worker, "POST", "/api/admin/disconnect", json={"userId": evil}, headers=headers)
    await exchange(world.worker.port, request("GET /api/tables", f"Authorization: Bearer {text}\x07", f"User-Agent: {evil[:4]}"))
    async with wire(world.worker.port, f"/ws?token={text}x", f"Sec-WebSocket-Protocol: {MARK}, teamcast.v1, bearer.{text}x") as socket:
        await socket.end()
    async with world.rich(fresh()) as other:
        await other.hear("welcome")
        other.say({"id": evil, "type": evil})
        assert (await other.hear("reply"))["id"] == evil
    letters = f"/api/tables/tasks?prefix={world.team}/"
    await eventually(lambda: world.worker.request("GET", letters, headers=headers), lambda seen: bool(seen[1]["rows"]))

    status, _ = await world.worker.request("GET", "/readyz")
    assert status == 200
    log = world.worker.log()
    assert "a token was refused" in log, "the log is written at level debug, or this shows nothing"
    assert CONTROL.search(log) is None
    assert not [line for line in log.splitlines() if line.lstrip().startswith(MARK)]
    head, _, signature = text.split(".")
    for secret in (SECRET, ADMIN_TOKEN, signature, f"{head}."):
        assert secret not in log
    assert re.search(r"(GET|POST|DELETE) \S+ failed", log) is None, "an answer of 500"
    assert "Traceback" not in log
