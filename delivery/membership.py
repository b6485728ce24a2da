"""Who is a member, and the one rule that says from where on a member gets a team's events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from app.domain.errors import BadRecord
from app.domain.fold import owner_of
from app.domain.ranks import rank, timestamp_of
from delivery.entry import Entry, type_of
from delivery.view import View

_TELLING = frozenset({"team.created", "team.deleted", "team.member_added", "team.member_removed"})


def is_member(user_id: int, view: View) -> bool:
    """Whether what a view shows is a user's to see, by what has been read of the log: their team's, or their own stream."""
    return view.user_id == user_id if view.team_id is None else view.role(user_id) is not None


def is_touched(entries: Sequence[Entry], user_id: int) -> bool:
    """Whether a range of a team's records says anything of a user's membership."""
    return next(_telling(entries, user_id), None) is not None


def first_position(entries: Sequence[Entry], user_id: int, after: int, removed: str, added: str = "") -> int:
    """The offset behind which a user, a member at the end of ``entries``, gets every record.

    All of them, when nothing in the range says anything of their membership. Else they begin with the first record that
    makes them a member and that no removal outranks, whenever it comes: from there on they are one, whatever follows.
    What came before it cannot be proven to be theirs.

    A repeat says nothing: the record that it repeats, of the same event time, said it before. Unless a removal and what
    made them a member are of one time: then the times of the source records decide, and a repeat has another.

    Args:
        entries: The team's records behind ``after``, oldest first.
        user_id: Whose membership it is.
        after: The offset behind which they would begin.
        removed: Rank of the newest removal of the user or deletion of the team, the end of ``entries`` included; empty for none.
        added: Rank of the newest record that made them a member, likewise.
    """
    touched = False
    certain = timestamp_of(removed) != timestamp_of(added)
    for offset, made in _telling((entry for entry in entries if not (entry.skipped and certain)), user_id):
        touched = True
        if made > removed:
            return offset - 1
    # Touched, and nothing here proves that they are a member: nothing before the end is proven.
    return entries[-1].offset if touched else after


def _telling(entries: Iterable[Entry], user_id: int) -> Iterator[tuple[int, str]]:
    """The records that say something of a user's membership: their offset, and their rank if they make the user a member, else nothing."""
    for entry in entries:
        kind = type_of(entry.value)
        if kind not in _TELLING:
            continue
        try:
            event, source = entry.record()
        except BadRecord:
            continue
        makes = kind == "team.created" and owner_of(event) == user_id
        if kind.startswith("team.member_"):
            if event.data["userId"] != user_id:
                continue
            makes = kind == "team.member_added"
        yield entry.offset, rank(kind, event.timestamp, source) if makes else ""
