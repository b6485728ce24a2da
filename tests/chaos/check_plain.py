"""What a plain client is owed: within one connection every event of its user's teams, once, in order."""

from __future__ import annotations

from tests.chaos.history import ClientHistory, Message, Session, key_of, offset_of
from tests.chaos.unified import MEMBERS, Log, Stream, canonical
from tests.chaos.verdict import Verdict

CLOCK_MS = 20.0
"""Broker and clients read one clock; a record stamped so shortly after the 101 may have been appended before it."""
HANDSHAKE_MS = 3_000.0
"""The server notes its place in the log before it answers; so long before the client has the answer, at most."""
JOIN_MS = 21_000.0
"""A join waits up to 20 s for a team's owner; only so long can a change of membership take away what came before it."""


def place(message: Message, user_id: int, log: Log, verdict: Verdict, name: str) -> tuple[Stream, int] | None:
    """Which event of the log a message is; what is none, a repeat, or somebody else's is counted here."""
    key, offset = key_of(message), offset_of(message["position"])
    stream = log.stream(key)
    verdict.delivered += 1
    if offset in stream.repeats:
        verdict.add("repeated", f"{name} got {key}@{offset}, which repeats a record before it")
        return None
    index = stream.index(offset)
    if index is None or stream.events[index].body != canonical({part: message[part] for part in MEMBERS}):
        verdict.add("wrong_state", f"{name} got {key}@{offset}, which is not in the log: {message!r:.300}")
        return None
    if not stream.may_see(user_id, index):
        verdict.add("leaked", f"{name} (user {user_id}) got {key}@{offset} ({message['type']})")
    return stream, index


def check_plain(client: ClientHistory, log: Log, verdict: Verdict, *, complete: bool) -> None:
    """Judge every connection of a plain client."""
    for number, session in enumerate(client.sessions):
        open_still = session.closed is None
        _check_session(f"{client.name}#{number}", client.user_id, session, log, verdict, to_the_end=complete and open_still)
    if complete and (not client.sessions or client.sessions[-1].closed is not None):
        verdict.add("lost", f"{client.name} is not connected at the end")


def _check_session(name: str, user_id: int, session: Session, log: Log, verdict: Verdict, *, to_the_end: bool) -> None:
    seen: dict[str, list[int]] = {}
    for message in session.messages:
        found = place(message, user_id, log, verdict, name)
        if found is None:
            continue
        stream, index = found
        before = seen.setdefault(stream.key, [])
        if index in before:
            verdict.add("repeated", f"{name} got {stream.key}@{stream.offsets[index]} again")
        elif before and index < before[-1]:
            verdict.add("misordered", f"{name} got {stream.key}@{stream.offsets[index]} behind @{stream.offsets[before[-1]]}")
        before.append(index)
    for key, stream in log.streams.items():
        if not (key in seen or to_the_end) or (key.startswith("user:") and key != f"user:{user_id}"):
            continue
        got = seen.get(key, [])
        end = len(stream.events) if to_the_end else max(got, default=-1) + 1
        start = _start(stream, user_id, session.opened, min(got, default=end), end)
        missing = [index for index in range(start, end) if index not in got and stream.may_see(user_id, index)]
        if missing:
            offsets = [stream.offsets[index] for index in missing]
            verdict.add("lost", f"{name} (user {user_id}) missed {key}@{offsets[:5]} of {len(got)} got", len(missing))


def _start(stream: Stream, user_id: int, opened: float, first: int, end: int) -> int:
    """The first event that the connection is owed.

    That is the first one appended after the 101 answer; where what lies between it and the first one that came speaks of
    the user's membership, only the first that came.
    """
    owed = next((index for index in range(end) if stream.events[index].appended > opened + CLOCK_MS), end)
    if owed >= first:
        return first
    joining = [index for index in range(owed, min(first + 1, end)) if stream.events[index].appended <= opened + JOIN_MS]
    noted = next((index for index in range(owed) if stream.events[index].appended > opened - HANDSHAKE_MS), owed)
    touched = [index for index in (*range(noted, owed), *joining) if stream.touches(user_id, index)]
    # What came before the last word on the membership may be withheld, until the join is done at the latest.
    bound = next((index for index in range(owed, end) if stream.events[index].appended > opened + JOIN_MS), end)
    return min(first, bound) if touched else owed
