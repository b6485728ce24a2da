"""A task's event folded at one go: the rows and the mails are, to the last byte, those of the general fold."""

from __future__ import annotations

from hypothesis import given

from agents.batch_rows import BatchRows
from agents.fold import fold_task
from agents.recipients import Mailing, mailing
from app.domain.events import Source, UnifiedEvent
from app.domain.fold import apply, deltas
from app.domain.recent_records import SharedRecord
from app.domain.rows import Row
from app.domain.unified import UnifiedRecord
from tests.unit.domain.naive_model import Record
from tests.unit.domain.worlds import histories


def generally(event: UnifiedEvent, source: Source, rows: BatchRows) -> Mailing:
    """What `Folding` does with any event."""
    says = deltas(event, source)
    before = {key: rows.row(key) for key, _delta in says}
    now = apply(before.get, says)

    def earlier(key: str) -> Row | None:
        return before[key] if key in before else rows.row(key)

    found = mailing(event, says, earlier, lambda key: now.get(key) or earlier(key))
    for key, row in now.items():
        rows.put_row(key, row)
    return found


@given(histories())
def test_rows_and_mails_are_those_of_the_general_fold(history: list[Record]) -> None:
    stored: dict[str, bytes] = {}
    for one in history:
        quick, general = BatchRows(stored.get), BatchRows(stored.get)
        wanted = generally(one.event, one.source, general)
        found = fold_task(SharedRecord(UnifiedRecord(one.event, one.source)), quick, asks=True)
        silent = BatchRows(stored.get)
        told = fold_task(SharedRecord(UnifiedRecord(one.event, one.source)), silent, asks=False)
        if found is None:
            assert told is None
            assert quick.changed() == {}
        else:
            assert found.recipients == wanted.recipients
            assert not found.recipients or found == wanted
            assert (
                quick.changed() == silent.changed() == {key: value for key, value in general.changed().items() if stored.get(key) != value}
            )
            assert not told or not told.recipients
            assert {key: quick.row(key) for key in quick.changed()} == {key: general.row(key) for key in quick.changed()}
        stored |= general.changed()
