from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.domain import rows
from app.domain.rows import EMPTY, KNOWN_FIELDS, MAX_FIELDS, Row, decode, encode, merge

# Ranks need not look like ranks here, only compare.
ranks = st.sampled_from("12345678")
values = st.sampled_from([None, True, 1, 1.0, "x", ["y"], {"b": 1, "a": 2}, {"a": 2, "b": 1}])


def rows_of(gone: str) -> st.SearchStrategy[Row]:
    """Rows of one family: ``gone`` is its mark for the end."""
    marks = st.dictionaries(st.sampled_from(["created", "changed", gone]), ranks)
    fields = st.dictionaries(st.sampled_from(["title", "role", "a", "b", "c", "d", "e"]), st.tuples(ranks, values))
    # What merging makes is what tables hold: nothing in it is outranked by the row's own end, and it is bounded.
    return st.builds(Row, marks, fields).map(lambda row: merge(EMPTY, row))


families = st.sampled_from(["deleted", "removed"])
pairs = families.flatmap(lambda gone: st.tuples(rows_of(gone), rows_of(gone)))
triples = families.flatmap(lambda gone: st.tuples(rows_of(gone), rows_of(gone), rows_of(gone)))


@pytest.fixture(autouse=True)
def few_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that five unknown names can reach."""
    monkeypatch.setattr(rows, "MAX_FIELDS", 3)


@given(pairs)
def test_merge_is_commutative(pair: tuple[Row, Row]) -> None:
    a, b = pair
    assert encode(merge(a, b)) == encode(merge(b, a))


@given(triples)
def test_merge_is_associative(triple: tuple[Row, Row, Row]) -> None:
    a, b, c = triple
    assert encode(merge(merge(a, b), c)) == encode(merge(a, merge(b, c)))


@given(pairs)
def test_merge_is_idempotent_and_gives_the_very_row_that_nothing_changed(pair: tuple[Row, Row]) -> None:
    a, b = pair
    both = merge(a, b)
    assert merge(a, copy.deepcopy(a)) is a
    assert merge(both, a) is both
    assert merge(both, b) is both


@given(pairs)
def test_merge_gives_another_row_when_something_changed(pair: tuple[Row, Row]) -> None:
    a, b = pair
    assume(encode(merge(a, b)) != encode(a))
    assert merge(a, b) is not a


@given(pairs)
def test_merge_changes_neither_row(pair: tuple[Row, Row]) -> None:
    a, b = pair
    before = encode(a), encode(b)
    merge(a, b)
    assert (encode(a), encode(b)) == before


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), ranks), max_size=20), st.none() | ranks, st.data())
def test_the_newest_unknown_fields_stay_in_whatever_order_they_come(
    told: list[tuple[str, str]], deleted: str | None, data: st.DataObject
) -> None:
    said = [Row({}, {name: (rank, 0)}) for name, rank in told] + ([Row({"deleted": deleted}, {})] if deleted else [])
    row = EMPTY
    for one in data.draw(st.permutations(said)):
        row = merge(row, one)

    newest: dict[str, str] = {}
    for name, rank in told:
        newest[name] = max(rank, newest.get(name, ""))
    visible = [(rank, name) for name, rank in newest.items() if rank > (deleted or "")]
    expected = {name: (rank, 0) for rank, name in sorted(visible)[-3:]}
    assert row.fields == expected


def test_known_fields_neither_count_nor_go() -> None:
    known = Row({}, dict.fromkeys(KNOWN_FIELDS, ("1", "old")))
    unknown = Row({}, dict.fromkeys("abcde", ("2", "new")))
    row = merge(known, unknown)
    assert set(row.fields) == KNOWN_FIELDS | set("cde")
    assert merge(row, Row({}, {"a": ("2", "new")})) is row


def test_the_bound_holds_two_events_of_unknown_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MAX_FIELDS", MAX_FIELDS)
    most = {f"f{n}": ("1", n) for n in range(64)}, {f"g{n}": ("2", n) for n in range(64)}
    row = merge(Row({}, most[0]), Row({}, most[1]))
    assert len(row.fields) == 128
    row = merge(row, Row({}, {"h": ("3", 0)}))
    assert len(row.fields) == 128
    assert "f0" not in row.fields
    assert row.fields["h"] == ("3", 0)


@pytest.mark.parametrize("gone", ["deleted", "removed"])
def test_a_deletion_takes_the_fields_it_outranks_and_no_others(gone: str) -> None:
    row = Row({"created": "1"}, {"title": ("1", "old"), "due": ("3", "new")})
    end = Row({gone: "2"}, {})
    assert merge(row, end) == Row({"created": "1", gone: "2"}, {"due": ("3", "new")})
    assert merge(end, row) == merge(row, end)


def test_values_of_one_rank_that_differ_merge_alike_on_both_sides() -> None:
    yes, one = Row({}, {"a": ("1", True)}), Row({}, {"a": ("1", 1)})
    assert merge(yes, one).fields["a"][1] is True
    assert merge(one, yes).fields["a"][1] is True


@given(pairs)
def test_decoding_gives_back_what_was_encoded(pair: tuple[Row, Row]) -> None:
    for row in pair:
        assert decode(encode(row)) == row
        assert encode(decode(encode(row))) == encode(row)


def test_equal_rows_have_equal_bytes_whatever_the_order_of_their_members() -> None:
    a = Row({"created": "1", "changed": "2"}, {"title": ("2", "x"), "labels": ("1", {"a": 1, "b": 2})})
    b = Row({"changed": "2", "created": "1"}, {"labels": ("1", {"b": 2, "a": 1}), "title": ("2", "x")})
    assert encode(a) == encode(b)


def test_each_rank_is_written_once() -> None:
    row = Row({"created": "r", "changed": "s"}, {"title": ("r", "x"), "due": ("s", None)})
    assert encode(row) == b'{"f":{"due":[1,null],"title":[0,"x"]},"m":{"changed":1,"created":0},"r":["r","s"]}'


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"r":[],"m":{"created":0},"f":{}}', b'{"r":["1"],"m":{},"f":{"title":0}}', b"\xff"])
def test_bytes_that_are_no_row_are_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode(data)


def test_row_keys() -> None:
    keys: list[Any] = [
        rows.team_row_key(42),
        rows.member_row_key(42, 7),
        rows.task_row_key(42, 9),
        rows.personal_task_row_key(7, 9),
        rows.user_row_key(7),
        rows.candidate_row_key(7, 42),
    ]
    assert keys == ["team/42", "member/42/7", "task/42/9", "task/user:7/9", "user/7", "candidate/7/42"]
