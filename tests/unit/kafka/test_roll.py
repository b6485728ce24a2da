"""The roll: the topic says what is true in the end, whatever came between."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.kafka.roll import Roll


def test_who_comes_is_written_once() -> None:
    roll = Roll()
    roll.come(7)
    roll.come(7)
    assert roll.take(10) == [(7, True)]
    roll.written([(7, True)], [100])
    assert roll.take(10) == []


def test_who_comes_and_goes_between_two_batches_is_never_written() -> None:
    roll = Roll()
    roll.come(7)
    roll.go(7)
    assert (roll.take(10), len(roll)) == ([], 0)


def test_many_are_written_a_batch_at_a_time() -> None:
    roll = Roll()
    for user_id in range(1, 2501):
        roll.come(user_id)
    sizes = []
    while batch := roll.take(1000):
        roll.written(batch, range(len(batch)))
        sizes.append(len(batch))
    assert sizes == [1000, 1000, 500]


def test_a_removal_by_another_worker_is_put_right() -> None:
    roll = Roll()
    roll.come(7)
    roll.written(roll.take(10), [100])
    roll.heard_removal(7, 150)
    assert roll.take(10) == [(7, True)]


def test_a_removal_of_before_is_old() -> None:
    roll = Roll()
    roll.come(7)
    roll.written(roll.take(10), [100])
    roll.heard_removal(7, 99)
    assert roll.take(10) == []


def test_what_may_or_may_not_be_written_is_written_again_as_it_is_now() -> None:
    roll = Roll()
    roll.come(7)
    batch = roll.take(10)
    roll.go(7)
    roll.refused(batch)
    assert roll.take(10) == [(7, False)], "the topic may name them"


STEPS = st.one_of(
    st.tuples(st.sampled_from(["come", "go"]), st.integers(1, 4)),
    st.tuples(st.sampled_from(["take", "written", "lost", "refused but there", "hear"]), st.just(0)),
    st.tuples(st.just("removed by another"), st.integers(1, 4)),
)


@given(st.lists(STEPS, max_size=60))
def test_in_the_end_the_topic_names_exactly_those_who_are_here(steps: list[Any]) -> None:
    roll, here, heard = Roll(), set[int](), 0
    log: list[tuple[int, bool]] = []
    flying: list[tuple[int, bool]] = []

    def land(*, there: bool, known: bool) -> None:
        nonlocal flying
        first = len(log)
        if there:
            log.extend(flying)
        if known:
            roll.written(flying, range(first, len(log)))
        else:
            roll.refused(flying)
        flying = []

    def hear() -> None:
        nonlocal heard
        for offset in range(heard, len(log)):
            user_id, online = log[offset]
            if not online:
                roll.heard_removal(user_id, offset)
        heard = len(log)

    for step, user_id in steps:
        if step == "come":
            here.add(user_id)
            roll.come(user_id)
        elif step == "go":
            here.discard(user_id)
            roll.go(user_id)
        elif step == "removed by another":
            log.append((user_id, False))
        elif step == "hear":
            hear()
        elif step == "take" and not flying:
            flying = roll.take(2)
        elif flying and step != "take":
            land(there=step != "lost", known=step == "written")
    if flying:
        land(there=True, known=True)
    for _ in range(20):
        hear()
        if flying := roll.take(2):
            land(there=True, known=True)
    assert {user_id for user_id, online in dict(log).items() if online} == here
    assert len(roll) == 0
