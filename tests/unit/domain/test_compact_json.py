"""What is kept takes as much memory as its bytes do."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain import compact_json, later_event, rows
from app.domain.events import Source, UnifiedEvent, encode
from app.domain.rows import Row

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)
OBJECT_BYTES = 100
"""What an object takes beside its bytes, and the list that holds it."""
KEPT = 200
TIME = "2030-01-01T00:00:00.000000Z"
EVENT = UnifiedEvent("team:1", "e", "task.created", 1, 2, TIME, {"taskId": 3, "title": "t"})
SOURCE = Source("task.created", 0, 1, 1_900_000_000_000)


@given(JSON)
def test_it_is_what_orjson_gives(value: Any) -> None:
    assert compact_json.dumps(value) == orjson.dumps(value)
    assert compact_json.dumps(value, orjson.OPT_SORT_KEYS) == orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def row_of_a_later_event() -> bytes:
    folded = later_event.fold(EVENT, SOURCE, None)
    assert folded is not None
    return folded.row


@pytest.mark.parametrize(
    "make",
    [lambda: encode(EVENT), row_of_a_later_event, lambda: rows.encode(Row({"created": TIME}, {"title": (TIME, "t")}))],
    ids=["a unified record", "the row of a later event", "a row"],
)
def test_what_rings_and_views_keep_takes_little_more_memory_than_its_bytes(make: Callable[[], bytes]) -> None:
    size = len(make())
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = [make() for _ in range(KEPT)]
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / len(kept) < size + OBJECT_BYTES
