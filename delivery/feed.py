"""A feed: one team, or one user's own stream, with its state and its listeners here."""

from __future__ import annotations

from app.domain.errors import BadRecord
from delivery.cursor import Cursor
from delivery.entry import Entry
from delivery.ring import Ring
from delivery.view import Change, View

CATCH_UP_RECORDS = 64
"""Records that a cursor takes from the ring at a time."""


class Feed:
    """Folds each record of its key once, and moves the cursors on."""

    def __init__(self, key: str, partition: int, ring: Ring, view: View) -> None:
        """Begin with a view as it stood at its offset, and fold what the ring holds behind it.

        Everything of this key behind the view's offset must be in the ring.
        """
        self.key = key
        self.partition = partition
        self.ring = ring
        self.view = view
        self.head = view.offset
        """Offset of the newest record of this key that was folded, or the one that the view began at."""
        self.cursors: dict[Cursor, None] = {}
        for entry in ring.after(key, view.offset) or ():
            self.fold(entry)

    def fold(self, entry: Entry) -> Change | None:
        """Fold a record, and settle what clients get of it; ``None`` for what is no unified record."""
        self.head = entry.offset
        try:
            record = entry.record
            change = self.view.fold(record.event, record.source, entry.offset)
        except ValueError:  # BadRecord is one; the fold agent writes the dead letter
            entry.skipped = True
            return None
        entry.finish(change.carries_state, change.state)
        return change

    def settle(self, after: int) -> None:
        """Settle the records behind ``after`` that are older than the view.

        What they changed one by one is not known any more; the state as it is now is right for each of them, since
        what follows leads on from it.
        """
        for entry in self.ring.after(self.key, after) or ():
            if entry.finished or entry.skipped:
                continue
            try:
                event = entry.record.event
                entry.finish(event.type != "user.created", self.view.state_of(event))
            except BadRecord:
                entry.skipped = True

    def deliver(self, entry: Entry, change: Change) -> None:
        """Give a record to every listener that is at the head; the others find it in the ring."""
        left = frozenset(change.left)
        for cursor in list(self.cursors):
            if left and cursor.listener.user_id in left:
                cursor.leave(entry.offset)
            if cursor.lagging:
                continue
            if cursor.listener.sink.ready():
                cursor.write(entry)
                if cursor.away:
                    self.remove(cursor)
            else:
                cursor.lagging = True

    def place(self, cursor: Cursor) -> None:
        """Take a new listener, and deliver what waits for it."""
        self.cursors[cursor] = None
        cursor.listener.cursors[self.key] = cursor
        cursor.catch_up(CATCH_UP_RECORDS)

    def remove(self, cursor: Cursor) -> None:
        """End a listener's place."""
        self.cursors.pop(cursor, None)
        if cursor.listener.cursors.get(self.key) is cursor:
            del cursor.listener.cursors[self.key]
