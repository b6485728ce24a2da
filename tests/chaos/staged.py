"""A round without a cluster: a log, and clients that got exactly what is theirs. What the checker's own tests then spoil."""

from __future__ import annotations

import json
from typing import Any

from tests.chaos.history import ClientHistory, Evidence, Expected, LogRecord, Message, Session
from tests.chaos.unified import Log, Stream, end_state, state_at

TEAM, OTHER, OWNER, MEMBER, STRANGER = 1, 2, 7, 8, 9
OPENED = 1_000_000.0
"""When the clients were connected: before everything that is written `live`."""


class Stage:
    """Writes a log by hand, each record with the source record that it came of."""

    def __init__(self) -> None:
        self.log: list[LogRecord] = []
        self.sources: list[LogRecord] = []
        self.dead: list[LogRecord] = []
        self.acked: dict[tuple[str, int, int], Expected] = {}
        self._at = 0

    def write(self, kind: str, team: int | None, *, event_id: str | None = None, user: int | None = None, **data: Any) -> LogRecord:
        """A source record and its unified one; the later, the newer."""
        self._at += 1
        stamp, place = int(OPENED) + 1000 * (self._at - 10), (kind, 0, self._at)
        source = LogRecord(*place, stamp, None, b"{}", ())
        names = {"topic": kind, "partition": 0, "offset": self._at, "timestamp": stamp}
        headers = tuple((f"source-{name}", str(value).encode()) for name, value in names.items())
        key = f"team:{team}" if team else f"user:{user}"
        if team:
            data = {"teamId": team, **data}
        if user:
            data = {"userId": user, **data}
        body = {
            "eventId": event_id or "-".join(map(str, names.values())),
            "type": kind,
            "teamId": team,
            "actorId": OWNER,
            "timestamp": f"2026-11-23T10:{self._at // 60:02}:{self._at % 60:02}.000000Z",
            "data": data,
        }
        record = LogRecord("team.events", 0, len(self.log), stamp, key.encode(), json.dumps(body).encode(), headers)
        self.log.append(record)
        self.sources.append(source)
        self.acked[place] = Expected(key, None)
        return record

    def again(self, record: LogRecord) -> LogRecord:
        """The same record once more, as after a crash."""
        copy = LogRecord(record.topic, 0, len(self.log), record.timestamp, record.key, record.value, record.headers)
        self.log.append(copy)
        return copy

    def bad(self) -> None:
        """A source record that became a dead letter."""
        self._at += 1
        source = LogRecord("task.created", 0, self._at, 5, b"k", b"nonsense", ())
        headers = (("error-code", b"not-json"), ("source-topic", b"task.created"), ("source-partition", b"0"))
        self.dead.append(
            LogRecord("task.created.deadletter", 0, 0, 5, b"k", b"nonsense", (*headers, ("source-offset", str(self._at).encode())))
        )
        self.sources.append(source)
        self.acked["task.created", 0, self._at] = Expected(None, "not-json")


def story() -> Stage:
    """Two teams; in the first one a member is removed and comes back, tasks come and go."""
    stage = Stage()
    stage.write("team.created", TEAM, ownerId=OWNER, name="One")
    stage.write("team.member_added", TEAM, user=MEMBER, role="member")
    stage.write("team.created", OTHER, ownerId=STRANGER, name="Two")
    for _ in range(8):
        stage.write("user.created", None, user=OWNER, username="o", email="o@example.org")
    for number in (1, 2, 3):
        first = stage.write("task.created", TEAM, taskId=number, creatorId=OWNER, title=f"Task {number}")
    stage.again(first)
    stage.write("task.updated", OTHER, taskId=4, creatorId=STRANGER, title="Not yours")
    stage.write("task.deleted", TEAM, taskId=2, creatorId=OWNER)
    stage.write("team.member_removed", TEAM, user=MEMBER)
    stage.write("task.updated", TEAM, taskId=1, creatorId=OWNER, title="While away")
    stage.write("team.member_added", TEAM, user=MEMBER, role="admin")
    stage.write("task.updated", TEAM, taskId=1, creatorId=OWNER, title="Last")
    stage.bad()
    return stage


def message_of(stream: Stream, index: int) -> Message:
    """An event as a server sends it; none of the story's needs a state."""
    event = stream.events[index]
    message: Message = json.loads(event.body) | {"position": position_of(event.offset)}
    return message


def position_of(offset: int) -> str:
    """A position like the service's."""
    return f"{offset + 1:016x}-{'0' * 16}-{'0' * 16}"


def snapshot_of(stream: Stream, count: int) -> Message:
    """A snapshot behind the first ``count`` events."""
    kind, _, number = stream.key.partition(":")
    position = position_of(stream.offsets[count - 1] if count else 0)
    head = {"type": "snapshot", "teamId" if kind == "team" else "userId": int(number), "position": position, "part": 1, "parts": 1}
    return head | state_at(stream, count)


def evidence(stage: Stage) -> Evidence:
    """Everything as it should be: a plain and a rich client of the member, a rich one of the owner, one worker."""
    log = Log(stage.log, 100_000)
    found = Evidence(stage.log, stage.sources, stage.dead, stage.acked, [])
    for name, user in (("plain", MEMBER), ("rich", MEMBER), ("owner", OWNER)):
        found.clients.append(_client(name, user, log))
    ends = {key: end_state(stream) for key, stream in log.streams.items()}
    rows: dict[str, list[dict[str, Any]]] = {"teams": [], "members": [], "tasks": [], "users": []}
    for key, state in ends.items():
        number = key.partition(":")[2]
        if key.startswith("team:"):
            rows["teams"].append({"key": number, "value": state["team"]})
            rows["members"] += [{"key": f"{number}/{one['userId']}", "value": {"teamId": int(number), **one}} for one in state["members"]]
            rows["tasks"] += [{"key": f"{number}/{one['taskId']}", "value": {"teamId": int(number), **one}} for one in state["tasks"]]
        else:
            rows["users"].append({"key": number, "value": state["user"]})
    found.tables = {"one": rows}
    found.teams = {"one": {team: ends[f"team:{team}"] for team in (TEAM, OTHER)}}
    return found


def _client(name: str, user: int, log: Log) -> ClientHistory:
    """Connected once, between the story's tenth and eleventh record."""
    rich = name != "plain"
    session = Session("one", OPENED + 500, subscribed=rich)
    history = ClientHistory(name, user, rich, [session])
    mine = [stream for stream in log.streams.values() if stream.key in (f"user:{user}", f"team:{TEAM}")]
    if rich:
        names = {("me" if stream.key.startswith("user:") else stream.key.partition(":")[2]): position_of(0) for stream in mine}
        session.messages.append({"type": "reply", "id": 1, "ok": True, "positions": names, "refused": []})
    for stream in mine:
        start = next((index for index, event in enumerate(stream.events) if event.appended > session.opened), len(stream.events))
        if rich:
            session.messages.append(snapshot_of(stream, start))
        for index in range(start, len(stream.events)):
            if not stream.may_see(user, index):
                continue
            if rich and stream.makes_member(user, index):
                session.messages += [
                    {"type": "joined", "teamId": TEAM},
                    message_of(stream, index),
                    snapshot_of(stream, index + 1),
                ]
                continue
            session.messages.append(message_of(stream, index))
            if rich and stream.ends_member(user, index):
                session.messages.append({"type": "left", "teamId": TEAM, "reason": "removed"})
    return history
