"""A changelog with two writers: what the other put between is read, merged, and written again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.structs import RecordMetadata
from faust.types import TP
from hypothesis import given
from hypothesis import strategies as st

from app.domain.rows import EMPTY, Row, decode, encode, merge
from app.errors import SendFailed
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.sender import Sent
from app.kafka.topics import CHANGELOG
from app.settings import Settings
from tables.changelog import META_KEY, REWRITES, Appended, Changelog, last_row_key, merge_values

OURS, THEIRS = Row({"changed": "2"}, {"name": ("2", "ours")}), Row({"changed": "1"}, {"owner": ("1", "theirs")})
Pair = tuple[bytes, bytes]


class Log:
    """A partition of the changelog, into which another writer puts its own before ours."""

    def __init__(self, *strange: Sequence[Pair]) -> None:
        self.held: list[Pair] = []
        self.strange = list(strange)
        """What the other writer puts before each batch of ours."""

    async def send(self, records: Sequence[Outgoing], *_more: Any) -> Sent:
        if self.strange:
            self.held += self.strange.pop(0)
        first = len(self.held)
        self.held += [(one.key or b"", one.value or b"") for one in records]
        return Sent([RecordMetadata(CHANGELOG, 0, TP(CHANGELOG, 0), first, -1, 0, 0)], [0] * len(records))

    def merged(self) -> dict[bytes, bytes]:
        """What recovery makes of it."""
        rows: dict[bytes, bytes] = {}
        for key, value in self.held:
            rows[key] = merge_values(key, rows.get(key), value)
        return rows


class Own(Changelog):
    """Reads the list where the real one asks the broker."""

    def __init__(self, log: Log) -> None:
        super().__init__(Settings(_env_file=None), log)  # type: ignore[arg-type]
        self.log = log
        self.reads: list[tuple[int, int]] = []

    async def _between(self, partition: int, first: int, last: int) -> tuple[list[Any], int]:
        self.reads.append((first, last))
        last = len(self.log.held) - 1 if last < 0 else last
        pairs = enumerate(self.log.held[first : last + 1], first)
        return [Record(CHANGELOG, 0, offset, 0, 1, key, value, ()) for offset, (key, value) in pairs], last


async def append(log: Log, changed: dict[str, Row], stored: dict[bytes, bytes] | None = None, applied: int = -1, upto: int = 5) -> Appended:
    held = stored or {}
    return await Own(log).append(0, upto, {key: encode(row) for key, row in changed.items()}, {}, held.get, applied)


def encoded(row: Row) -> bytes:
    return encode(row)


async def test_a_batch_directly_behind_what_the_store_holds_is_written_once() -> None:
    log = Log()
    changelog = Own(log)
    appended = await changelog.append(0, 5, {"team/1": encoded(OURS)}, {"team:1": "5 ab"}, lambda _key: None, -1)
    assert appended == Appended({META_KEY: b"5", b"team/1": encoded(OURS), last_row_key("team:1"): b"5 ab"}, 2)
    assert changelog.reads == []
    assert len(log.held) == 3


async def test_what_another_writer_put_between_is_merged_and_the_merged_row_written_again() -> None:
    log = Log([(META_KEY, b"9"), (b"team/1", encoded(THEIRS)), (b"team/2", encoded(THEIRS))])
    appended = await append(log, {"team/1": OURS})
    both = encoded(merge(OURS, THEIRS))
    assert appended.rows == {META_KEY: b"9", b"team/1": both, b"team/2": encoded(THEIRS)}
    assert appended.offset == len(log.held) - 1
    assert log.held[-2:] == [(META_KEY, b"9"), (b"team/1", both)]
    assert log.held[-1] != (b"team/2", encoded(THEIRS)), "what is theirs alone needs no second writing"


async def test_what_was_put_between_and_changes_nothing_of_ours_is_taken_over_only() -> None:
    log = Log([(b"team/2", encoded(THEIRS))])
    appended = await append(log, {"team/1": OURS})
    assert appended.rows[b"team/2"] == encoded(THEIRS)
    assert len(log.held) == 3


async def test_a_row_of_theirs_is_merged_with_what_our_store_holds() -> None:
    log = Log([(b"team/2", encoded(THEIRS))])
    appended = await append(log, {"team/1": OURS}, {b"team/2": encoded(OURS)})
    assert decode(appended.rows[b"team/2"] or b"") == merge(OURS, THEIRS)
    assert log.held[-1] == (b"team/2", encoded(merge(OURS, THEIRS)))


async def test_a_writer_that_does_not_stop_ends_ours() -> None:
    log = Log(*[[(b"team/1", encoded(Row({}, {"a": (str(n), n)})))] for n in range(REWRITES + 1)])
    with pytest.raises(SendFailed, match="another writer"):
        await append(log, {"team/1": OURS})


_rows = st.dictionaries(
    st.sampled_from(["team/1", "team/2"]),
    st.builds(lambda rank, name: Row({"changed": rank}, {name: (rank, rank)}), st.sampled_from("1234"), st.sampled_from(["a", "b"])),
    max_size=2,
)


@given(_rows, st.lists(_rows, max_size=3), _rows)
async def test_whatever_was_put_between_the_store_ends_with_what_recovery_would_make_of_the_log(
    changed: dict[str, Row], strange: list[dict[str, Row]], before: dict[str, Row]
) -> None:
    log = Log(*[[(name.encode(), encoded(row)) for name, row in rows.items()] for rows in strange])
    stored = {name.encode(): encoded(row) for name, row in before.items()}
    log.held = list(stored.items())
    ours = {name: merge(before.get(name, EMPTY), row) for name, row in changed.items()}
    appended = await append(log, ours, stored, applied=len(log.held) - 1)
    held = {**stored, **appended.rows}
    assert held == log.merged()
    assert appended.offset == len(log.held) - 1
