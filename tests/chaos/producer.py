"""The services of a small world: they number what they send, write to any partition, repeat themselves, come late and make mistakes."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from app.domain.topics import SOURCE_TOPICS
from tests.chaos.history import Expected, Place

PARTITIONS = 8
IN_FLIGHT = 400
LATE_SECONDS = 20.0
TASKS = 25
"""Task ids of a team: few, so that their events meet."""

Value = dict[str, Any]


@dataclass(slots=True)
class World:
    """The teams and users of a round; all ids have seven digits and begin with the same three."""

    number: int
    teams: list[int] = field(init=False)
    users: list[int] = field(init=False)
    owners: dict[int, int] = field(init=False)

    def __post_init__(self) -> None:
        base = (100 + self.number) * 10_000
        self.teams = [base + index for index in range(12)]
        self.users = [base + index for index in range(100, 124)]
        self.owners = {team: self.users[index % len(self.users)] for index, team in enumerate(self.teams)}

    @property
    def prefix(self) -> str:
        """How all of its ids begin."""
        return str(100 + self.number)


@dataclass(slots=True)
class Written:
    """What the broker said of what was sent."""

    acked: dict[Place, Expected] = field(default_factory=dict)
    failed: int = 0
    sent: int = 0


class Services:
    """Several services, as one producer."""

    def __init__(self, bootstrap: str, world: World, chance: random.Random) -> None:
        self.written = Written()
        self._bootstrap = bootstrap
        self._world = world
        self._chance = chance
        self._n: dict[str, int] = {}
        self._producer: AIOKafkaProducer
        self._sending: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(IN_FLIGHT)
        self._recent: list[tuple[str, Value, Expected]] = []

    async def start(self) -> None:
        """Connect."""
        self._producer = AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all", request_timeout_ms=20_000, linger_ms=2)
        await self._producer.start()

    async def stop(self) -> None:
        """Wait for every answer, and disconnect."""
        await self.flush()
        await self._producer.stop()

    async def flush(self) -> None:
        """Wait until everything sent is acknowledged or failed."""
        while self._sending:
            await asyncio.gather(*self._sending, return_exceptions=True)

    async def found(self) -> None:
        """Make the world: users, teams, members."""
        world = self._world
        for user in world.users:
            await self._good("user.created", self._user(user), f"user:{user}")
        for team in world.teams:
            await self._good("team.created", self._team("team.created", team, name=f"Team {team}"), f"team:{team}")
            for user in self._chance.sample(world.users, 10):
                await self._good("team.member_added", self._member("team.member_added", team, user), f"team:{team}")
        await self.flush()

    async def run(self, rate: float, until: asyncio.Event) -> None:
        """Send ``rate`` events a second until told to stop."""
        due = time.monotonic()
        while not until.is_set():
            await self.one()
            due = max(due + self._chance.expovariate(rate), time.monotonic() - 0.5)
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def burst(self, count: int) -> None:
        """Send as fast as the broker takes it."""
        for _ in range(count):
            await self.one()

    async def one(self) -> None:
        """Send what a service would send next."""
        dice = self._chance.random()
        team, user = self._chance.choice(self._world.teams), self._chance.choice(self._world.users)
        if dice < 0.02:
            await self._bad()
        elif dice < 0.05 and self._recent:
            topic, value, expected = self._chance.choice(self._recent)
            await self._send(topic, json.dumps(value).encode(), expected)
        elif dice < 0.08:
            topic = self._chance.choice(("task.created", "task.updated", "task.deleted"))
            await self._good(topic, self._task(topic, None, user), f"user:{user}")
        elif dice < 0.17:
            kinds = ("team.member_added", "team.member_added", "team.member_removed", "team.member_role_updated")
            topic = self._chance.choice(kinds)
            await self._good(topic, self._member(topic, team, user), f"team:{team}")
        elif dice < 0.20:
            await self._good("team.updated", self._team("team.updated", team, name=f"Name {dice}"), f"team:{team}")
        elif dice < 0.203:
            await self._delete_and_make(self._chance.choice(self._world.teams[:2]))
        else:
            topic = self._chance.choice(("task.created", "task.updated", "task.updated", "task.updated", "task.completed", "task.deleted"))
            await self._good(topic, self._task(topic, team, user), f"team:{team}")

    async def _delete_and_make(self, team: int) -> None:
        await self._good("team.deleted", self._team("team.deleted", team), f"team:{team}")
        if self._chance.random() < 0.8:
            await self._good("team.created", self._team("team.created", team, name="Again"), f"team:{team}")
            for user in self._chance.sample(self._world.users, 6):
                await self._good("team.member_added", self._member("team.member_added", team, user), f"team:{team}")

    # --- values

    def _stamp(self) -> str:
        at = dt.datetime.now(dt.UTC)
        if self._chance.random() < 0.1:
            at -= dt.timedelta(seconds=self._chance.uniform(0, LATE_SECONDS))
        return at.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def _numbered(self, key: str) -> int:
        self._n[key] = self._n.get(key, 0) + 1
        return self._n[key]

    def _task(self, topic: str, team: int | None, user: int) -> Value:
        payload: Value = {"n": self._numbered(f"team:{team}" if team else f"user:{user}")}
        if topic == "task.completed":
            payload["completed"] = self._chance.random() < 0.5
        elif topic != "task.deleted":
            fields = {
                "title": f"Title {payload['n']}",
                "description": None,
                "priority": self._chance.choice((1, 1.0, "high", None)),
                "due": "soon",
            }
            payload |= {name: fields[name] for name in self._chance.sample(sorted(fields), self._chance.randint(1, 4))}
        task_id = (team or user) * 100 + self._chance.randrange(TASKS)
        value: Value = {
            "eventType": topic,
            "taskId": task_id,
            "teamId": team,
            "actorId": user,
            "creatorId": user,
            "timestamp": self._stamp(),
        }
        if self._chance.random() < 0.2:
            value["assigneeId"] = self._chance.choice(self._world.users)
        return value | {"payload": payload}

    def _team(self, topic: str, team: int, **payload: Any) -> Value:
        owner = self._world.owners[team]
        payload["n"] = self._numbered(f"team:{team}")
        return {"eventType": topic, "teamId": team, "actorId": owner, "ownerId": owner, "timestamp": self._stamp(), "payload": payload}

    def _member(self, topic: str, team: int, user: int) -> Value:
        role = {} if topic == "team.member_removed" else {"role": self._chance.choice(("member", "admin", "guest"))}
        payload = {"n": self._numbered(f"team:{team}")}
        actor = self._world.owners[team]
        return {"eventType": topic, "teamId": team, "userId": user, "actorId": actor, "timestamp": self._stamp(), "payload": payload} | role

    def _user(self, user: int) -> Value:
        payload = {"username": f"user-{self._numbered(f'user:{user}')}", "email": f"u{user}@example.org"}
        return {"eventType": "user.created", "userId": user, "timestamp": self._stamp(), "payload": payload}

    # --- sending

    async def _good(self, topic: str, value: Value, key: str) -> None:
        if self._chance.random() < 0.3:
            value["eventId"] = f"{self._world.number}-{self._numbered('eventId')}"
        expected = Expected(key, None)
        self._recent = [*self._recent[-50:], (topic, value, expected)]
        await self._send(topic, json.dumps(value).encode(), expected)

    async def _bad(self) -> None:
        topic = self._chance.choice(SOURCE_TOPICS)
        bad = [(None, "null-value"), (b"", "not-json"), (b"[1]", "not-an-object"), (b"\xff\xfe{}", "not-utf8"), (b"{}", "missing-field")]
        value, code = self._chance.choice(bad)
        await self._send(topic, value, Expected(None, code))

    async def _send(self, topic: str, value: bytes | None, expected: Expected) -> None:
        await self._slots.acquire()
        self.written.sent += 1
        key = self._chance.choice((b"", b"a key", self._chance.randbytes(8)))
        task = asyncio.create_task(self._sent(topic, value, key, self._chance.randrange(PARTITIONS), expected))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _sent(self, topic: str, value: bytes | None, key: bytes | None, partition: int, expected: Expected) -> None:
        try:
            found = await self._producer.send_and_wait(topic, value, key=key, partition=partition)
        except (KafkaError, OSError):
            self.written.failed += 1
        else:
            self.written.acked[topic, found.partition, found.offset] = expected
        finally:
            self._slots.release()
