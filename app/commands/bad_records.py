"""Records that are no events, one for each way in which producers in the field go wrong."""

from __future__ import annotations

import random

from app.domain.topics import SOURCE_TOPICS

_BAD: tuple[bytes | None, ...] = (
    None,
    b"",
    b"hello",
    b'{"taskId": 1, "teamId": 101',
    b"\xff\xfe not text",
    b"[1, 2, 3]",
    b"{}",
    b'{"taskId": "1", "teamId": "101", "userId": "7", "actorId": "7"}',
    b'{"taskId": 1, "teamId": 101, "userId": 7, "actorId": 9007199254740993}',
    b'{"eventType": "something.else", "taskId": 1, "teamId": 101, "userId": 7, "actorId": 7}',
    b'{"taskId": 1, "teamId": 101, "userId": 7, "actorId": 7, "timestamp": "yesterday"}',
    b'{"taskId": 1, "teamId": 101, "userId": 7, "actorId": 7, "payload": "none"}',
    b'{"taskId": 1, "teamId": 101, "userId": 7, "actorId": 7, "payload": {"title": NaN}}',
)


def bad_record(rng: random.Random) -> tuple[str, bytes | None]:
    """A source topic, and a value that is no event of it."""
    topic = rng.choice(SOURCE_TOPICS)
    bad = [value for value in _BAD if value is None or topic != "user.created" or b"9007199254740993" not in value]
    return topic, rng.choice(bad)
