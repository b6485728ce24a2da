"""Looking into the table: the rows under the four names that people know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from app.domain import state as states
from app.domain.rows import decode
from app.kafka.partitioner import partition_of
from tables.table import StateTable

TABLES: Final = {"teams": "team/", "members": "member/", "tasks": "task/", "users": "user/"}
"""What people ask for, and the prefix of its rows."""
_ID = "[1-9][0-9]*"
KEYS: Final = {
    "teams": re.compile(_ID),
    "members": re.compile(f"{_ID}/{_ID}"),
    "tasks": re.compile(f"(user:)?{_ID}/{_ID}"),
    "users": re.compile(_ID),
}
PAGE = 500


@dataclass(slots=True, frozen=True)
class Found:
    """A row as people see it."""

    key: str
    """Without the family: ``42``, ``42/7`` (team, user), ``42/1001`` (team, task) or ``user:7/1001``."""
    value: dict[str, Any]
    partition: int


def partition_holding(name: str, key: str, partitions: int) -> int:
    """The one partition that a row can be in, of ``partitions``.

    Raises:
        ValueError: No row of that table has such a key.
    """
    if not KEYS[name].fullmatch(key):
        raise ValueError(key)
    owner = key if name in ("teams", "users") else key.rpartition("/")[0]
    if not owner.startswith("user:"):
        owner = f"user:{owner}" if name == "users" else f"team:{owner}"
    return partition_of(owner.encode(), partitions)


def page(table: StateTable, name: str, prefix: str, after: str, limit: int) -> list[Found]:
    """Rows of the partitions that this worker answers for, sorted by key, behind the key ``after``, at most ``limit``."""
    found: list[Found] = []
    for partition in table.answerable():
        found += islice(_rows(table, name, partition, prefix, after), limit)
    found.sort(key=lambda one: one.key)
    return found[:limit]


def count(table: StateTable, name: str, partition: int) -> int:
    """How many rows a partition has under a name."""
    return sum(1 for _ in _rows(table, name, partition, "", ""))


def _rows(table: StateTable, name: str, partition: int, prefix: str, after: str) -> Iterator[Found]:
    """Visible rows in key order, read a page at a time so that no iterator of the database stays open."""
    family = TABLES[name]
    start = (family + after + "\0").encode() if after else None
    while True:
        rows = table.rows.scan(partition, (family + prefix).encode(), start, PAGE)
        for raw, value in rows:
            key = raw.decode().removeprefix(family)
            seen = _visible(table, name, partition, key, value)
            if seen is not None:
                yield Found(key, seen, partition)
        if len(rows) < PAGE:
            return
        start = rows[-1][0] + b"\0"


def _visible(table: StateTable, name: str, partition: int, key: str, value: bytes) -> dict[str, Any] | None:
    stored = decode(value)
    owner, _, number = key.rpartition("/")
    if name == "users":
        return states.user_state(int(key), stored)
    if name == "teams":
        return states.team_state(int(key), stored, _has_members(table, partition, key))
    deleted = None if owner.startswith("user:") else states.deleted_rank(table.row(partition, f"team/{owner}"))
    if name == "members":
        member = states.member_state(int(number), stored, deleted)
        return None if member is None else {"teamId": int(owner), **member}
    task = states.task_state(int(number), stored, deleted)
    return None if task is None else {"teamId": None if owner.startswith("user:") else int(owner), **task}


def _has_members(table: StateTable, partition: int, team: str) -> bool:
    deleted = states.deleted_rank(table.row(partition, f"team/{team}"))
    return any(states.member_role(decode(value), deleted) for _key, value in table.rows.scan(partition, f"member/{team}/".encode()))
