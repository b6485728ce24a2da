"""One round: a small world, its clients, a fault in the middle, and the verdict once everything has settled."""

from __future__ import annotations

import asyncio
import pickle
import random
import time
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

from app.domain.topics import SOURCE_TOPICS, UNIFIED
from tests.chaos import reading
from tests.chaos.checker import check, check_clients
from tests.chaos.clients import Client
from tests.chaos.cluster import Cluster
from tests.chaos.faults import Fault, Scene
from tests.chaos.history import ClientHistory, Evidence, Message
from tests.chaos.producer import Services, World
from tests.chaos.unified import Log
from tests.chaos.verdict import KINDS, Verdict

RATE = 120.0
"""Events a second."""
CLIENTS = 16
BEFORE, AFTER = 250, 350
"""Source records acknowledged before the fault begins, and after everything is ready again."""
ARRIVE_SECONDS = 40.0
"""How long clients have to get what is in the log, once the group has worked through it."""


@dataclass(slots=True)
class Result:
    """What a round came to."""

    number: int
    fault: str
    seconds: float = 0.0
    recovery: float = 0.0
    """Median over the clients of the longest time without an event since the fault began, seconds."""
    recovery_max: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    sent: int = 0
    unacked: int = 0
    unified: int = 0
    repeats: int = 0
    delivered: int = 0
    sessions: int = 0
    snapshots: int = 0
    gaps: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    exits: list[int] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing was found."""
        return not self.findings and not any(self.counts.values())

    def human(self) -> str:
        """One line."""
        found = " ".join(f"{kind}={self.counts.get(kind, '?')}" for kind in KINDS)
        state = "ok " if self.clean else "RED"
        return (
            f"{self.number:4d} {self.fault:28s} {state} {found} recovery={self.recovery:.1f}s (max {self.recovery_max:.1f}s)"
            f" delivered={self.delivered} of {self.unified} sessions={self.sessions} repeats={self.repeats} gaps={self.gaps}"
            f" exits={self.exits} took {self.seconds:.0f}s"
        )

    def as_json(self) -> dict[str, Any]:
        """One JSON object."""
        return asdict(self) | {"findings": self.findings[:10]}


async def run_round(cluster: Cluster, number: int, fault: Fault, seed: int, folder: Path, *, window: int = 100_000) -> Result:
    """Play a round, settle, judge.

    Args:
        cluster: Running, and ready.
        number: The round's; every round has a world of its own.
        fault: What goes wrong.
        seed: With the number, where all chance is drawn from.
        folder: Takes the evidence of a round that is red.
        window: The DUPLICATE_WINDOW that the log is read with.
    """
    result, began = Result(number, fault.__name__), time.monotonic()
    chance = random.Random(f"{seed}/{number}")
    world = World(number)
    restarts, exits = cluster.restarts, [len(slot.exits) for slot in cluster.slots]
    start = await reading.ends(cluster.bootstrap)
    services = Services(cluster.bootstrap, world, chance)
    clients = make_clients(world, cluster, chance)
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True)))
        await services.start()
        stack.push_async_callback(services.stop)
        await services.found()
        done = asyncio.Event()
        traffic = asyncio.create_task(services.run(RATE, done))
        stack.callback(traffic.cancel)
        for client in clients:
            stack.push_async_callback(client.stop)
        await asyncio.gather(*(client.start(http) for client in clients))
        scene = Scene(cluster, services, chance)
        await scene.acked(BEFORE)

        at = time.time() * 1000
        try:
            await fault(scene)
            await cluster.ready()
            await scene.acked(AFTER)
            done.set()
            await traffic
            quiet = time.time() * 1000
            await services.flush()
            await cluster.finished()
            verdict = await settle(cluster, world, services, clients, start, folder, window, result)
        except AssertionError as error:
            result.findings.append(f"did not settle: {error}"[:1500])
            verdict, quiet = Verdict(), time.time() * 1000
    pauses = [longest_pause(client.history, at, quiet) for client in clients]
    result.recovery, result.recovery_max = round(median(pauses), 2), round(max(pauses), 2)
    result.counts, result.findings = verdict.numbers(), [*result.findings, *verdict.findings]
    result.delivered, result.snapshots, result.gaps = verdict.delivered, verdict.snapshots, dict(verdict.gaps)
    result.sent, result.unacked = services.written.sent, services.written.failed
    result.sessions = sum(len(client.history.sessions) for client in clients)
    result.restarts = cluster.restarts - restarts
    result.exits = [code for slot, before in zip(cluster.slots, exits, strict=True) for code in slot.exits[before:]]
    result.seconds = round(time.monotonic() - began, 1)
    return result


def make_clients(world: World, cluster: Cluster, chance: random.Random) -> list[Client]:
    """Half of them rich, half of those patient."""
    users = chance.sample(world.users, CLIENTS)
    return [
        Client(
            f"{'rich' if index % 2 else 'plain'}-{index}",
            user,
            lambda: cluster.url(chance),
            chance,
            rich=bool(index % 2),
            patient=index % 4 < 2,
        )
        for index, user in enumerate(users)
    ]


async def settle(
    cluster: Cluster,
    world: World,
    services: Services,
    clients: list[Client],
    start: reading.Offsets,
    folder: Path,
    window: int,
    result: Result,
) -> Verdict:
    """Wait until the clients have what is theirs, look at everything, and judge."""
    bootstrap = cluster.bootstrap
    records = await reading.read(bootstrap, start, [UNIFIED])
    log = Log(records, window)
    histories = [client.history for client in clients]
    deadline = time.monotonic() + ARRIVE_SECONDS
    while True:
        found = Verdict()
        check_clients(Evidence(records, [], [], {}, histories), log, found)
        if not found.counts["lost"] or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.5)
    evidence = Evidence(
        records,
        await reading.read(bootstrap, start, SOURCE_TOPICS),
        await reading.read(bootstrap, start, reading.DEAD_LETTER_TOPICS),
        services.written.acked,
        histories,
    )
    evidence.log = await reading.read(bootstrap, start, [UNIFIED])
    for slot in cluster.live:
        evidence.tables[slot.worker.url] = await tables(slot.worker.url, world)
        evidence.teams[slot.worker.url] = await teams(slot.worker.url, world)
    verdict = await asyncio.to_thread(check, evidence, window)
    result.unified, result.repeats = len(evidence.log), sum(len(stream.repeats) for stream in log.streams.values())
    if not verdict.clean:
        (folder / f"round-{result.number}.pickle").write_bytes(pickle.dumps(evidence))
        (folder / f"round-{result.number}.txt").write_text("\n".join(verdict.findings), encoding="utf-8")
    return verdict


def longest_pause(history: ClientHistory, start: float, end: float) -> float:
    """The longest time without an event between two moments (milliseconds since the epoch), in seconds."""
    times = sorted(
        at for session in history.sessions for at, message in zip(session.arrived, session.messages, strict=False) if "." in message["type"]
    )
    inside = [start, *(at for at in times if start < at < end), end]
    return max(later - earlier for earlier, later in pairwise(inside)) / 1000


async def get(url: str, path: str, **query: str) -> tuple[int, Any]:
    """An answer other than 503, within two minutes."""
    deadline = time.monotonic() + 120
    while True:
        try:
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as http, http.get(url + path, params=query) as answer:
                body = await answer.json(content_type=None)
                if answer.status != 503:
                    return answer.status, body
        except (aiohttp.ClientError, TimeoutError) as error:
            body = repr(error)
        if time.monotonic() > deadline:
            raise AssertionError(f"{url}{path} does not answer: {body}")
        await asyncio.sleep(0.5)


async def tables(url: str, world: World) -> dict[str, list[dict[str, Any]]]:
    """Every row of the world, as a worker shows those of all."""
    found: dict[str, list[dict[str, Any]]] = {}
    for name, prefixes in {"teams": [""], "members": [""], "tasks": ["", "user:"], "users": [""]}.items():
        found[name] = []
        for prefix in prefixes:
            cursor: str | None = ""
            while cursor is not None:
                query = {"cursor": cursor} if cursor else {}
                status, body = await get(url, f"/api/tables/{name}", limit="1000", prefix=prefix + world.prefix, **query)
                assert status == 200, body
                found[name] += body["rows"]
                cursor = body["cursor"]
    return found


async def teams(url: str, world: World) -> dict[int, Message | None]:
    """Every team of the world as a worker tells it."""
    found: dict[int, Message | None] = {}
    for team in world.teams:
        status, body = await get(url, f"/api/teams/{team}")
        found[team] = body if status == 200 else None
    return found
