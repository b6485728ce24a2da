"""Who reports a partition's lag: one worker at a time, whatever the group is doing."""

from __future__ import annotations

from collections.abc import Set
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from app.kafka.lag import GroupLag, Lag, PartitionLag
from web.measures.ownership import Partition, Sample, owned, reported


def group(state: str, *, assigned: dict[int, str | None]) -> GroupLag:
    partitions = tuple(PartitionLag("t", number, 0, 5, 5, None, member) for number, member in assigned.items())
    return GroupLag("g", state, len({member for member in assigned.values() if member}), partitions)


def sample(*mine: int) -> Sample:
    return Sample(Lag((), {}, {}), frozenset(("t", number) for number in mine))


def tps(*numbers: int) -> frozenset[Partition]:
    return frozenset(("t", number) for number in numbers)


def numbers(found: GroupLag, mine: Set[Partition] = frozenset(), *, speaks: bool) -> list[int]:
    return [one.partition for one in reported(found, mine, speaks=speaks)]


def test_an_owner_reports_what_it_owns_and_the_speaker_what_nobody_does() -> None:
    found = group("Stable", assigned={0: "a", 1: "b", 2: None})

    assert numbers(found, tps(0), speaks=False) == [0]
    assert numbers(found, tps(1), speaks=True) == [1, 2]


def test_of_a_group_without_members_the_speaker_reports_everything() -> None:
    found = group("Empty", assigned={0: None, 1: None})

    assert numbers(found, speaks=True) == [0, 1]
    assert numbers(found, speaks=False) == []


def test_in_a_rebalance_owners_go_on_and_nothing_is_said_to_be_nobodys() -> None:
    for state in ("PreparingRebalance", "CompletingRebalance"):
        assert numbers(group(state, assigned={0: None, 1: None}), tps(1), speaks=True) == [1]


def test_what_is_new_is_reported_from_the_second_measurement_on() -> None:
    assert owned(tps(0, 1), sample(0), None, alone=False) == tps()
    assert owned(tps(0, 1), sample(0, 1), sample(0), alone=False) == tps(0)
    assert owned(tps(0, 1), sample(0, 1), sample(0, 1), alone=False) == tps(0, 1)


def test_what_has_gone_is_reported_no_more_at_once() -> None:
    assert owned(tps(), sample(0), sample(0), alone=False) == tps()


def test_alone_there_is_nobody_to_wait_for() -> None:
    assert owned(tps(0), sample(), None, alone=True) == tps(0)


@given(st.lists(st.sampled_from([None, "a", "b"]), min_size=3, max_size=12), st.data())
def test_two_workers_never_report_the_same_partition(owners: list[str | None], data: st.DataObject) -> None:
    """Both measure once a round, at any moment of it. The group's assignment changes, and then stays for two rounds at least."""
    owners = [owner for owner in owners for _ in range(2)]
    seen: dict[str, list[tuple[Sample, GroupLag]]] = {"a": [], "b": []}
    for before, now in pairwise([owners[0], *owners]):
        for name, samples in seen.items():
            # A measurement of this round was made before the change, or after it.
            at = data.draw(st.sampled_from([before, now]))
            state = data.draw(st.sampled_from(["Stable", "PreparingRebalance"])) if at else "Empty"
            found = group(state, assigned={0: at if state == "Stable" else None})
            samples.append((sample(*((0,) if at == name else ())), found))
        told = []
        for name, samples in seen.items():
            latest, found = samples[-1]
            earlier = samples[-2][0] if len(samples) > 1 else None
            mine = owned(tps(0) if now == name else tps(), latest, earlier, alone=False)
            told += numbers(found, mine, speaks=name == "a")
        assert len(told) <= 1
