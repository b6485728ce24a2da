"""The ring holds the newest records, as many as its bytes allow, and says so when some may be gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from delivery import ring as rings
from delivery.entry import ENTRY_BYTES, Entry, entry_at
from delivery.ring import Ring


def entry(offset: int, key: str = "team:1", size: int = 0) -> Entry:
    return entry_at("0" * 16, offset, key.encode(), b"x" * size, [], 0)


def offsets(found: list[Entry] | None) -> list[int] | None:
    return None if found is None else [one.offset for one in found]


_appended = st.lists(st.tuples(st.integers(1, 3), st.sampled_from(["team:1", "team:2", "user:1"]), st.integers(0, 600)), max_size=60)


class Plain:
    """The same with one list, read from end to end."""

    def __init__(self, budget: int, start: int) -> None:
        self.budget, self.start = budget, start
        self.held: list[Entry] = []
        self.dropped: dict[str, int] = {}

    def append(self, one: Entry) -> None:
        self.held.append(one)
        while len(self.held) > 1 and sum(2 * len(held.value) + ENTRY_BYTES for held in self.held) > self.budget:
            dropped = self.held.pop(0)
            self.start = dropped.offset + 1
            self.dropped[dropped.key] = dropped.offset

    def after(self, key: str, offset: int, limit: int | None) -> list[int]:
        return [held.offset for held in self.held if held.key == key and held.offset > offset][:limit]


@given(_appended, st.integers(0, 8000), st.integers(0, 5), st.integers(1, 4) | st.none())
def test_a_ring_answers_as_a_plain_list_would(appended: list[tuple[int, str, int]], budget: int, start: int, limit: int | None) -> None:
    ring, plain = Ring(budget, start), Plain(budget, start)
    offset = start - 1
    for step, key, size in appended:
        offset += step
        ring.append(entry(offset, key, size))
        plain.append(entry(offset, key, size))
        assert ring.start == plain.start
        assert ring.bytes == sum(held.size for held in plain.held)
    for key in ("team:1", "team:2", "user:1", "team:3"):
        for after in range(-1, offset + 2):
            found = offsets(ring.after(key, after, limit))
            if found is None:
                assert after + 1 < plain.start, "what is here from an offset on is told"
            else:
                assert found == plain.after(key, after, limit)
                assert plain.dropped.get(key, -1) <= after, "what is gone is never passed over"
    assert set(ring._keys) == {held.key for held in plain.held}


def test_it_holds_what_its_bytes_allow() -> None:
    ring = Ring(10 * (ENTRY_BYTES + 200), 0)
    for offset in range(25):
        ring.append(entry(offset, size=100))
        assert ring.bytes <= 10 * (ENTRY_BYTES + 200)
    assert offsets(ring.after("team:1", 14)) == list(range(15, 25))


def test_a_record_larger_than_the_budget_is_held_alone() -> None:
    ring = Ring(1000, 0)
    ring.append(entry(0))
    ring.append(entry(1, size=5000))
    assert offsets(ring.after("team:1", 0)) == [1]
    assert ring.start == 1


def test_what_may_be_gone_is_none_and_what_was_never_there_is_empty() -> None:
    ring = Ring(10_000, 100)
    assert ring.after("team:1", 98) is None
    assert ring.after("team:1", 99) == []


def test_a_dropped_record_is_a_gap_for_its_own_key_alone() -> None:
    ring = Ring(2 * ENTRY_BYTES, 0)
    for offset, key in enumerate(["team:1", "team:2", "team:1", "team:2"]):
        ring.append(entry(offset, key))
    assert ring.after("team:1", -1) is None
    assert offsets(ring.after("team:1", 0)) == [2]
    assert offsets(ring.after("team:2", 1)) == [3]


def test_of_a_key_that_is_not_here_nothing_is_known_before_the_ring_begins() -> None:
    ring = Ring(ENTRY_BYTES, 0)
    for offset in range(3):
        ring.append(entry(offset, "team:1"))
    assert ring.after("team:2", 0) is None
    assert ring.after("team:2", 1) == []


def test_a_key_that_is_dropped_record_by_record_answers_right_while_its_list_is_cut() -> None:
    held = rings._COMPACT + 3
    ring = Ring(held * ENTRY_BYTES, 0)
    for offset in range(4 * held):
        ring.append(entry(offset))
        first = max(0, offset + 1 - held)
        assert ring.start == first
        assert offsets(ring.after("team:1", first - 1, 2)) == list(range(first, min(first + 2, offset + 1)))
    assert len(ring._keys["team:1"].entries) <= 2 * held, "the list of a busy key is cut"
