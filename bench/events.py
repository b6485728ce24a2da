"""The events that the benchmark writes: what task services write, with a mark in the title that says which it is and when it was sent.

The title is the first member of the payload, so that the mark is told from the one in the `state` that an outranked event carries.
"""

from __future__ import annotations

import datetime as dt
import re
import time
from typing import NamedTuple

MARK = re.compile(rb'\{"title": ?"#(\d{30})')
"""Run (4 digits), index of the team (5), number of the event in its team (6), microseconds of the monotonic clock when it was sent (15)."""
TAG_DIGITS = 9
"""Run and team."""
SEQUENCE_END = 15
TASKS_PER_TEAM = 50
TASK_IDS = 100_000
"""Ids of tasks that a team may have."""
NEW_TASK = 50_000
#: Of twenty events of a team, once its tasks are there. Nearly all that goes on in a team is work on tasks that are there.
MIX = ("task.created", "task.completed", *["task.updated"] * 18)
FOREIGN_EVERY = 10
"""Of so many events one is about a task that somebody else created: it asks for a mail."""


class Record(NamedTuple):
    """What is sent to a source topic."""

    topic: str
    key: bytes
    value: bytes


def now_us() -> int:
    """Microseconds of the clock that all processes of the machine share."""
    return time.monotonic_ns() // 1000


def timestamp() -> str:
    """RFC 3339, microseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def record(run: int, team: int, number: int, *, team_id: int, owner: int, member: int, create: bool = False) -> Record:
    """The event with this number in a team, as it is now; ``create``: each makes a task of its own."""
    first = create or number < TASKS_PER_TEAM
    topic = "task.created" if first else MIX[number % len(MIX)]
    task = team_id * TASK_IDS + (number if first else NEW_TASK + number if topic == "task.created" else number % TASKS_PER_TEAM)
    creator = member if number % FOREIGN_EVERY == 0 else owner
    mark = f"{run:04}{team:05}{number:06}{now_us():015}"
    done = "true" if topic == "task.completed" else "false"
    value = (
        f'{{"eventType":"{topic}","taskId":{task},"teamId":{team_id},"actorId":{owner},"creatorId":{creator},"assigneeId":{owner},'
        f'"timestamp":"{timestamp()}","payload":{{"title":"#{mark} Write the quarterly report","description":'
        f'"Numbers from finance, then the summary for the board","completed":{done},"priority":"high","due":"2030-12-01T17:00:00Z"}}}}'
    )
    return Record(topic, b"task:%d" % task, value.encode())
