"""What a rich client is owed: across all its connections every event behind its position, once, in order, or a gap and a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.check_plain import place
from tests.chaos.history import ClientHistory, Message, Session, offset_of
from tests.chaos.replica import Replica, subject_key
from tests.chaos.unified import Log, Stream, canonical
from tests.chaos.verdict import Verdict

SnapshotOf = Callable[[Stream, int], str]


@dataclass(slots=True)
class Progress:
    """How far a client has come in one stream."""

    next: int | None = None
    """Index of the event that comes next; ``None`` before the first snapshot or event."""
    based: bool = False
    """Whether a snapshot has come."""
    gap: bool = False
    """Whether a gap has been announced and its snapshot is due."""
    asked: bool = False
    """Whether it began with a subscribe, whose answer begins with the snapshot."""
    seen: set[int] = field(default_factory=set)


class RichCheck:
    """Replays one client's messages against the log."""

    def __init__(self, client: ClientHistory, log: Log, verdict: Verdict, snapshot_of: SnapshotOf | None) -> None:
        self._client = client
        self._name = client.name
        self._user = client.user_id
        self._log = log
        self._verdict = verdict
        self._snapshot_of = snapshot_of
        self._replica = Replica(client.user_id)
        self._streams: dict[str, Progress] = {}

    def run(self, ends: dict[str, Message] | None, *, complete: bool) -> None:
        """Judge everything that the client got, and where it stands at the end."""
        for number, session in enumerate(self._client.sessions):
            self._name = f"{self._client.name}#{number}"
            self._connect(session)
            for message in session.messages:
                self._take(message, session)
        if complete:
            self._finish(ends)

    def _connect(self, session: Session) -> None:
        self._replica.connected()
        if not session.subscribed:
            return
        for key in [key for key in self._streams if key not in session.since]:
            del self._streams[key]
        for progress in self._streams.values():
            progress.gap = False

    def _take(self, message: Message, session: Session) -> None:
        kind = message["type"]
        if kind == "reply":
            self._reply(message, session)
        elif kind == "gap":
            self._verdict.gaps[message["reason"]] += 1
            self._streams.setdefault(subject_key(message), Progress()).gap = True
        elif kind == "left":
            self._left(message)
        elif "." in kind:
            self._event(message)
        whole = self._replica.take(message)
        if whole is not None:
            self._snapshot(whole)

    def _reply(self, message: Message, session: Session) -> None:
        for team_id in message.get("refused", ()):
            self._streams.pop(f"team:{team_id}", None)
        for name in message.get("positions", {}):
            key = f"user:{self._user}" if name == "me" else f"team:{name}"
            if key not in session.since:
                self._streams[key] = Progress(asked=True)

    def _event(self, message: Message) -> None:
        found = place(message, self._user, self._log, self._verdict, self._name)
        if found is None:
            return
        stream, index = found
        where = f"{self._name} {stream.key}@{stream.offsets[index]}"
        progress = self._streams.setdefault(stream.key, Progress())
        if progress.gap or (progress.asked and not progress.based):
            self._verdict.add("misordered", f"{where} came before the snapshot that was due")
        if progress.next is None:
            if not progress.asked and not stream.makes_member(self._user, index):
                self._verdict.add("misordered", f"{where} is the first of its subscription, and not what made user {self._user} a member")
        elif index < progress.next:
            again = index in progress.seen
            self._verdict.add("repeated" if again else "misordered", f"{where} came behind @{stream.offsets[progress.next - 1]}")
            return
        elif not progress.gap:
            self._missing(stream, progress.next, index)
        progress.seen.add(index)
        progress.next = index + 1

    def _missing(self, stream: Stream, start: int, end: int) -> None:
        missing = [stream.offsets[index] for index in range(start, end) if stream.may_see(self._user, index)]
        if missing:
            self._verdict.add("lost", f"{self._name} (user {self._user}) missed {stream.key}@{missing[:5]}", len(missing))

    def _snapshot(self, whole: Message) -> None:
        key, offset = subject_key(whole), offset_of(whole["position"])
        stream = self._log.stream(key)
        count = stream.upto(offset)
        where = f"{self._name} snapshot of {key}@{offset}"
        self._verdict.snapshots += 1
        if not stream.member(self._user, count):
            self._verdict.add("leaked", f"{where} shows user {self._user} what is not theirs")
        progress = self._streams.setdefault(key, Progress())
        if progress.next is not None:
            if count < progress.next:
                self._verdict.add("misordered", f"{where} goes back behind @{stream.offsets[progress.next - 1]}")
            elif progress.based and not progress.gap:  # the first one of a subscription takes the place of what it contains
                self._missing(stream, progress.next, count)
        progress.next, progress.based, progress.gap = count, True, False
        names = ("user", "tasks") if key.startswith("user:") else ("team", "members", "tasks")
        if self._snapshot_of is not None:
            shown, right = canonical({name: whole[name] for name in names}), self._snapshot_of(stream, count)
            if shown != right:
                self._verdict.add("wrong_state", f"{where}: shown {difference(shown, right)}")

    def _left(self, message: Message) -> None:
        key = f"team:{message['teamId']}"
        stream, progress = self._log.stream(key), self._streams.pop(key, None)
        if progress is None or progress.next is None:
            return
        if progress.next > 0 and not stream.member(self._user, progress.next):
            return
        end = next((index for index in range(progress.next, len(stream.events)) if stream.ends_member(self._user, index)), None)
        if end is None:
            self._verdict.add("wrong_state", f"{self._name}: left {key}, and nothing in the log says so")
        else:
            self._missing(stream, progress.next, end + 1)

    def _finish(self, ends: dict[str, Message] | None) -> None:
        sessions = self._client.sessions
        if not sessions or sessions[-1].closed is not None or not sessions[-1].subscribed:
            self._verdict.add("lost", f"{self._client.name} is not connected at the end")
            return
        for key, stream in self._log.streams.items():
            progress = self._streams.get(key)
            if not stream.member(self._user, len(stream.events)):
                if progress is not None and key.startswith("team:"):
                    self._missing(stream, progress.next or 0, len(stream.events))
                    self._verdict.add("lost", f"{self._name}: nothing said that user {self._user} left {key}")
                continue
            if progress is None or not progress.based or progress.gap or progress.next is None:
                self._verdict.add("lost", f"{self._name} (user {self._user}) has no snapshot of {key}: {progress}")
                continue
            self._missing(stream, progress.next, len(stream.events))
            if ends is not None:
                copy = self._replica.copies.get(key)
                names = ("user", "tasks") if key.startswith("user:") else ("team", "members", "tasks")
                right = canonical({name: ends[key][name] for name in names})
                shown = canonical(copy.state(key)) if copy is not None else "nothing"
                if shown != right:
                    self._verdict.add("wrong_state", f"{self._name} holds of {key} {difference(shown, right)}")


def difference(shown: str, right: str) -> str:
    """Where two long texts part."""
    at = next((index for index, (one, other) in enumerate(zip(shown, right, strict=False)) if one != other), min(len(shown), len(right)))
    start = max(0, at - 120)
    return f"…{shown[start : at + 160]}…, right …{right[start : at + 160]}…"
