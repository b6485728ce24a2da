"""Authentication on a real worker: who gets what on every route, on sockets, and what is never written down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import time
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka.asking import ask, assert_problem
from tests.kafka.ids import fresh
from tests.kafka.services import Services, task
from tests.kafka.streams import StreamClient
from tests.kafka.waiting import eventually
from tests.processes import Worker
from tests.tokens import SECRET, KeyServer, claims, hs256, jwk, key_server, signed
from web.views import ALL

pytestmark = pytest.mark.asyncio(loop_scope="session")

ADMIN_TOKEN = "administrators-token-of-this-test"
METRICS_TOKEN = "metrics-token-of-this-test"
CLUSTER_SECRET = "cluster-secret-of-this-test"
ALLOWED = "https://app.example.org"


def token(user_id: int | str, **more: Any) -> str:
    return hs256(claims(user_id, now=time(), **more))


@dataclass(slots=True, frozen=True)
class World:
    """A worker with authentication, a team with one task, and everyone who might ask."""

    worker: Worker
    keys: KeyServer
    team: int
    task: int
    member: int
    letter: str
    """A dead letter."""

    def headers(self, who: str) -> dict[str, str]:
        """How one of them asks."""
        tokens = {
            "bad": token(self.member)[:-2],
            "expired": token(self.member, exp=int(time()) - 60),
            "member": token(self.member),
            "stranger": token(fresh()),
            "producer": token(fresh(), scope="produce"),
            "scoped": token(fresh(), scope="admin"),
            "admin": ADMIN_TOKEN,
            "prometheus": METRICS_TOKEN,
            "peer": CLUSTER_SECRET,
            "keyed": signed(claims(self.member, now=time()), "ES256", "one"),
            "forged": signed(claims(self.member, now=time()), "ES256", "stranger", key_id="one"),
        }
        return {} if who == "nobody" else {"Authorization": f"Bearer {tokens[who]}"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def world(broker: EmbeddedKafka, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with key_server(jwk("ES256", "one")) as keys:
        env = {
            "JWT_SECRET": SECRET,
            "JWT_JWKS_URL": keys.url,
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "METRICS_TOKEN": METRICS_TOKEN,
            "CLUSTER_SECRET": CLUSTER_SECRET,
            "ALLOWED_ORIGINS": ALLOWED,
            "HOST": "127.0.0.1",
            "HANDSHAKE_TIMEOUT": "1s",
            "LOG_LEVEL": "DEBUG",
        }
        folder = tmp_path_factory.mktemp("auth")
        async with (
            Worker(broker.bootstrap, folder, env=env, command=("worker", "-l", "debug")) as worker,
            Services(broker.bootstrap) as services,
        ):
            bad = await services.send("task.created", b"hello")
            letter = f"{bad.topic}-{bad.partition}-{bad.offset}"
            found = World(worker, keys, team=fresh(), task=fresh(), member=fresh(), letter=letter)
            await services.make_team(found.team, found.member)
            await services.send("task.created", task("task.created", found.team, found.task, found.member, title="Lock the door"))
            path = f"/api/tables/tasks/{found.team}/{found.task}"
            await eventually(lambda: worker.request("GET", path, headers=found.headers("admin")), lambda seen: seen[0] == 200)
            path = f"/api/deadletters/{letter}"
            await eventually(lambda: worker.request("GET", path, headers=found.headers("admin")), lambda seen: seen[0] == 200)
            yield found


EVERYONE = ("nobody", "bad", "expired", "forged", "stranger", "keyed", "member", "producer", "scoped", "admin", "prometheus", "peer")
ANYONE = dict.fromkeys(EVERYONE, 200)
UNKNOWN = dict.fromkeys(("nobody", "bad", "expired", "forged", "prometheus", "peer"), 401)
USERS = UNKNOWN | {"admin": 401} | dict.fromkeys(("stranger", "keyed", "member", "producer", "scoped"), 200)
MEMBERS = UNKNOWN | {"stranger": 404, "producer": 404} | dict.fromkeys(("keyed", "member", "scoped", "admin"), 200)
ADMINS = UNKNOWN | dict.fromkeys(("stranger", "keyed", "member", "producer"), 403) | {"scoped": 200, "admin": 200}
PRODUCERS = UNKNOWN | dict.fromkeys(("stranger", "keyed", "member"), 403) | dict.fromkeys(("producer", "scoped", "admin"), 202)
NO_SUCH_THING = UNKNOWN | dict.fromkeys(("stranger", "keyed", "member", "producer", "scoped", "admin"), 404)
PEERS = dict.fromkeys(EVERYONE, 404) | {"peer": 200}

ROUTES: list[tuple[str, str, str, dict[str, int]]] = [
    ("GET", "/healthz", "/healthz", ANYONE),
    ("GET", "/readyz", "/readyz", ANYONE),
    ("GET", "/asyncapi.yaml", "/asyncapi.yaml", ANYONE),
    ("GET", "/openapi.json", "/openapi.json", ANYONE),
    ("GET", "/metrics", "/metrics", dict.fromkeys(EVERYONE, 401) | {"prometheus": 200}),
    ("GET", "/api/teams/{team}", "/api/teams/{world.team}", MEMBERS),
    ("GET", "/api/teams/{team}", "/api/teams/{other}", NO_SUCH_THING),
    ("GET", "/api/teams/{team}", "/api/teams/0", NO_SUCH_THING),
    ("GET", "/api/teams/{team}/members", "/api/teams/{world.team}/members", MEMBERS),
    ("GET", "/api/users/{user}", "/api/users/{world.member}", MEMBERS),
    ("GET", "/api/users/{user}", "/api/users/x", NO_SUCH_THING),
    ("GET", "/api/tables", "/api/tables", ADMINS),
    ("GET", "/api/tables/{name}", "/api/tables/tasks", ADMINS),
    ("GET", "/api/tables/{name}/{key:.+}", "/api/tables/tasks/{world.team}/{world.task}", ADMINS),
    ("GET", "/api/lag", "/api/lag", ADMINS),
    ("GET", "/api/flow", "/api/flow", ADMINS),
    ("GET", "/api/history/{key}", "/api/history/{world.team}", ADMINS),
    ("GET", "/api/deadletters", "/api/deadletters", ADMINS),
    ("GET", "/api/deadletters/{letter}", "/api/deadletters/{world.letter}", ADMINS),
    ("POST", "/api/admin/deadletters/{letter}/replay", "/api/admin/deadletters/{world.letter}/replay", ADMINS),
    ("POST", "/api/admin/deadletters/{letter}/discard", "/api/admin/deadletters/{world.letter}/discard", ADMINS),
    ("GET", "/api/connections", "/api/connections", ADMINS),
    ("GET", "/api/cluster", "/api/cluster", ADMINS),
    ("POST", "/api/events/{topic}", "/api/events/task.created", PRODUCERS),
    ("POST", "/api/admin/disconnect", "/api/admin/disconnect", ADMINS),
    ("GET", "/internal/seeds/{key}", "/internal/seeds/team:{world.team}", PEERS),
    ("GET", "/internal/candidates/{user}", "/internal/candidates/{world.member}?upto=0", PEERS),
    ("GET", "/internal/tables", "/internal/tables", PEERS),
    ("GET", "/internal/lag", "/internal/lag", PEERS),
    ("GET", "/internal/flow", "/internal/flow", PEERS),
    ("GET", "/internal/connections", "/internal/connections", PEERS),
    ("GET", "/internal/cluster", "/internal/cluster", PEERS),
    ("GET", "/internal/tables/{name}", "/internal/tables/tasks?prefix=&after=&limit=1", PEERS),
    ("GET", "/events", "/events?teamId={world.team}", USERS),
    ("DELETE", "/internal/connections/{user}", "/internal/connections/{other}", PEERS),
]


@pytest.mark.parametrize(("method", "pattern", "path", "answers"), ROUTES, ids=[f"{one[0]} {one[2]}" for one in ROUTES])
async def test_each_route_answers_each_caller(world: World, method: str, pattern: str, path: str, answers: dict[str, int]) -> None:
    path = path.format(world=world, other=fresh())
    bodies = {
        "/api/events/{topic}": task("task.created", world.team, fresh(), world.member),
        "/api/admin/disconnect": {"userId": fresh()},
        "/api/admin/deadletters/{letter}/replay": {"value": json.dumps(task("task.created", world.team, fresh(), world.member))},
        "/api/admin/deadletters/{letter}/discard": {"reason": "a test"},
    }
    arguments: dict[str, Any] = {"json": bodies[pattern]} if method == "POST" else {}
    found = {}
    for who in EVERYONE:
        answer = await ask(world.worker, method, path, headers=world.headers(who), **arguments)
        found[who] = answer.status
        if answer.status >= 400:
            assert_problem(answer, answer.status)
        assert (answer.headers.get("www-authenticate") == "Bearer") is (answer.status == 401)
    assert found == {who: answers[who] for who in EVERYONE}


async def test_no_route_is_left_out() -> None:
    assert {view.path for view in ALL} - {pattern for _, pattern, _, _ in ROUTES} == set(), "say above who may call it"


async def test_without_a_token_an_unknown_topic_is_401(world: World) -> None:
    assert_problem(await ask(world.worker, "POST", "/api/events/nothing", json={}), 401)


async def test_bytes_that_are_no_text_are_401(world: World) -> None:
    for path in ("/metrics", "/api/tables"):
        status, answer = await raw(world, f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nConnection: close\r\n\r\n")
        assert status == 401, answer


async def test_a_page_of_an_allowed_origin_reads_answers_and_refusals(world: World) -> None:
    preflight = await ask(world.worker, "OPTIONS", "/api/tables", headers={"Origin": ALLOWED, "Access-Control-Request-Method": "GET"})
    assert (preflight.status, preflight.headers["access-control-allow-origin"]) == (204, ALLOWED)
    for who in ("nobody", "stranger", "admin"):
        answer = await ask(world.worker, "GET", "/api/tables", headers={"Origin": ALLOWED} | world.headers(who))
        assert answer.headers["access-control-allow-origin"] == ALLOWED
    foreign = await ask(world.worker, "GET", "/api/tables", headers={"Origin": "https://evil.example"} | world.headers("admin"))
    assert "access-control-allow-origin" not in foreign.headers


# --- sockets


async def close_code(world: World, path: str = "/ws", **arguments: Any) -> int | None:
    """Open a socket and wait for its end."""
    async with aiohttp.ClientSession() as session, session.ws_connect(world.worker.url + path, **arguments) as socket:
        async with asyncio.timeout(20):
            async for _ in socket:
                pass
        code: int | None = socket.close_code
        return code


@pytest.mark.parametrize("protocols", [(), ("teamcast.plain",), ("teamcast.v1",)], ids=["none", "plain", "rich"])
@pytest.mark.parametrize("who", ["bad", "expired", "forged", "admin"])
async def test_a_bad_token_is_told_after_the_upgrade(world: World, who: str, protocols: tuple[str, ...]) -> None:
    headers = world.headers(who)
    text = headers["Authorization"].removeprefix("Bearer ")
    assert await close_code(world, headers=headers, protocols=protocols) == 4501
    assert await close_code(world, f"/ws?token={text}", protocols=protocols) == 4501
    assert await close_code(world, protocols=(*protocols, f"bearer.{text}")) == 4501


async def test_no_token_is_told_after_the_upgrade_whatever_user_is_named(world: World) -> None:
    assert await close_code(world, f"/ws?userId={world.member}") == 4501


@pytest.mark.parametrize("place", ["header", "subprotocol", "query"])
@pytest.mark.parametrize("mode", ["teamcast.plain", "teamcast.v1"])
async def test_a_good_token_is_taken_from_every_place_and_never_echoed(world: World, place: str, mode: str) -> None:
    text = token(world.member)
    async with aiohttp.ClientSession() as session:
        places: dict[str, dict[str, Any]] = {
            "header": {"headers": {"Authorization": f"Bearer {text}"}, "protocols": (mode,)},
            "subprotocol": {"protocols": (f"bearer.{text}", mode)},
            "query": {"params": {"token": text, "userId": "1"}, "protocols": (mode,)},
        }
        async with session.ws_connect(world.worker.url + "/ws", **places[place]) as socket:
            assert socket.protocol == mode
            created = task("task.created", world.team, fresh(), world.member)
            if mode == "teamcast.v1":
                welcome = await socket.receive_json(timeout=15)
                assert (welcome["type"], welcome["userId"]) == ("welcome", world.member)
            else:
                sent = await ask(world.worker, "POST", "/api/events/task.created", headers=world.headers("producer"), json=created)
                event = await socket.receive_json(timeout=15)
                assert event["eventId"] == sent.body["eventId"]


@pytest.mark.parametrize("protocols", [(), ("teamcast.v1",)], ids=["plain", "rich"])
async def test_a_socket_ends_with_its_token(world: World, protocols: tuple[str, ...]) -> None:
    ends = int(time()) - 12
    assert await close_code(world, f"/ws?token={token(world.member, exp=ends)}", protocols=protocols) == 4005
    assert ends <= time() <= ends + 30


@pytest.mark.parametrize(
    "text", [b"", b"GET /ws?token=", b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: webs"], ids=["nothing", "line", "headers"]
)
async def test_a_handshake_that_does_not_come_to_an_end_is_closed(world: World, text: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", world.worker.port)
    writer.write(text)
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()


# --- event streams


async def test_a_stream_takes_a_token_from_the_query_and_ends_with_it(world: World) -> None:
    ends = int(time()) - 12
    async with StreamClient(world.worker.url, f"userId=1&token={token(world.member, exp=ends)}") as client:
        assert client.answer.status == 200
        async with asyncio.timeout(20):
            await client.ended.wait()
        assert client.comments == [": token expired"]
    assert ends <= time() <= ends + 30


async def test_a_page_of_an_allowed_origin_reads_a_stream_and_why_there_is_none(world: World) -> None:
    async with StreamClient(world.worker.url, f"token={token(world.member)}", headers={"Origin": ALLOWED}) as client:
        assert (client.answer.status, client.answer.headers["Access-Control-Allow-Origin"]) == (200, ALLOWED)
        created = task("task.created", world.team, fresh(), world.member)
        await client.until(lambda seen: seen.ids)
        sent = await ask(world.worker, "POST", "/api/events/task.created", headers=world.headers("producer"), json=created)
        await client.until(lambda seen: seen.event_ids == [sent.body["eventId"]])
    answer = await ask(world.worker, "GET", "/events", headers={"Origin": ALLOWED})
    assert_problem(answer, 401)
    assert answer.headers["access-control-allow-origin"] == ALLOWED
    foreign = await ask(world.worker, "GET", f"/events?token={token(world.member)}", headers={"Origin": "https://evil.example"})
    assert_problem(foreign, 403)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ALLOWED + ".evil.example"])
async def test_a_socket_of_a_foreign_page_is_403_before_the_upgrade(world: World, origin: str) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await close_code(world, f"/ws?token={token(world.member)}", headers={"Origin": origin})
    assert refused.value.status == 403


async def test_a_socket_without_a_key_server_says_come_back(
    broker: EmbeddedKafka, world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with key_server() as gone:
        pass
    env = {"JWT_JWKS_URL": gone.url, "HOST": "127.0.0.1", "ROLE": "gateway"}
    async with Worker(broker.bootstrap, tmp_path_factory.mktemp("keyless"), env=env) as worker:
        keyless = World(worker, gone, world.team, world.task, world.member, world.letter)
        text = signed(claims(world.member, now=time()), "ES256", "one")
        assert await close_code(keyless, f"/ws?token={text}") == 4006
        answer = await ask(worker, "GET", f"/api/teams/{world.team}", headers=keyless.headers("keyed"))
        assert_problem(answer, 503)
        assert 1 <= int(answer.headers["retry-after"]) <= 30
        assert await close_code(keyless, f"/ws?token={token(world.member)}") == 4501


# --- secrecy


async def raw(world: World, text: str) -> tuple[int, str]:
    """Send bytes that no client library would; the status and all that came."""
    reader, writer = await asyncio.open_connection("127.0.0.1", world.worker.port)
    writer.write(text.encode("latin-1"))
    async with asyncio.timeout(15):
        answer = (await reader.read()).decode("latin-1")
    writer.close()
    await writer.wait_closed()
    return int(answer.split(" ", 2)[1]), answer


async def test_nothing_secret_is_ever_logged(world: World) -> None:
    text = token(world.member)
    await raw(world, f"GET /ws?token={text} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}\x01\r\n\r\n")
    await raw(world, f"GET /ws?token={text}\x01 HTTP/1.1\r\nHost: x\r\n\r\n")
    await raw(world, f"Authorization: Bearer {text}\r\n\r\n")
    await raw(world, f"GET /api/tables HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {text}{'x' * 20_000}\r\n\r\n")
    await close_code(world, f"/ws?token={text}x", protocols=(f"bearer.{text}x",))
    await ask(world.worker, "GET", f"/api/tables?token={text}", headers={"Authorization": f"Bearer {text}x"})
    metrics = await ask(world.worker, "GET", "/metrics", headers=world.headers("prometheus"))
    assert metrics.status == 200
    log = world.worker.log()
    assert "a token was refused" in log, "the log is written at level debug, or this shows nothing"
    head, _, signature = text.split(".")
    for secret in (SECRET, ADMIN_TOKEN, METRICS_TOKEN, CLUSTER_SECRET, signature, f"{head}."):
        assert secret not in log
        assert secret not in metrics.body
