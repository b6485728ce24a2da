"""From where on a member gets a team's events: all of a range that says nothing of their membership, else from what made them one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.entry import Entry
from delivery.membership import first_position
from delivery.view import View
from tests.unit.delivery.fakes import entry_of, record, rows_of, unreadable
from tests.unit.domain.naive_model import NaiveModel, Record
from tests.unit.domain.worlds import USERS, histories

ME, OTHER = 1, 2
AFTER = 9
"""The offset behind which the range begins: its records stand at 10, 11, …"""

task = record("task.created", 30, taskId=1, creatorId=ME)
renamed = record("team.updated", 31, name="x")
owned = record("team.updated", 31, ownerId=ME)
promoted = record("team.member_role_updated", 32, userId=ME, role="admin")
added = record("team.member_added", 33, userId=ME, role="member")
added_again = record("team.member_added", 34, userId=ME, role="member")
late_removal = record("team.member_removed", 1, userId=ME)
removed = record("team.member_removed", 33, userId=ME, offset=0)
removed_then = record("team.member_removed", 33, userId=ME)
created_by_me = record("team.created", 33, ownerId=ME)
created_by_actor = record("team.created", 33, actor=ME)
created_by_other = record("team.created", 2, ownerId=OTHER)
deleted_late = record("team.deleted", 3)
other_added = record("team.member_added", 33, userId=OTHER, role="member")
other_removed = record("team.member_removed", 33, userId=OTHER)


def entries(records: Sequence[Record | None], first: int = AFTER + 1) -> list[Entry]:
    return [unreadable(offset) if one is None else entry_of(one, offset) for offset, one in enumerate(records, first)]


def repeated(one: Entry) -> Entry:
    """As the duplicate window marks it."""
    one.skipped = True
    return one


def addition(records: Sequence[Record | None], user: int = ME) -> str:
    """Rank of the newest record that made a user a member, as a view knows it that has folded these records."""
    return View("team:1", -1, rows_of([one for one in records if one is not None], "team:1")).added(user)


def removal(records: Sequence[Record | None], user: int = ME) -> str:
    """Rank of the newest removal of a user, as a view knows it that has folded these records."""
    return View("team:1", -1, rows_of([one for one in records if one is not None], "team:1")).removed(user)


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        # Nothing of their membership: all of it.
        ([], AFTER),
        ([task], AFTER),
        ([task, renamed, owned, promoted], AFTER),
        ([other_added, task, other_removed], AFTER),
        ([None, task, None], AFTER),
        # Something that makes them a member: from there on, itself included.
        ([task, added], 10),
        ([task, created_by_me], 10),
        ([task, created_by_actor], 10),
        ([task, task, added, task, task], 11),
        ([task, removed, task, added_again], 12),
        ([task, added, removed, added_again, task], 12),
        # The first of several.
        ([task, added, added_again], 10),
        ([task, created_by_me, added], 10),
        # Unless a removal outranks it, whether it came before, after or in between.
        ([task, added, removed_then, added_again], 12),
        ([task, added, added_again, removed_then], 11),
        ([removed_then, added, added_again], 11),
        # Touched, and nothing that makes them one: nothing before the end is proven.
        ([task, late_removal, task], 12),
        ([created_by_other, task], 11),
        ([deleted_late], 10),
        # What made them a member is in the range: what touches it later, without effect, takes nothing away.
        ([task, added, late_removal, task], 10),
        ([task, added, created_by_other, task], 10),
        ([task, created_by_me, deleted_late], 10),
        ([late_removal, task, added], 11),
    ],
)
def test_where_a_member_begins(records: list[Record | None], expected: int) -> None:
    assert first_position(entries(records), ME, AFTER, removal(records)) == expected


@pytest.mark.parametrize("touches", [late_removal, created_by_other, deleted_late])
def test_a_member_made_by_the_first_record_of_the_range_begins_with_it_whatever_touches_it_later(touches: Record) -> None:
    assert first_position(entries([added, task, touches, task]), ME, AFTER, removal([added, task, touches, task])) == AFTER


@given(histories())
def test_a_member_gets_no_record_of_a_time_when_they_were_none(history: list[Record]) -> None:
    own = [one for one in history if one.event.key == "team:1"]
    for user in USERS:
        for start in range(len(own)):
            if NaiveModel(own).role(1, user) is None:
                continue
            begin = first_position(entries(list(own[start:]), start), user, start - 1, removal(own, user))
            for offset in range(begin + 1, len(own)):
                before, after = NaiveModel(own[:offset]).role(1, user), NaiveModel(own[: offset + 1]).role(1, user)
                assert before or after, "a record of a time when they were no member"


@given(histories())
def test_a_new_member_whom_nobody_removes_begins_with_the_record_that_made_them_one(history: list[Record]) -> None:
    own = [one for one in history if one.event.key == "team:1" and one.event.type not in ("team.deleted", "team.member_removed")]
    for user in USERS:
        if NaiveModel(own).role(1, user) is not None:
            made = next(offset for offset in range(len(own)) if NaiveModel(own[: offset + 1]).role(1, user) is not None)
            assert first_position(entries(list(own), 0), user, -1, removal(own, user)) == made - 1


@pytest.mark.parametrize("again", [added, created_by_me])
def test_a_repeat_of_what_made_them_a_member_takes_away_nothing(again: Record) -> None:
    records = [task, task, again, task]
    range_ = entries(records)
    repeated(range_[2])
    assert first_position(range_, ME, AFTER, removal([again, *records]), addition([again, *records])) == AFTER


def test_a_repeat_of_an_old_removal_takes_away_nothing() -> None:
    before, records = [late_removal, added], [task, late_removal, task]
    range_ = entries(records)
    repeated(range_[1])
    assert first_position(range_, ME, AFTER, removal([*before, *records]), addition([*before, *records])) == AFTER


def test_where_what_ended_and_what_made_a_membership_are_of_one_time_a_repeat_may_have_made_it() -> None:
    before = [added, removed_then]
    again = replace(added, source=added.source._replace(offset=7, timestamp=2000))
    records = [task, again, task]
    range_ = entries(records)
    repeated(range_[1])
    assert NaiveModel(before).role(1, ME) is None
    assert NaiveModel([*before, again]).role(1, ME) is not None
    assert first_position(range_, ME, AFTER, removal([*before, *records]), addition([*before, *records])) == AFTER + 1


@given(histories(), st.data())
def test_with_repeats_nobody_gets_a_record_of_a_time_when_they_were_no_member(history: list[Record], data: st.DataObject) -> None:
    own = [one for one in history if one.event.key == "team:1"]
    log = [(one, False) for one in own]
    for _ in range(data.draw(st.integers(0, 3)) if own else 0):
        at = data.draw(st.integers(0, len(log) - 1))
        behind = data.draw(st.integers(at + 1, len(log)))
        # The same source record once more, or what its producer sent twice: of another place and time.
        source = log[at][0].source._replace(offset=900 + len(log), timestamp=data.draw(st.sampled_from([0, 1000, 2000, 9000])))
        again = data.draw(st.sampled_from([log[at][0], replace(log[at][0], source=source)]))
        log.insert(behind, (again, True))
    folded = [one for one, _ in log]
    for user in USERS:
        if NaiveModel(folded).role(1, user) is None:
            continue
        for start in range(len(log)):
            range_ = entries([one for one, _ in log[start:]], start)
            for entry, (_, repeats) in zip(range_, log[start:], strict=True):
                entry.skipped = repeats
            begin = first_position(range_, user, start - 1, removal(folded, user), addition(folded, user))
            for offset in range(begin + 1, len(log)):
                before, after = NaiveModel(folded[:offset]).role(1, user), NaiveModel(folded[: offset + 1]).role(1, user)
                assert before or after or log[offset][1], "a record of a time when they were no member"
