"""Folding one key's history anew, and comparing what comes of it with the rows that are stored; all of it pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from app.domain import state as states
from app.domain.fold import apply, deltas
from app.domain.positions import check
from app.domain.ranks import source_millis
from app.domain.rows import Row, encode, merge
from app.domain.unified import UnifiedRecord, parse
from app.kafka.record import Record

MARGIN_MS = 600_000
"""How far clocks may differ: what a rank says was written so shortly after the log's first record may have been written before it."""

Verdict = Literal["same", "different", "unproven"]


@dataclass(slots=True)
class Rebuilt:
    """The rows of one ``team:<id>`` or ``user:<id>``, folded from records."""

    key: str
    log_id: str
    rows: dict[str, Row] = field(default_factory=dict)
    last_offset: int = -1
    last_check: str = ""
    events: int = 0
    skipped: int = 0
    """Records with this key that are no unified records."""

    def fold(self, record: Record) -> UnifiedRecord | None:
        """Fold one record of this key; ``None`` for one that is no event: the fold agent skips it too."""
        try:
            found = parse(record.value, record.headers, record.key)
            says = deltas(found.event, found.source)
        except ValueError:
            self.skipped += 1
            return None
        if found.event.type.startswith("_"):
            return None  # it changes rows of another kind: where to look for the user's teams
        self.rows |= apply(self.rows.get, says)
        self.events += 1
        self.last_offset, self.last_check = record.offset, check(self.log_id, self.key, record.offset, record.headers)
        return found

    def seen(self, row_key: str) -> dict[str, Any] | None:
        """One row as people see it; ``None`` where there is none, or it is hidden by a deletion. A team's own row is left to `state`."""
        family, _, rest = row_key.partition("/")
        row, number = self.rows.get(row_key), rest.rpartition("/")[2]
        if row is None:
            return None
        if family == "user":
            return states.user_state(int(number), row)
        see = {"task": states.task_state, "member": states.member_state}[family]
        return see(int(number), row, self.deleted)

    @property
    def deleted(self) -> str | None:
        """The rank of the team's newest deletion; ``None`` where there is none, and for a user."""
        kind, _, number = self.key.partition(":")
        return states.deleted_rank(self.rows.get(f"team/{number}")) if kind == "team" else None

    def state(self) -> dict[str, Any]:
        """What people see of the rows."""
        kind, _, number = self.key.partition(":")
        own = f"{kind}/{number}"
        deleted = states.deleted_rank(self.rows.get(own)) if kind == "team" else None
        task_prefix = f"task/{number}/" if kind == "team" else f"task/{self.key}/"
        tasks = [states.task_state(one, row, deleted) for one, row in self._family(task_prefix)]
        told: dict[str, Any] = {"tasks": [task for task in tasks if task is not None]}
        if kind == "user":
            return {"user": states.user_state(int(number), self.rows.get(own)), **told}
        members = [states.member_state(one, row, deleted) for one, row in self._family(f"member/{number}/")]
        found = [member for member in members if member is not None]
        return {"team": states.team_state(int(number), self.rows.get(own), bool(found)), "members": found, **told}

    def _family(self, prefix: str) -> list[tuple[int, Row]]:
        return sorted(
            ((int(key.removeprefix(prefix)), row) for key, row in self.rows.items() if key.startswith(prefix)), key=lambda pair: pair[0]
        )


@dataclass(slots=True, frozen=True)
class Difference:
    """A row that is not as the log says."""

    row: str
    what: str
    proven: bool
    """False: the row rests on events that have expired, so the log cannot tell."""


def compare(rebuilt: Mapping[str, Row], stored: Mapping[str, Row], *, whole: bool, oldest_ms: int) -> list[Difference]:
    """What sets stored rows apart from those that come of the log.

    Args:
        rebuilt: folded from the log, or from a snapshot and the log behind it.
        stored: the table's.
        whole: whether ``rebuilt`` has everything that ever happened.
        oldest_ms: when the first record that the log still holds was written.
    """
    found = []
    for key in sorted(rebuilt.keys() | stored.keys()):
        ours, theirs = rebuilt.get(key), stored.get(key)
        if theirs is None:
            found.append(Difference(key, "the table lacks it", proven=True))
        elif ours is not None and merge(theirs, ours) is not theirs:
            found.append(Difference(key, f"the table lacks {', '.join(_newer(theirs, ours))}", proven=True))
        elif whole:
            if ours is None:
                found.append(Difference(key, "the log knows nothing of it", proven=True))
            elif encode(ours) != encode(theirs):
                found.append(Difference(key, f"the log does not say {', '.join(_newer(ours, theirs))}", proven=True))
        else:
            found += _unexplained(key, ours or Row({}, {}), theirs, oldest_ms)
    return found


def _unexplained(key: str, ours: Row, theirs: Row, oldest_ms: int) -> list[Difference]:
    """What a stored row says and the log does not: proven wrong where its event would still be in the log."""
    ranks = {name: rank for name, rank in theirs.marks.items() if rank and ours.marks.get(name) != rank}
    ranks |= {name: pair[0] for name, pair in theirs.fields.items() if ours.fields.get(name) != pair}
    wrong = sorted(name for name, rank in ranks.items() if source_millis(rank) >= oldest_ms + MARGIN_MS)
    if wrong:
        return [Difference(key, f"the log does not say {', '.join(wrong)}", proven=True)]
    return [Difference(key, f"the events of {', '.join(sorted(ranks))} have expired", proven=False)] if ranks else []


def _newer(row: Row, other: Row) -> list[str]:
    """Names of what ``other`` says and ``row`` does not."""
    marks = [name for name, rank in other.marks.items() if row.marks.get(name) != rank]
    return sorted({*marks, *(name for name, pair in other.fields.items() if row.fields.get(name) != pair)}) or ["something"]


def verdict(differences: list[Difference]) -> Verdict:
    """What the differences come to."""
    if any(one.proven for one in differences):
        return "different"
    return "unproven" if differences else "same"
