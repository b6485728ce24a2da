"""The one rule that says from where on a member gets a team's events."""

from __future__ import annotations

from collections.abc import Sequence

from app.domain.errors import BadRecord
from app.domain.fold import owner_of
from delivery.entry import Entry, type_of

_TELLING = frozenset({"team.created", "team.deleted", "team.member_added", "team.member_removed"})


def first_position(entries: Sequence[Entry], user_id: int, after: int) -> int:
    """The offset behind which a user, a member at the end of ``entries``, gets every record.

    All of them, when nothing in the range says anything of their membership. Else what came before the last record
    that made them a member cannot be proven to be theirs: they begin with that record.

    Args:
        entries: The team's records behind ``after``, oldest first.
        user_id: Whose membership it is.
        after: The offset behind which they would begin.
    """
    made: int | None = None
    touched = False
    for entry in entries:
        kind = type_of(entry.value)
        if kind not in _TELLING:
            continue
        try:
            event = entry.record.event
        except BadRecord:
            continue
        makes = kind == "team.created" and owner_of(event) == user_id
        if kind.startswith("team.member_") and event.data["userId"] == user_id:
            makes = kind == "team.member_added"
        elif kind not in ("team.created", "team.deleted"):
            continue
        touched = True
        if makes:
            made = entry.offset - 1
    if made is not None:
        return made
    # Touched, and no record here made them a member: nothing before the end is proven.
    return entries[-1].offset if touched else after
