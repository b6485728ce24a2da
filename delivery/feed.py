"""A feed: one team, or one user's own stream, with its state and its listeners here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from time import time

from app import metrics
from app.domain import positions
from app.domain.errors import BadRecord
from app.domain.ranks import CLASSES
from app.domain.recent_records import RecentRecords, SharedRecord
from delivery.cursor import Cursor
from delivery.entry import Entry, type_of
from delivery.listener import LeftReason
from delivery.ring import Ring
from delivery.rounds import Rounds
from delivery.run import RUN_BYTES, Run
from delivery.view import Change, View
from tables.seed import Seed

Encode = Callable[["Feed"], Sequence[bytes]]
"""Encodes a feed's state as it is now, as the messages that are sent."""
Ask = Callable[["Feed"], None]
"""Asks for the rows of a feed whose tasks were dropped; they come by `Feed.restored`."""


class Feed:
    """Folds each record of its key once, and moves the cursors on."""

    def __init__(  # noqa: PLR0917  (made in one place)
        self,
        key: str,
        partition: int,
        ring: Ring,
        seed: Seed,
        encode: Encode,
        ask: Ask,
        recent: RecentRecords,
        rounds: Rounds,
        generation: int = 0,
    ) -> None:
        """Begin with the rows as they stood at the seed's offset, and fold what the ring holds behind it.

        Everything of this key behind the seed's offset must be in the ring, which stays this one for as long as the
        generation does.
        """
        self.key = key
        self.partition = partition
        self.ring = ring
        self.generation = generation
        self.view = View(key, seed.offset, seed.rows)
        self.head = seed.offset
        """Offset of the newest record of this key that was folded, or the one that the seed was taken at."""
        self.last_offset = seed.last_offset
        """Offset of the newest record of this key; -1 when there never was any."""
        self._last_check = seed.last_check
        self._last_entry: Entry | None = None
        self._encode = encode
        self._snapshot: tuple[int, Sequence[bytes]] | None = None
        self.cursors: dict[Cursor, None] = {}
        self.waiting = False
        """Whether the tasks are on their way here, and what comes meanwhile waits in the ring."""
        self._seen = seed.offset
        """Up to here nothing of this key is missing beside what `head` says: none of it came, or it is folded."""
        self.behind = False
        """Whether the ring may hold records that are not folded yet, and so are delivered to nobody."""
        self._ask = ask
        self._recent = recent
        self._unsent: list[Entry] = []
        self._unsent_bytes = 0
        self._rounds = rounds
        for entry in ring.after(key, seed.offset) or ():
            self.fold(entry)

    @property
    def has_unsent(self) -> bool:
        """Whether `flush` has something to do."""
        return bool(self._unsent)

    @property
    def sent(self) -> int:
        """Offset up to which listeners at the head have everything: less than `head` while something waits for `flush`."""
        return self._unsent[0].offset - 1 if self._unsent else self.head

    @property
    def last_check(self) -> str:
        """Check value of the newest record of this key, see `app.domain.positions`."""
        return self._last_check if self._last_entry is None else self._last_entry.check

    @property
    def position(self) -> str:
        """The position that the view is at: its newest record's, the same on every worker; without any, that of where it was seeded."""
        if self.last_offset >= 0:
            return positions.compose(self.last_offset, self.ring.log, self.last_check)
        return positions.position(self.ring.log, self.key, self.head, ())

    def fold(self, entry: Entry, record: SharedRecord | None = None) -> Change | None:
        """Fold a record, and settle what clients get of it; ``None`` for what is no unified record.

        Args:
            entry: The next of this key.
            record: It, parsed, if it was.
        """
        self.head = entry.offset
        try:
            if record is None:
                record = entry.shared(self._recent)
            self.last_offset, self._last_entry = entry.offset, entry
            change = self.view.fold(record, entry.offset)
        except ValueError:  # BadRecord is one; the fold agent writes the dead letter
            entry.skipped = True
            return None
        if entry.skipped:
            # A repeat with another source record can outrank what came between, if their times are the same. Nobody is
            # told of it as an event, so the state itself is told.
            entry.resets = change.changed
        else:
            entry.finish(change.carries_state, change.state)
            entry.resets = change.reset
        return change

    def after(self, offset: int, limit: int | None = None) -> list[Entry] | None:
        """Records of this key behind an offset, oldest first; ``None`` when some may be gone. None can be behind the newest."""
        return [] if offset >= self.head else self.ring.after(self.key, offset, limit)

    def need_tasks(self) -> bool:
        """Whether the tasks are here; asks for them if they are not."""
        if self.view.tasks_known and not self.waiting:
            return True
        if not self.waiting:
            self.rest()
            self.waiting = self.behind = True
            self._ask(self)
        return False

    def take(self, entry: Entry, record: SharedRecord | None = None) -> Change | None:
        """Fold and deliver the next record; ``None`` where there is nothing to tell, or it has to wait.

        Args:
            entry: The next of this key.
            record: It, parsed, if it was.
        """
        if self.waiting:
            return None
        if record is None:
            with suppress(BadRecord):
                record = entry.shared(self._recent)
        if record is not None and not (self.view.can_fold(record.unified.event) or self.need_tasks()):
            self._seen = entry.offset - 1
            return None
        change = self.fold(entry, record)
        if change is not None:
            self.deliver(entry, change)
        return change

    def rest(self) -> None:
        """What comes from now on is not folded until `restored`, or `go_on`: the tasks are missing, or this feed is being closed."""
        if not self.waiting:
            self._seen = self.ring.newest_offset

    def _missed(self, limit: int | None = None) -> list[Entry] | None:
        return self.ring.after(self.key, max(self.head, self._seen), limit)

    @property
    def torn(self) -> bool:
        """Whether the ring no longer holds all that came since this feed rests."""
        return self._missed(1) is None

    def go_on(self) -> bool:
        """Fold what came while this feed was closed; whether it is all there."""
        missed = self._missed()
        if missed is None:
            return False
        self.waiting = self.behind = False  # who was asked for the tasks gave up when it was closed
        for entry in missed:
            self.take(entry)
        self.flush()
        return True

    def restored(self, rows: Iterable[tuple[str, bytes]]) -> list[tuple[Entry, Change]]:
        """Take the tasks, and go on with what has waited; gives what that did."""
        self.view.restore(rows)
        self.waiting = False
        self._snapshot = None
        done = []
        for entry in self._missed() or ():
            change = self.take(entry)
            if change is not None:
                done.append((entry, change))
        self.flush()
        self.behind = self.waiting
        for cursor in list(self.cursors):
            cursor.catch_up()
        return done

    def settle(self, entries: Sequence[Entry]) -> None:
        """Settle records that are older than the view.

        What they changed one by one is not known any more; the state as it is now is right for each of them, since
        what follows leads on from it.
        """
        for entry in entries:
            if entry.finished or entry.skipped:
                continue
            try:
                event = entry.record().event
                entry.finish(event.type in CLASSES, self.view.state_of(event))
            except BadRecord:
                entry.skipped = True

    def snapshot(self) -> Sequence[bytes]:
        """The state as it is now, encoded once for all who ask before it changes."""
        if self._snapshot is None or self._snapshot[0] != self.head:
            self._snapshot = (self.head, self._encode(self))
        return self._snapshot[1]

    def deliver(self, entry: Entry, change: Change) -> None:
        """Give a record to every listener that is at the head; the others find it in the ring.

        What changes nothing but a task or a team waits for `flush`, so that what was read together leaves together. The
        caller owes that call before it awaits anything.
        """
        if entry.skipped or entry.resets or change.left or change.joined is not None:
            self.flush()
            self._deliver_alone(entry, change)
        elif self.cursors:
            self._unsent.append(entry)
            self._unsent_bytes += len(entry.value)
            if self._unsent_bytes >= RUN_BYTES:
                self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._unsent:
            return
        run = Run(self._unsent)
        self._unsent, self._unsent_bytes = [], 0
        if self._rounds.needed_by(self):
            self._rounds.add(self, run)
        else:
            self.count(run, sum([cursor.deliver_run(run) for cursor in list(self.cursors)]))

    @staticmethod
    def count(run: Run, sockets: int) -> None:
        """Count what was written to so many sockets."""
        if sockets:
            now = time()
            metrics.DELIVERIES.inc(sockets * len(run.entries))
            for entry in run.entries:
                metrics.DELIVERY_SECONDS.observe_many(max(0.0, now - entry.timestamp / 1000), sockets)

    def _deliver_alone(self, entry: Entry, change: Change) -> None:
        cursors = list(self.cursors)
        if change.left:
            left = frozenset(change.left)
            reason: LeftReason = "deleted" if type_of(entry.value) == "team.deleted" else "removed"
            for cursor in cursors:
                if cursor.listener.user_id in left:
                    cursor.leave(entry.offset, reason)
        if self._rounds.needed_by(self):
            self._rounds.add_alone(self, entry)
        else:
            for cursor in cursors:
                cursor.deliver(entry)

    def place(self, cursor: Cursor) -> None:
        """Take a new listener, and deliver what waits for it."""
        self.cursors[cursor] = None
        cursor.listener.cursors[self.key] = cursor
        cursor.watch()
        cursor.catch_up()

    def remove(self, cursor: Cursor) -> None:
        """End a listener's place."""
        cursor.unwatch()
        self.cursors.pop(cursor, None)
        self._rounds.discard(cursor)
        if cursor.listener.cursors.get(self.key) is cursor:
            del cursor.listener.cursors[self.key]
