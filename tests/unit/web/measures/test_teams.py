"""Teams: which are busy, how far each is folded, and how many are told of."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import Moved
from delivery.entry import entry_at
from delivery.ring import Ring
from tests.unit.delivery.fakes import LOG
from web.measures.teams import Progress, capped, folded, progress


class Partition:
    """One partition: what the tail has read of it, and how far it is folded."""

    def __init__(self, *keys: str, upto: int, budget: int = 10**6) -> None:
        self.ring = Ring(budget, 0, LOG)
        for offset, key in enumerate(keys):
            self.ring.append(entry_at(LOG, offset, key.encode(), b"{}", [], (1000 + offset) * 1000))
        self.upto = upto


def world(*partitions: Partition) -> tuple[Any, Any]:
    def folded_upto(number: int) -> int:
        if partitions[number].upto < -1:
            raise Moved("not here")
        return partitions[number].upto

    def read(number: int, key: bytes) -> bytes | None:
        """The row of a key's newest record that is folded."""
        name = key.decode().removeprefix("last/")
        entries = [entry for entry in reversed(list(partitions[number].ring.newest(10**6))) if entry.offset <= partitions[number].upto]
        mine = [entry.offset for entry in entries if entry.key == name]
        return f"{mine[-1]} {mine[-1]:016x}".encode() if mine else None

    table = SimpleNamespace(owned=lambda: set(range(len(partitions))), folded=folded_upto, rows=SimpleNamespace(read=read))
    return table, SimpleNamespace(ring=lambda number: partitions[number].ring)


async def ages(*partitions: Partition, limit: int = 10, now: float = 2000.0) -> dict[int, float]:
    table, tail = world(*partitions)
    return {one.team_id: one.age_seconds(folded(table), now) for one in await progress(table, tail, limit)}


async def test_a_team_whose_events_are_all_folded_is_not_behind() -> None:
    assert await ages(Partition("team:4", "team:4", upto=1)) == {4: 0.0}


async def test_a_team_is_as_far_behind_as_its_oldest_event_that_is_not_folded() -> None:
    assert await ages(Partition("team:4", "team:5", "team:4", "team:4", upto=1)) == {4: 2000.0 - 1002.0, 5: 0.0}


async def test_what_was_folded_since_it_was_looked_for_is_not_behind() -> None:
    table, tail = world(Partition("team:4", "team:4", upto=0))
    [found] = await progress(table, tail, 10)

    assert found.age_seconds({0: 0}, 2000.0) == 999.0
    assert found.age_seconds({0: 1}, 2000.0) == 0.0


async def test_a_position_is_that_of_the_newest_folded_event() -> None:
    table, tail = world(Partition("team:4", "team:4", "team:5", upto=1))
    found = {one.team_id: one.position for one in await progress(table, tail, 10)}

    assert found == {4: f"{2:016x}-{LOG}-{1:016x}", 5: ""}


async def test_users_own_streams_and_foreign_keys_are_no_teams() -> None:
    assert await ages(Partition("user:7", "team:x", "team:4", upto=0)) == {4: 2000.0 - 1002.0}


async def test_a_partition_that_is_being_recovered_is_left_out() -> None:
    assert await ages(Partition("team:4", upto=-2), Partition("team:5", upto=0)) == {5: 0.0}


async def test_those_longest_behind_are_told_first_then_the_newest() -> None:
    quiet, behind = Partition("team:1", "team:2", upto=1), Partition("team:3", "team:4", upto=-1)

    assert list(await ages(quiet, behind)) == [3, 4, 2, 1]
    assert list(await ages(quiet, behind, limit=2)) == [3, 4]


def test_an_age_is_never_negative_however_the_clocks_differ() -> None:
    assert Progress(4, 0, "", 2001.0, 5, 2001.0).age_seconds({}, 2000.0) == 0.0


@pytest.mark.parametrize(
    ("limit", "told"),
    [(3, {"1": 5, "2": 9, "3": 1}), (2, {"1": 5, "2": 9, "other": 1}), (1, {"2": 9, "other": 6}), (0, {"other": 15})],
)
def test_the_largest_counts_stand_alone_and_the_sum_stays(limit: int, told: dict[str, int]) -> None:
    assert capped({1: 5, 2: 9, 3: 1}.items(), limit) == told
