from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.domain.events import Source
from app.domain.ranks import CLASSES, rank, timestamp_of

EARLY, LATE = "2026-11-23T10:00:00.000000Z", "2026-11-23T10:00:00.000001Z"

timestamps = st.datetimes().map(lambda at: at.isoformat(timespec="microseconds").rjust(26, "0") + "Z")
topics = st.text("ab.-_Z0", min_size=1, max_size=4)
sources = st.builds(Source, topics, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.integers(-1, 2**45))
# Small parts beside large ones, so that ties of the first parts are common.
few_sources = st.builds(Source, topics, st.integers(0, 1), st.integers(0, 20), st.integers(-1, 1))
parts = st.tuples(st.sampled_from(sorted(CLASSES)), st.sampled_from([EARLY, LATE]) | timestamps, sources | few_sources)
Parts = tuple[str, str, Source]


def as_tuple(event: Parts) -> tuple[object, ...]:
    event_type, timestamp, source = event
    return (timestamp, max(source.timestamp, 0), int(CLASSES[event_type]), source.topic, source.partition, source.offset)


@given(parts, parts)
@example(("task.created", EARLY, Source("a", 9, 9, 0)), ("task.created", EARLY, Source("a-", 0, 0, 0)))
@example(("task.created", EARLY, Source("a", 0, 9, 0)), ("task.created", EARLY, Source("a", 0, 10, 0)))
@example(("task.created", EARLY, Source("a", 9, 0, 0)), ("task.created", EARLY, Source("a", 10, 0, 0)))
def test_ranks_compare_as_the_tuples_they_stand_for(a: Parts, b: Parts) -> None:
    assert (rank(*a) < rank(*b)) == (as_tuple(a) < as_tuple(b))
    assert (rank(*a) == rank(*b)) == (as_tuple(a) == as_tuple(b))


@given(parts)
def test_a_rank_begins_with_its_timestamp(event: Parts) -> None:
    assert timestamp_of(rank(*event)) == event[1]


def test_at_one_instant_a_thing_is_made_then_changed_then_completed_then_deleted() -> None:
    def at_once(event_type: str) -> str:
        return rank(event_type, EARLY, Source("topic", 0, 0, 0))

    assert at_once("task.created") < at_once("task.updated") < at_once("task.completed") < at_once("task.deleted")
    assert at_once("team.created") < at_once("team.updated") < at_once("team.deleted")
    assert at_once("team.member_added") < at_once("team.member_role_updated") < at_once("team.member_removed")


def test_the_event_time_decides_before_the_time_of_the_source_record() -> None:
    assert rank("task.deleted", EARLY, Source("t", 0, 0, 9000)) < rank("task.created", LATE, Source("t", 0, 0, 1))


def test_a_type_without_class_has_no_rank() -> None:
    with pytest.raises(KeyError):
        rank("task.archived", EARLY, Source("t", 0, 0, 0))
