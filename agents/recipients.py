"""Recipients: who gets a mail about an event, from the event and the rows at its point of the log.

A mail never says what is not so: an event that is outranked (a removal of someone who was added again later, an update of
a task that is gone) mails nobody about what it did not do.

A repeat must find nobody whom the first time did not: whoever became assignee or member in between. It changes no row, so
what changes none (or says the same at the same time again) counts only what was already so at the event's own time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple

from app.domain import state as states
from app.domain.events import UnifiedEvent
from app.domain.fold import Delta, owner_of
from app.domain.ranks import timestamp_of
from app.domain.rows import Row, member_row_key, personal_task_row_key, task_row_key, team_row_key

Rows = Callable[[str], Row | None]
"""The rows by key, as they stand before or after the event."""


class Recipient(NamedTuple):
    """Someone who gets a mail."""

    user_id: int
    reason: str
    """One of `app.domain.requests.REASONS`."""


class Mailing(NamedTuple):
    """Who gets a mail about one event, and what it calls things."""

    recipients: tuple[Recipient, ...]
    team_name: str | None = None
    task_title: str | None = None


NOBODY = Mailing(())
_CONCERNED: Final = ("creatorId", "assigneeId")
"""Whom a task's event may reach."""


def mailing(event: UnifiedEvent, says: Iterable[Delta], before: Rows, after: Rows) -> Mailing:
    """Who gets a mail about an event; nobody about an act of their own, except the welcome.

    Reads the rows of the event's task, team and of those concerned: as many for a large team as for a small one.

    Args:
        event: the event; of a type that we do not know: nobody.
        says: what it folds to.
        before: rows before it was folded.
        after: rows afterwards.
    """
    seen = _Seen(event, before, after, fresh=any(_is_news(before(key), delta) for key, delta in says))
    kind, _, verb = event.type.partition(".")
    if kind == "task":
        return _of_task(seen, ends=verb == "deleted")
    if event.type == "user.created":
        # Whose address is taken away, as by `forget`, is not welcomed; one that is not named may be on its way.
        return NOBODY if event.data.get("email", "") is None else Mailing((Recipient(event.data["userId"], "welcome"),))
    if kind == "team" and verb.startswith("member_"):
        return _of_member(seen, removed=verb == "member_removed")
    if event.type in {"team.created", "team.updated", "team.deleted"}:
        return _of_team(seen, ends=verb == "deleted")
    return NOBODY


def mailing_of_later(event: UnifiedEvent, after: Rows) -> Mailing:
    """`mailing` about a task event that `later_event.fold` folds: all that it says is news, and its task is there."""
    return _of_task(_Seen(event, after, after, fresh=True), ends=False)


def concerned(event: UnifiedEvent, *rows: Row | None) -> list[Any]:
    """Whom a task event and its row, before and afterwards, name as creator or assignee, as they stand there."""
    said = [event.data.get(field) for field in _CONCERNED]
    return said + [row.fields[field][1] for row in rows if row is not None for field in _CONCERNED if field in row.fields]


def is_only(user_id: int | None, named: Iterable[Any]) -> bool:
    """Whether nobody but this user is named. Where that is who acted, nobody gets a mail about a task, whatever else is so."""
    return all(one is None or (type(one) is int and one == user_id) for one in named)


class _Seen(NamedTuple):
    """An event between the rows before and after it."""

    event: UnifiedEvent
    before: Rows
    after: Rows
    fresh: bool
    """Whether it says anything that was not said before."""

    @property
    def team_id(self) -> int:
        assert self.event.team_id is not None  # noqa: S101  (asked for events of teams only)  # nosec B101
        return self.event.team_id

    def at_its_time(self, rank: str) -> bool:
        """Whether what has this rank counts for the event."""
        return self.fresh or timestamp_of(rank) <= self.event.timestamp

    def named(self, row: Row | None, field: str) -> int | None:
        """Whom a field names: as the row has it, else as the event says; of what came later, only what the event says too."""
        pair = row.fields.get(field) if row else None
        said = _id(self.event.data.get(field))
        if pair is None:
            return said
        return _id(pair[1]) if self.at_its_time(pair[0]) or pair[1] == said else None

    def is_member(self, rows: Rows, user_id: int) -> bool:
        row = rows(member_row_key(self.team_id, user_id))
        deleted = states.deleted_rank(rows(team_row_key(self.team_id)))
        return row is not None and states.member_role(row, deleted) is not None and self.at_its_time(row.marks["added"])

    def team_name(self) -> str | None:
        if self.event.team_id is None:
            return None
        for rows in (self.after, self.before):
            row = rows(team_row_key(self.team_id))
            pair = row.fields.get("name") if row else None
            if row and pair and pair[0] > (states.deleted_rank(row) or ""):
                return _text(pair[1])
        return _text(self.event.data.get("name")) if self.event.type.startswith("team.") else None

    def others(self, *wanted: tuple[int | None, str]) -> tuple[Recipient, ...]:
        """Those who are somebody, each once, and not the one who acted."""
        found: dict[int, Recipient] = {}
        for user_id, reason in wanted:
            if user_id is not None and user_id != self.event.actor_id:
                found.setdefault(user_id, Recipient(user_id, reason))
        return tuple(found.values())


def _of_task(seen: _Seen, *, ends: bool) -> Mailing:
    event, task_id = seen.event, seen.event.data["taskId"]
    personal = event.team_id is None
    key = personal_task_row_key(int(event.key.removeprefix("user:")), task_id) if personal else task_row_key(seen.team_id, task_id)

    def visible(rows: Rows) -> Row | None:
        row, deleted = rows(key), None if personal else states.deleted_rank(rows(team_row_key(seen.team_id)))
        if row is None or not states.task_exists(row, deleted):
            return None
        return row if deleted is None else Row(row.marks, {name: pair for name, pair in row.fields.items() if pair[0] > (deleted or "")})

    now, then = visible(seen.after), visible(seen.before)
    if ends == (now is not None):
        return NOBODY
    row = now or then
    creator, assignee = seen.named(row, "creatorId"), seen.named(row, "assigneeId")
    pair = row.fields.get("title") if row else None
    title = _text(pair[1] if pair else event.data.get("title"))
    if personal:  # it reaches its creator alone
        return Mailing(seen.others((creator, "creator")), None, title)
    recipients = seen.others((assignee, "assignee"), (creator, "creator"))
    return Mailing(tuple(one for one in recipients if seen.is_member(seen.after, one.user_id)), seen.team_name(), title)


def _of_member(seen: _Seen, *, removed: bool) -> Mailing:
    user_id = seen.event.data["userId"]
    if removed:
        deleted = states.deleted_rank(seen.after(team_row_key(seen.team_id)))
        concerned = states.member_role(seen.after(member_row_key(seen.team_id, user_id)), deleted) is None
    else:
        concerned = seen.is_member(seen.after, user_id)
    return Mailing(seen.others((user_id, "member")), seen.team_name()) if concerned else NOBODY


def _of_team(seen: _Seen, *, ends: bool) -> Mailing:
    event, key = seen.event, team_row_key(seen.team_id)
    now = seen.after(key)
    if ends:
        if now is None or now.marks.get("created", "") > now.marks.get("deleted", ""):
            return NOBODY
        # The rows as they were: the deletion hides them. Whoever is known to have left does not hear of it any more.
        owner = seen.named(seen.before(key), "ownerId")
        if owner is None or seen.is_member(seen.after, owner):
            return NOBODY
        left = seen.before(member_row_key(seen.team_id, owner)) is not None and not seen.is_member(seen.before, owner)
        return NOBODY if left else Mailing(seen.others((owner, "owner")), seen.team_name())
    owner = seen.named(now, "ownerId")
    if owner is None and event.type == "team.created":
        owner = owner_of(event)
    if owner is None or not seen.is_member(seen.after, owner):
        return NOBODY
    return Mailing(seen.others((owner, "owner")), seen.team_name())


def _is_news(row: Row | None, delta: Row) -> bool:
    """Whether a delta says anything that its row has not held yet: another value, or the same at a later time."""
    if row is None:
        return True
    for name, rank in delta.marks.items():
        known = row.marks.get(name)
        if known is None or timestamp_of(rank) > timestamp_of(known):
            return True
    floor = row.marks.get("deleted") or row.marks.get("removed") or ""
    for name, (rank, value) in delta.fields.items():
        held = row.fields.get(name)
        if rank <= floor or (held is not None and rank <= held[0]):
            continue
        if held is None or timestamp_of(rank) > timestamp_of(held[0]) or held[1] != value:
            return True
    return False


def _id(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None


def _text(value: Any) -> str | None:
    return value if type(value) is str and value.strip() else None
