"""Rows: what is known of one team, member, task or user, in a form that merges in any order.

A row keeps, beside every value, the rank of the event that gave it. Rows form a semilattice: ``merge`` is commutative, associative and
idempotent, so that any order and any repetition of one entity's events, on any number of writers, comes to the same row.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from app.domain import compact_json
from app.domain.named_tuple import new

TASK_FIELDS: Final = ("title", "description", "completed", "priority", "due", "creatorId", "assigneeId")
TEAM_FIELDS: Final = ("name", "description", "ownerId")
MEMBER_FIELDS: Final = ("role",)
USER_FIELDS: Final = ("username", "email")
KNOWN_FIELDS: Final = frozenset(TASK_FIELDS + TEAM_FIELDS + MEMBER_FIELDS + USER_FIELDS)

MAX_FIELDS: Final = 128
"""Unknown fields that one row keeps: twice what one event may carry, so that the newest event's are always among them."""


class Row(NamedTuple):
    """What is known of one thing; never changed in place, since rows share their parts."""

    marks: dict[str, str]
    """Name of something that happened (``created``, ``deleted``, ``added``, ``removed``, ``changed``, ``seen``) to its newest rank."""
    fields: dict[str, tuple[str, Any]]
    """Name of a field to the rank of its newest value, and that value."""


EMPTY: Final = Row({}, {})
"""Nothing known: what merges into any row without changing it."""


def team_row_key(team_id: int) -> str:
    """Key of a team's own row."""
    return f"team/{team_id}"


def member_row_key(team_id: int, user_id: int) -> str:
    """Key of one user's membership in one team."""
    return f"member/{team_id}/{user_id}"


def task_row_key(team_id: int, task_id: int) -> str:
    """Key of a team's task."""
    return f"task/{team_id}/{task_id}"


def personal_task_row_key(user_id: int, task_id: int) -> str:
    """Key of a task that belongs to its creator alone."""
    return f"task/user:{user_id}/{task_id}"


def user_row_key(user_id: int) -> str:
    """Key of a user's own row."""
    return f"user/{user_id}"


def candidate_row_key(user_id: int, team_id: int) -> str:
    """Key of a team that a user may be a member of; the team's own rows decide."""
    return f"candidate/{user_id}/{team_id}"


def merge(a: Row, b: Row) -> Row:
    """The newest of both rows, mark by mark and field by field; neither is changed.

    A field that the row's own deletion (or a member's removal) outranks is left out: no event can make it visible again. Of the fields that
    we do not know, the ``MAX_FIELDS`` newest stay. Both choices depend only on ranks, and what they drop would be dropped in any order.

    Returns:
        ``a`` itself when ``b`` adds nothing, so that the caller can skip a write.
    """
    marks = a.marks
    for name, at in b.marks.items():
        known = marks.get(name)
        if known is None or at > known:
            if marks is a.marks:
                marks = marks.copy()
            marks[name] = at

    fields = a.fields
    floor = _floor(marks)
    if floor and marks is not a.marks and floor != _floor(a.marks):
        visible = {name: pair for name, pair in fields.items() if pair[0] > floor}
        if len(visible) != len(fields):
            fields = visible

    grown = False
    for name, pair in b.fields.items():
        if pair[0] <= floor:
            continue
        held = fields.get(name)
        if held is None:
            grown = True
        elif not _newer(pair, held):
            continue
        if fields is a.fields:
            fields = fields.copy()
        fields[name] = pair
    if grown and len(fields) > MAX_FIELDS:
        fields = _bounded(fields)
        if len(fields) == len(a.fields) and all(a.fields.get(name) is pair for name, pair in fields.items()):
            fields = a.fields

    if marks is a.marks and fields is a.fields:
        return a
    return Row(marks, fields)


def encode(row: Row) -> bytes:
    """Compact JSON, the same bytes for equal rows: ``{"f":{"title":[0,"x"]},"m":{"created":0},"r":["<rank>"]}``.

    Ranks are long and mostly shared (one event gives several fields), so they stand once, in ``r``, and are named by index.
    """
    ranks = sorted({*row.marks.values(), *[pair[0] for pair in row.fields.values()]})
    index = {rank: position for position, rank in enumerate(ranks)}
    return compact_json.dumps(
        {
            "f": {name: (index[rank], value) for name, (rank, value) in row.fields.items()},
            "m": {name: index[rank] for name, rank in row.marks.items()},
            "r": ranks,
        },
        option=orjson.OPT_SORT_KEYS,
    )


def decode(data: bytes) -> Row:
    """The row that ``encode`` wrote.

    Raises:
        ValueError: the bytes are no row.
    """
    try:
        stored = orjson.loads(data)
        ranks = stored["r"]
        marks = {name: ranks[position] for name, position in stored["m"].items()}
        return new(Row, (marks, {name: (ranks[position], value) for name, (position, value) in stored["f"].items()}))
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"no row: {data[:100]!r}") from error


def _floor(marks: dict[str, str]) -> str:
    """The rank that a field must exceed: a row has a ``deleted`` or a ``removed`` mark, never both."""
    return marks.get("deleted") or marks.get("removed") or ""


def _newer(pair: tuple[str, Any], held: tuple[str, Any]) -> bool:
    """Whether ``pair`` replaces ``held``.

    One record says one thing, so equal ranks mean equal values, unless two versions of this program read the record differently. Even then
    the merge must come out alike on both sides: the greater encoding stays.
    """
    if pair[0] != held[0]:
        return pair[0] > held[0]
    return _text(pair[1]) > _text(held[1])


def _text(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _bounded(fields: dict[str, tuple[str, Any]]) -> dict[str, tuple[str, Any]]:
    """The known fields, and the newest of the others."""
    unknown = sorted(((pair[0], name) for name, pair in fields.items() if name not in KNOWN_FIELDS), reverse=True)
    dropped = {name for _, name in unknown[MAX_FIELDS:]}
    return {name: pair for name, pair in fields.items() if name not in dropped}
