"""What stands around delivery: a log of one partition, the rows' owner, sockets, and an honest client."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from app.domain.events import Source, UnifiedEvent, encode
from app.domain.recent_records import RecentRecords, SharedRecord
from app.domain.unified import UnifiedRecord, headers_for
from app.errors import Unavailable
from app.settings import Settings
from delivery.entry import Entry, entry_at
from delivery.feed import Feed
from delivery.hub import Hub
from delivery.listener import Listener
from delivery.owners import Seeds
from delivery.ring import Ring
from delivery.rounds import Rounds
from delivery.run import Run
from tables.seed import Seed
from tests.unit.domain.naive_model import Record
from tests.unit.domain.worlds import TEAMS, folded, stored

LOG = "0123456789abcdef"
ROOMY = 10_000_000


def record(event_type: str, second: int, *, team: int = 1, actor: int | None = 9, offset: int | None = None, **data: Any) -> Record:
    """A record of a team's event; the later the ``second``, the higher its rank."""
    at = f"2026-11-23T10:00:{second:02d}.000000Z"
    event = UnifiedEvent(f"team:{team}", f"e{second}", event_type, team, actor, at, {"teamId": team, **data})
    return Record(event, Source(event_type, 0, second if offset is None else offset, 1000))


def entry_of(one: Record, offset: int) -> Entry:
    return entry_at(LOG, offset, one.event.key.encode(), encode(one.event), headers_for(one.source), one.source.timestamp)


def shared(event: UnifiedEvent, source: Source) -> SharedRecord:
    """A record as it comes to a view."""
    return SharedRecord(UnifiedRecord(event, source))


def unreadable(offset: int, key: str = "team:1") -> Entry:
    """What stands in the log and is no unified record."""
    return entry_at(LOG, offset, key.encode(), b'{"eventId":"x","type":"team.member_added"}', [], 0)


def rows_of(records: list[Record], key: str) -> list[tuple[str, bytes]]:
    """A key's rows, as their owner has them when it has folded these records."""
    kind, _, number = key.partition(":")
    prefixes = (f"team/{number}", f"member/{number}/", f"task/{number}/") if kind == "team" else (f"user/{number}", f"task/user:{number}/")
    own, *families = prefixes
    rows = stored(folded(records))
    return [(name, value) for name, value in rows.items() if name == own or name.startswith(tuple(families))]


class Log:
    """One partition of the unified stream: what the tail hands on, and what the owner folds."""

    def __init__(self, ring_bytes: int = ROOMY) -> None:
        self.held = Ring(ring_bytes, 0, LOG)
        self.log_id = LOG
        self.records: list[Record | None] = []
        """By offset; ``None`` where the record is none that folds."""
        self.read_upto: list[bool] = []
        """What `wait_for` answered."""

    def offsets(self) -> dict[int, int]:
        return {0: len(self.records)}

    def next(self, partition: int) -> int:
        return self.offsets()[partition]

    def ring(self, partition: int) -> Ring:
        assert partition == 0
        return self.held

    async def wait_for(self, partition: int, offset: int, seconds: float) -> bool:
        assert partition == 0
        assert seconds >= 0
        self.read_upto.append(len(self.records) > offset)
        return self.read_upto[-1]

    async def end(self, partition: int) -> int:
        return self.offsets()[partition]

    def append(self, one: Record) -> Entry:
        entry = entry_of(one, len(self.records))
        self.records.append(one)
        self.held.append(entry)
        return entry

    def append_unreadable(self) -> Entry:
        entry = unreadable(len(self.records))
        self.records.append(None)
        self.held.append(entry)
        return entry

    def append_other(self, count: int) -> None:
        """Records of keys that nobody here listens to."""
        for _ in range(count):
            self.append(record("task.created", 0, team=77, offset=len(self.records), taskId=1, creatorId=9))

    def seed(self, upto: int, key: str) -> Seed:
        """What the owner of a key answers that has folded the records before ``upto``."""
        own = [entry_of(one, o) for o, one in enumerate(self.records[:upto]) if one is not None and one.event.key == key]
        last = (own[-1].offset, own[-1].check) if own else (-1, "")
        return Seed(upto - 1, rows_of(self.before(upto), key), *last)

    def before(self, offset: int) -> list[Record]:
        return [one for one in self.records[:offset] if one is not None]


class Owner:
    """Answers for rows and candidates; holds back, or refuses, when told to."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.behind = 0
        """How many records its fold is behind the log."""
        self.refuse = 0
        """Requests for rows that it refuses first."""
        self.refuse_candidates = 0
        self.held: list[asyncio.Future[None]] | None = None
        """Requests that wait for `release`; ``None``: none waits."""
        self.asked: list[str] = []
        self.teams: list[int] = list(TEAMS)

    async def rows(self, key: str, partition: int) -> Seed:
        assert partition == 0
        self.asked.append(key)
        if self.held is not None:
            waiting = asyncio.get_running_loop().create_future()
            self.held.append(waiting)
            await waiting
        if self.refuse:
            self.refuse -= 1
            raise Unavailable("not now")
        upto = max(0, len(self.log.records) - self.behind)
        return self.log.seed(upto, key)

    async def candidates(self, user_id: int, upto: int) -> list[int]:
        assert upto == len(self.log.records) - 1
        if self.refuse_candidates:
            self.refuse_candidates -= 1
            raise Unavailable("not now")
        return self.teams

    def release(self) -> None:
        assert self.held is not None
        waiting, self.held = self.held, []
        for one in waiting:
            if not one.done():
                one.set_result(None)


class FakeSink:
    """A socket that takes what is written while it is open, or some records until it blocks."""

    def __init__(self, room: int | None = None, *, rich: bool = False) -> None:
        self.room = room
        """Messages that it takes before it is not ready; ``None``: any number."""
        self.takes_snapshots = rich
        self.takes_runs = True
        self.writes = 0
        """How often something was written; what leaves together counts once."""
        self.entries: list[Entry] = []
        self.told: list[str] = []
        """Everything in order: events as ``42@7``, snapshots, and what is said of teams."""
        self.behind = 0
        self.given_up = 0
        self.disconnected = 0

    def ready(self) -> bool:
        return self.room is None or self.room > 0

    def write(self, entry: Entry) -> None:
        assert self.ready(), "written to a socket that takes nothing"
        self._note(entry)
        self.writes += 1

    def write_run(self, run: Run) -> None:
        assert self.ready(), "written to a socket that takes nothing"
        assert self.takes_runs
        assert run.frames == b"".join(entry.frame for entry in run.entries)
        for entry in run.entries:
            self._note(entry)
        self.writes += 1

    def _note(self, entry: Entry) -> None:
        self._take()
        assert entry.json
        self.entries.append(entry)
        self.told.append(f"event {entry.key}@{entry.offset}")

    def send(self, message: bytes) -> None:
        assert self.ready(), "written to a socket that takes nothing"
        self._take()
        self.told.append(message.decode())

    def _take(self) -> None:
        if self.room is not None:
            self.room -= 1

    def joined(self, team_id: int) -> None:
        self.told.append(f"joined {team_id}")

    def left(self, team_id: int, reason: str) -> None:
        self.told.append(f"left {team_id} {reason}")

    def gap(self, key: str, reason: str) -> None:
        self.told.append(f"gap {key} {reason}")

    def fell_behind(self) -> None:
        self.behind += 1

    def unavailable(self) -> None:
        self.given_up += 1

    def disconnect(self) -> bool:
        self.disconnected += 1
        return self.disconnected == 1

    def offsets(self, key: str) -> list[int]:
        return [entry.offset for entry in self.entries if entry.key == key]

    def messages(self) -> list[dict[str, Any]]:
        return [orjson.loads(entry.json) for entry in self.entries]


def listener_of(user: int, sink: FakeSink, wanted: frozenset[int] | None = None) -> Listener:
    """A connection that follows all of the user's teams, or some."""
    return Listener(user, sink, everything=wanted is None, wanted=wanted or frozenset())


def encoded(feed: Feed) -> list[bytes]:
    """A snapshot in one part, which tells the offset that it was taken at and whether it is shown to members only."""
    return [f"snapshot {feed.key}@{feed.head}".encode()]


class Clock:
    """The hub's clock: it goes on only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def turns(count: int = 12) -> None:
    """Let whatever is ready run: nothing here waits for time."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(condition: Any, limit: int = 400) -> None:
    """Let others run until the condition holds."""
    for _ in range(limit):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it did not come to that")


class Client:
    """An honest client of one team, who has never heard of ranks: puts ``state`` in place, and else applies ``data``."""

    def __init__(self) -> None:
        self.team: dict[str, Any] | None = None
        self.members: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, dict[str, Any]] = {}

    def snapshot(self, team: dict[str, Any] | None, members: list[dict[str, Any]], tasks: list[dict[str, Any]]) -> None:
        self.team = team
        self.members = {member["userId"]: member for member in members}
        self.tasks = {task["taskId"]: task for task in tasks}

    def take(self, message: dict[str, Any]) -> None:
        kind, data, at = message["type"], message["data"], message["timestamp"]
        if "state" in message:
            self._replace(kind, data, message["state"])
        elif kind == "team.deleted":
            self.snapshot(None, [], [])
        elif kind == "task.deleted":
            self.tasks.pop(data["taskId"], None)
        elif kind == "team.member_removed":
            self.members.pop(data["userId"], None)
        elif kind.startswith("team.member_"):
            self.members[data["userId"]] = {"userId": data["userId"], "role": data["role"]}
        elif kind.startswith("task."):
            empty = dict.fromkeys(("title", "description", "completed", "priority", "due", "creatorId", "assigneeId", "createdAt"))
            task = {**empty, **self.tasks.get(data["taskId"], {}), **data, "updatedAt": at}
            task.pop("teamId", None)
            if kind == "task.created":
                task["createdAt"] = at
            self.tasks[data["taskId"]] = task
        else:
            fields = ("name", "description", "ownerId")
            held = self.team or {"teamId": data["teamId"], **dict.fromkeys(fields)}
            self.team = {**held, **{name: data[name] for name in fields if name in data}, "updatedAt": at}
            if kind == "team.created":
                owner = data.get("ownerId") or message["actorId"]
                self.members[owner] = {"userId": owner, "role": "owner"}

    def _replace(self, kind: str, data: dict[str, Any], state: dict[str, Any] | None) -> None:
        if kind.startswith("task."):
            held, name = self.tasks, data["taskId"]
        elif kind.startswith("team.member_"):
            held, name = self.members, data["userId"]
        else:
            self.team = state
            return
        held.pop(name, None)
        if state is not None:
            held[name] = state

    def holds(self) -> tuple[Any, list[Any], list[Any]]:
        """As a snapshot: team, members and tasks, sorted by id."""
        return self.team, [self.members[one] for one in sorted(self.members)], [self.tasks[one] for one in sorted(self.tasks)]


def feed_of(ring: Ring, seed: Seed) -> Feed:
    """A team's feed, from a seed on."""
    return Feed("team:1", 0, ring, seed, encoded, lambda _feed: None, RecentRecords(), Rounds(lambda: 0.0))


def hub_of(log: Log, owner: Owner) -> Hub:
    """A hub on one partition, not started."""
    hub = Hub(Settings(_env_file=None), Seeds(owner.rows, owner.candidates), {"team.events": 1}, encoded, RecentRecords())
    hub.tail = log  # type: ignore[assignment]
    return hub
