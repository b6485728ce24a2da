"""Seeds: what a worker that listens to a team needs of its owner to follow it from there on."""

from __future__ import annotations

from dataclasses import dataclass

from app.domain.events import user_key
from app.domain.rows import decode
from app.kafka.partitioner import partition_of
from tables.changelog import last_row_key
from tables.table import StateTable

FOLD_SECONDS = 1.0
"""How long an owner that is asked waits for its fold, before it says that it is not there yet."""


@dataclass(slots=True, frozen=True)
class Seed:
    """Rows of one key as they stood at an offset."""

    offset: int
    """They are the fold of every record of the partition up to here."""
    rows: list[tuple[str, bytes]]
    """Row keys, and rows as stored: ranks and tombstones included."""
    last_offset: int = -1
    """Offset of the key's newest record up to ``offset``; -1 when there never was any."""
    last_check: str = ""
    """The check value of that record's position."""


def seed(table: StateTable, key: str, partition: int) -> Seed:
    """The rows of ``team:<id>`` or ``user:<id>``.

    Raises:
        Moved: This worker is not the partition's owner, or not ready to answer for it.
    """
    offset = table.folded(partition)
    kind, _, number = key.partition(":")
    if kind == "team":
        own, prefixes = f"team/{number}", [f"member/{number}/", f"task/{number}/"]
    else:
        own, prefixes = f"user/{number}", [f"task/user:{number}/"]
    rows = []
    value = table.rows.read(partition, own.encode())
    if value is not None:
        rows.append((own, value))
    for prefix in prefixes:
        rows += [(name.decode(), value) for name, value in table.rows.scan(partition, prefix.encode())]
    last = table.rows.read(partition, last_row_key(key))
    last_offset, _, last_check = (b"-1" if last is None else last).partition(b" ")
    return Seed(offset, rows, int(last_offset), last_check.decode())


async def candidates(table: StateTable, user_id: int, partitions: int, upto: int, seconds: float = FOLD_SECONDS) -> list[int]:
    """Teams in which a user may be a member, sorted; of all records of the user's partition up to ``upto``, and maybe some later ones.

    Raises:
        Moved: This worker is not the owner of the user's partition, or has not folded it so far within ``seconds``.
    """
    partition = partition_of(user_key(user_id).encode(), partitions)
    await table.wait_folded_to(partition, upto, seconds)
    found = []
    for name, value in table.rows.scan(partition, f"candidate/{user_id}/".encode()):
        marks = decode(value).marks
        if marks.get("added", "") > marks.get("removed", ""):
            found.append(int(name.rpartition(b"/")[2]))
    return sorted(found)
