"""A rich client's copy of the server's state, kept the way the protocol says, and no more clever."""

from __future__ import annotations

from typing import Any

from tests.chaos.history import Message, key_of

TASK_FIELDS = ("title", "description", "completed", "priority", "due", "creatorId", "assigneeId")
TEAM_FIELDS = ("name", "description", "ownerId")


class Copy:
    """What a client holds of one team, or of its own stream."""

    def __init__(self) -> None:
        self.position: str | None = None
        """Where to go on from; none before the first whole snapshot."""
        self.subject: Message | None = None
        self.members: dict[int, Message] = {}
        self.tasks: dict[int, Message] = {}
        self._parts: list[Message] = []

    def state(self, key: str) -> Message:
        """In the shape of a snapshot."""
        tasks = [self.tasks[one] for one in sorted(self.tasks)]
        if key.startswith("user:"):
            return {"user": self.subject, "tasks": tasks}
        return {"team": self.subject, "members": [self.members[one] for one in sorted(self.members)], "tasks": tasks}

    def part(self, message: Message) -> Message | None:
        """Take a part of a snapshot; the whole of it with the last one."""
        if message["part"] == 1:
            self._parts = []
        self._parts.append(message)
        if message["part"] != message["parts"]:
            return None
        whole = dict(self._parts[0])
        for name in ("members", "tasks"):
            if name in whole:
                whole[name] = [one for part in self._parts for one in part[name]]
        self.position = whole["position"]
        self.subject = whole.get("team", whole.get("user"))
        self.members = {one["userId"]: one for one in whole.get("members", ())}
        self.tasks = {one["taskId"]: one for one in whole["tasks"]}
        return whole

    def event(self, message: Message) -> None:
        """Apply an event; what comes before the first snapshot changes nothing, since that will have it."""
        if self.position is None:
            return
        self.position = message["position"]
        kind, _, verb = message["type"].partition(".")
        data, carries = message["data"], "state" in message
        if kind == "task":
            state = message["state"] if carries else self._task(verb, data, message["timestamp"])
            _put(self.tasks, data["taskId"], state)
        elif kind == "user":
            given = {"userId": data["userId"], **{name: data.get(name) for name in ("username", "email")}}
            self.subject = message["state"] if carries else given
        elif verb.startswith("member_"):
            state = message["state"] if carries else None
            if not carries and verb != "member_removed":
                state = {"userId": data["userId"], "role": data["role"]}
            _put(self.members, data["userId"], state)
        else:
            self._team(verb, message)

    def _task(self, verb: str, data: Message, timestamp: str) -> Message | None:
        if verb == "deleted":
            return None
        task: dict[str, Any] = dict(
            self.tasks.get(data["taskId"]) or {"taskId": data["taskId"], **dict.fromkeys(TASK_FIELDS), "createdAt": None}
        )
        task |= {name: value for name, value in data.items() if name not in ("taskId", "teamId")}
        if verb == "created":
            task["createdAt"] = timestamp
        return task | {"updatedAt": timestamp}

    def _team(self, verb: str, message: Message) -> None:
        data = message["data"]
        if "state" in message:
            self.subject = message["state"]
        elif verb != "deleted":
            before = self.subject or {"teamId": data["teamId"], **dict.fromkeys(TEAM_FIELDS)}
            self.subject = before | {name: data[name] for name in TEAM_FIELDS if name in data} | {"updatedAt": message["timestamp"]}
        if verb == "created":
            owner = data["ownerId"] if data.get("ownerId") is not None else message["actorId"]
            self.members[owner] = {"userId": owner, "role": "owner"}


def _put(into: dict[int, Message], number: int, state: Message | None) -> None:
    if state is None:
        into.pop(number, None)
    else:
        into[number] = state


class Replica:
    """Everything that a rich client holds."""

    def __init__(self, user_id: int) -> None:
        self._user_id = user_id
        self.copies: dict[str, Copy] = {}

    def since(self) -> dict[str, str]:
        """Positions to go on from, by key."""
        return {key: copy.position for key, copy in self.copies.items() if copy.position is not None}

    def connected(self) -> None:
        """A new connection: what had no snapshot yet begins anew."""
        self.copies = {key: copy for key, copy in self.copies.items() if copy.position is not None}

    def take(self, message: Message) -> Message | None:
        """Take a message of the server; a whole snapshot with its last part."""
        kind = message["type"]
        if kind == "snapshot":
            return self.copies.setdefault(subject_key(message), Copy()).part(message)
        if kind == "left":
            self.copies.pop(f"team:{message['teamId']}", None)
        elif kind == "reply":
            for team_id in message.get("refused", ()):
                self.copies.pop(f"team:{team_id}", None)
        elif "." in kind:
            self.copies.setdefault(key_of(message), Copy()).event(message)
        return None


def subject_key(message: Message) -> str:
    """The key that a snapshot or gap is of."""
    return f"team:{message['teamId']}" if message.get("teamId") is not None else f"user:{message['userId']}"
