"""The table: changelog first, disk second; it answers for what it owns, once it is recovered, and never ahead of the fold."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from faust.types import TP

from app.domain.rows import Row, decode, encode
from app.errors import Moved, SendFailed
from app.kafka.partitioner import partition_of
from app.kafka.topics import CHANGELOG
from tables import inspect
from tables.changelog import META_KEY, last_row_key
from tables.inspect import Found
from tables.seed import candidates, seed
from tests.unit.delivery.fakes import record
from tests.unit.domain.worlds import stored
from tests.unit.tables.conftest import Tables

ROW = Row({"seen": ""}, {"name": ("1", "x")})
OTHER = Row({"seen": ""}, {"name": ("2", "y")})


# --- writing


async def test_the_changelog_has_a_batch_before_the_disk_has_it(tables: Tables) -> None:
    tables.own(0)
    tables.broker.look = lambda: tables.table.row(0, "team/1")
    await tables.table.write(0, {"team/1": encode(ROW)}, {}, 5)
    assert tables.broker.seen == [None]
    assert tables.table.row(0, "team/1") == ROW
    assert tables.table.rows.persisted_offset(TP(CHANGELOG, 0)) == 1


async def test_a_batch_that_the_changelog_does_not_take_is_nowhere(tables: Tables) -> None:
    tables.own(0, committed=3)
    tables.broker.fails = True
    with pytest.raises(SendFailed):
        await tables.table.write(0, {"team/1": encode(ROW)}, {"team:1": "5 ab"}, 5)
    assert tables.table.row(0, "team/1") is None
    assert tables.table.rows.read(0, META_KEY) is None
    assert tables.table.rows.persisted_offset(TP(CHANGELOG, 0)) is None
    assert tables.table.folded(0) == 2


async def test_every_batch_begins_with_the_highest_offset_that_it_may_contain(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(0, {"team/1": encode(ROW), "team/2": encode(ROW)}, {}, 5)
    await tables.table.write(0, {"team/1": encode(OTHER)}, {}, 9)
    assert [(sent.key, sent.value) for sent in tables.broker.held if sent.key == META_KEY] == [(META_KEY, b"5"), (META_KEY, b"9")]
    assert [sent.key for sent in tables.broker.held] == [META_KEY, b"team/1", b"team/2", META_KEY, b"team/1"]
    assert {(sent.topic, sent.partition) for sent in tables.broker.held} == {(CHANGELOG, 0)}


async def test_a_batch_that_is_folded_again_does_not_lower_it(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(0, {"team/1": encode(ROW)}, {}, 9)
    await tables.table.write(0, {"team/2": encode(ROW)}, {}, 5)
    assert tables.table.rows.read(0, META_KEY) == b"9"


async def test_what_changes_nothing_is_written_nowhere_and_still_counts_as_folded(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(0, {}, {}, 5)
    assert tables.broker.held == []
    assert tables.table.folded(0) == 5


async def test_the_last_record_of_a_key_is_kept_beside_the_rows(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(0, {}, {"team:1": "5 00000000000000ab"}, 5)
    assert tables.table.rows.read(0, last_row_key("team:1")) == b"5 00000000000000ab"


# --- answering


async def test_a_partition_that_is_read_from_its_committed_offset_is_folded_up_to_there(tables: Tables) -> None:
    tables.own(0, committed=7)
    assert tables.table.folded(0) == 6


async def test_a_partition_answers_nothing_before_it_has_folded_what_an_earlier_owner_wrote(tables: Tables) -> None:
    tables.table.rows.write(0, [(META_KEY, b"9")], 0)
    tables.own(0, committed=7)
    with pytest.raises(Moved, match="folded again"):
        tables.table.folded(0)
    await tables.table.write(0, {}, {}, 8)
    with pytest.raises(Moved, match="folded again"):
        tables.table.folded(0)
    await tables.table.write(0, {}, {}, 9)
    assert tables.table.folded(0) == 9


async def test_a_standby_never_answers(tables: Tables) -> None:
    tables.own(0)
    tables.table.rows._db_for_partition(1)
    with pytest.raises(Moved):
        tables.table.folded(1)


async def test_nothing_answers_while_the_group_rebalances_or_rows_are_recovered(tables: Tables) -> None:
    tables.own(0)
    tables.app.rebalancing = True
    with pytest.raises(Moved):
        tables.table.folded(0)
    tables.app.rebalancing = False
    tables.app.tables.actives_ready = False
    with pytest.raises(Moved):
        tables.table.folded(0)


async def test_a_partition_that_is_not_positioned_yet_does_not_answer(tables: Tables) -> None:
    tables.own(0)
    tables.begun_at.clear()
    with pytest.raises(Moved, match="not positioned"):
        tables.table.folded(0)


async def test_an_answer_is_waited_for_within_a_bound(tables: Tables) -> None:
    tables.own(0, committed=7)
    assert await tables.table.wait_folded(0, 0) == 6
    with pytest.raises(Moved):
        await tables.table.wait_folded(1, 0)


async def test_a_rebalance_forgets_how_far_partitions_were_folded(tables: Tables) -> None:
    tables.own(0, committed=7)
    await tables.table.write(0, {}, {}, 20)
    await tables.table.on_rebalance(set(), set(), set(), 1)
    assert tables.table.folded(0) == 6


# --- seeds

HISTORY = [
    record("team.created", 0, team=4, ownerId=1, name="four"),
    record("team.created", 1, team=42, ownerId=2, name="forty-two"),
    record("team.member_added", 2, team=4, userId=2, role="member"),
    record("team.member_added", 3, team=42, userId=3, role="member"),
    record("task.created", 4, team=4, taskId=7, creatorId=1, title="x"),
    record("task.created", 5, team=42, taskId=8, creatorId=1, title="y"),
    record("team.member_removed", 6, team=4, userId=2),
]


async def test_a_seed_is_every_row_of_a_team_tombstones_included_and_no_other_teams(tables: Tables) -> None:
    tables.own(0)
    rows = stored(await tables.fold(HISTORY))
    found = seed(tables.table, "team:4", 0)
    assert found.offset == len(HISTORY) - 1
    assert dict(found.rows) == {name: rows[name] for name in ("team/4", "member/4/1", "member/4/2", "task/4/7")}
    assert len(found.rows) == 4


async def test_a_seed_of_a_user_is_their_own_row_and_personal_tasks(tables: Tables) -> None:
    tables.own(0)
    held = {"user/1": ROW, "user/12": ROW, "task/user:1/5": ROW, "task/user:12/5": ROW, "candidate/1/4": ROW, "task/1/5": ROW}
    await tables.table.write(0, stored(held), {}, 0)
    assert [name for name, _ in seed(tables.table, "user:1", 0).rows] == ["user/1", "task/user:1/5"]


async def test_a_seed_says_which_record_of_the_key_is_the_newest(tables: Tables) -> None:
    tables.own(0)
    assert (seed(tables.table, "team:4", 0).last_offset, seed(tables.table, "team:4", 0).last_check) == (-1, "")
    await tables.table.write(0, {}, {"team:4": "17 00000000000000ab"}, 20)
    found = seed(tables.table, "team:4", 0)
    assert (found.offset, found.last_offset, found.last_check) == (20, 17, "00000000000000ab")


async def test_a_seed_of_a_key_that_was_never_heard_of_is_empty(tables: Tables) -> None:
    tables.own(0)
    assert seed(tables.table, "team:1", 0).rows == []


async def test_a_seed_is_refused_where_the_partition_is_not(tables: Tables) -> None:
    with pytest.raises(Moved):
        seed(tables.table, "team:4", 0)


# --- candidates


async def test_candidates_are_teams_that_a_user_was_added_to_later_than_removed_from(tables: Tables) -> None:
    tables.own(0, 1)
    held = {
        "candidate/7/30": Row({"added": "3"}, {}),
        "candidate/7/4": Row({"added": "3", "removed": "2"}, {}),
        "candidate/7/5": Row({"added": "3", "removed": "4"}, {}),
        "candidate/7/6": Row({"removed": "4"}, {}),
        "candidate/77/8": Row({"added": "3"}, {}),
    }
    for partition in (0, 1):
        await tables.table.write(partition, stored(held), {}, 10)
    assert await candidates(tables.table, 7, 2, 10) == [4, 30]


async def test_candidates_are_told_of_every_record_that_was_asked_for_or_not_at_all(tables: Tables) -> None:
    tables.own(0, 1)
    for partition in (0, 1):
        await tables.table.write(partition, {}, {}, 10)
    assert await candidates(tables.table, 7, 2, 10) == []
    with pytest.raises(Moved):
        await candidates(tables.table, 7, 2, 11, 0.01)


async def test_who_asks_for_what_is_about_to_be_folded_has_it_folded_at_once_and_waits_for_it(tables: Tables) -> None:
    tables.own(0, 1)
    for partition in (0, 1):
        await tables.table.write(partition, {}, {}, 10)
    assert [tables.table.wanted] == [False]
    asking = asyncio.ensure_future(candidates(tables.table, 7, 2, 11, 5.0))
    await asyncio.sleep(0)
    assert (tables.table.wanted, tables.hurried) == (True, 1)
    for partition in (0, 1):
        await tables.table.write(partition, stored({"candidate/7/4": Row({"added": "3"}, {})}), {}, 11)
    assert await asking == [4]
    assert [tables.table.wanted] == [False]


# --- looking in


async def test_people_see_what_is_there_and_no_tombstones(tables: Tables) -> None:
    tables.own(0)
    await tables.fold([*HISTORY, record("task.deleted", 9, team=42, taskId=8, creatorId=1), record("team.deleted", 9, team=42)])
    see = tables.table
    assert [found.key for found in inspect.page(see, "teams", "", "", 10)] == ["4"]
    assert [(found.key, found.value) for found in inspect.page(see, "members", "", "", 10)] == [
        ("4/1", {"teamId": 4, "userId": 1, "role": "owner"})
    ]
    assert [(found.key, found.value["title"], found.value["teamId"]) for found in inspect.page(see, "tasks", "", "", 10)] == [
        ("4/7", "x", 4)
    ]
    assert [inspect.count(see, name, 0) for name in inspect.TABLES] == [1, 1, 1, 0]


async def test_personal_tasks_belong_to_no_team(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(
        0, stored({"task/user:7/5": Row({"created": "x" * 60}, {"title": ("1", "mine")}), "user/7": Row({}, {})}), {}, 0
    )
    [found] = inspect.page(tables.table, "tasks", "user:7/", "", 10)
    assert (found.value["teamId"], found.value["title"]) == (None, "mine")
    assert inspect.page(tables.table, "users", "", "", 10) == [Found("7", {"userId": 7, "username": None, "email": None}, 0)]


@pytest.mark.parametrize(
    ("name", "key", "owner"),
    [
        ("teams", "42", "team:42"),
        ("members", "42/7", "team:42"),
        ("tasks", "42/1001", "team:42"),
        ("tasks", "user:7/1001", "user:7"),
        ("users", "7", "user:7"),
    ],
)
def test_a_row_is_in_the_partition_of_its_team_or_user(name: str, key: str, owner: str) -> None:
    assert inspect.partition_holding(name, key, 8) == partition_of(owner.encode(), 8)


@pytest.mark.parametrize(
    ("name", "key"), [("teams", "4/2"), ("teams", "x"), ("users", "07"), ("members", "4"), ("tasks", "team:4/1"), ("tasks", "/")]
)
def test_a_key_that_no_row_has_is_none(name: str, key: str) -> None:
    with pytest.raises(ValueError, match=key):
        inspect.partition_holding(name, key, 8)


async def test_rows_that_are_not_the_fold_yet_are_not_shown(tables: Tables) -> None:
    tables.own(0, 1)
    tables.table.rows.write(1, [(b"user/1", stored({"x": Row({}, {})})["x"])], 0)
    await tables.table.write(0, stored({"user/2": Row({}, {})}), {}, 0)
    tables.begun_at.clear()
    assert tables.table.answerable() == {0}
    assert [found.key for found in inspect.page(tables.table, "users", "", "", 10)] == ["2"]


async def test_a_page_is_sorted_over_partitions_begins_behind_a_key_and_is_no_longer_than_asked(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inspect, "PAGE", 2)
    tables.own(0, 1)
    for number in range(1, 13):
        await tables.table.write(number % 2, stored({f"user/{number}": Row({}, {})}), {}, number)
    keys = sorted(str(number) for number in range(1, 13))

    def page(prefix: str, after: str, limit: int) -> list[str]:
        return [found.key for found in inspect.page(tables.table, "users", prefix, after, limit)]

    assert page("", "", 100) == keys
    assert page("", "", 3) == keys[:3]
    assert page("", "11", 3) == ["12", "2", "3"]
    assert page("1", "", 100) == ["1", "10", "11", "12"]
    assert page("1", "10", 100) == ["11", "12"]
    assert page("9", "9", 100) == []
    assert sum(inspect.count(tables.table, "users", partition) for partition in (0, 1)) == 12


async def test_a_page_behind_a_key_that_sorts_before_its_prefix_is_the_whole_page(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(0, stored({f"user/{number}": Row({}, {}) for number in (1, 2, 40, 42)}), {}, 0)
    assert [found.key for found in inspect.page(tables.table, "users", "4", "1", 10)] == ["40", "42"]


async def test_a_partition_that_is_another_workers_is_not_looked_into(tables: Tables) -> None:
    tables.own(0)
    tables.table.rows.write(1, [(b"user/1", stored({"x": Row({}, {})})["x"])], 0)
    assert inspect.page(tables.table, "users", "", "", 10) == []


# --- a changelog that another writer still writes to


async def test_rows_are_read_as_they_are_stored(tables: Tables) -> None:
    tables.own(0)
    await tables.table.write(0, {"team/1": encode(ROW)}, {}, 0)
    assert tables.table.row(0, "team/1") == ROW == decode(tables.table.rows.read(0, b"team/1") or b"")
    assert tables.table.row(0, "team/2") is None


def test_a_table_has_a_folder_of_its_own(tmp_path: Path, tables: Tables) -> None:
    assert tables.table.rows.partition_path(0).is_relative_to(tmp_path)
