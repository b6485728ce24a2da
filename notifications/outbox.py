"""The outbox of one partition: what is to be mailed next, and what becomes of it. No clock, no input or output.

What comes in (requests, addresses, the ends of tries, the time) comes as a call; what is to be done is given back: rows to be
written, and dead letters to be sent before them. The next mail of a user is looked at once the one before it has ended, so a
user's mails keep the order of their requests, and a mail that waits holds back nobody else.

In memory is one entry for each user who has a mail to send now or soon, up to a bound; the rest is found on disk by `sweep`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from app.domain.requests import Address, Request
from app.domain.timestamps import from_millis
from notifications.rows import (
    IDENTITY,
    MAIL,
    STATE,
    State,
    Status,
    address_key,
    decode_address,
    decode_state,
    digest,
    encode_state,
    mail_key,
    place_of,
    queue_prefix,
    state_key,
)

Values = dict[bytes, bytes | None]
"""Rows to be written; ``None``: the row goes."""

FIRST_PAUSE_MS = 1_000
LONGEST_PAUSE_MS = 60_000
"""Between tries; each is chosen at random from the upper half of a pause that doubles."""
DISTURBED_MS = 5_000
"""Pause of a mail that another worker may be sending: by then the group has settled who owns it."""
FORGET_MS = 3_600_000
"""Ended mails are remembered for MAIL_MAX_AGE and so much more; a repeat that comes later is too old to be mailed."""
PAGE = 500


class Rows(Protocol):
    """Rows as written so far."""

    def get(self, key: bytes) -> bytes | None:
        """A row, those included that are being written."""

    def scan(self, prefix: bytes, start: bytes, limit: int) -> list[tuple[bytes, bytes]]:
        """Rows on disk whose key begins with ``prefix``, from ``start`` on, in order."""


class Taken(StrEnum):
    """What became of a request; the texts are outcomes of the metric."""

    QUEUED = "queued"
    DUPLICATE = "duplicate"
    EXPIRED = "expired"
    AGAIN = "again"
    """The same record, read again after a crash: it is in the outbox."""


class Outcome(StrEnum):
    """How a try ended."""

    SENT = "sent"
    REFUSED = "refused"
    """For good (5xx)."""
    DEFERRED = "deferred"
    """Not now (4xx, no connection)."""
    LOST = "lost"
    """The connection went, or no answer came, once the mail was under way: it may have arrived."""
    DISTURBED = "disturbed"
    """Not begun: another worker writes to this outbox."""


@dataclass(slots=True, frozen=True)
class Limits:
    """The service's settings, in milliseconds."""

    max_age: int
    retry: int
    address_wait: int
    users: int


@dataclass(slots=True, frozen=True)
class Mail:
    """A mail of the outbox."""

    user_id: int
    seq: int
    identity: str
    request: bytes
    """As it came."""


@dataclass(slots=True, frozen=True)
class Attempt:
    """A mail to be sent now, once `rows` are written."""

    mail: Mail
    address: Address
    state: State
    rows: Values
    unsure: bool
    """Whether an earlier try began whose end nobody knows: the mail may arrive twice."""


@dataclass(slots=True, frozen=True)
class Ending:
    """What a mail came to, to be written."""

    rows: Values
    dead: tuple[Mail, State, str] | None = None
    """A dead letter that must be in the broker before the rows, and then `Outbox.buried`: the mail, its state, the error's code."""
    cancelled: Mail | None = None
    """The mail that an operator cancelled."""


NOTHING = Ending({})


class Outbox:
    """The queues of one partition's users."""

    def __init__(self, rows: Rows, limits: Limits, chance: random.Random) -> None:
        self._rows = rows
        self._limits = limits
        self._chance = chance
        self._heads: dict[int, tuple[int, int]] = {}
        """By user: place of the next mail, and when it is due."""
        self._busy: set[int] = set()
        self._due: list[tuple[int, int]] = []
        self._swept = b""
        self._pruned = b""
        self.overflow = True
        """Whether there may be users on disk who have a mail to send and are not in memory: at first, nobody knows."""

    # --- what comes in

    def accept(self, now: int, seq: int, request: Request, value: bytes, replay: str = "") -> tuple[Taken, Values]:
        """Take a request; `wake` its recipient once the rows are written.

        Args:
            now: the time.
            seq: its offset.
            request: it, parsed.
            value: it, as it came.
            replay: which dead letter it replays; that is mailed whatever its age.
        """
        identity = digest(request.key, request.event_id, replay)
        key = state_key(request.recipient, identity)
        known = self._rows.get(key)
        if known is not None:
            return (Taken.AGAIN if decode_state(known).seq == seq else Taken.DUPLICATE), {}
        if not replay and request.timestamp < from_millis(now - self._limits.max_age):
            return Taken.EXPIRED, {}
        state = State(seq, Status.WAITING, since=now, due=now)
        return Taken.QUEUED, {mail_key(request.recipient, seq): identity.encode() + value, key: encode_state(state)}

    def learn(self, address: Address, value: bytes) -> tuple[Values, bytes | None]:
        """Take an address; `wake` its user once the rows are written.

        Returns:
            Rows, and the record of a newer address that is known and must be told again: a late writer put the older one over it.
        """
        key = address_key(address.user_id)
        known = self._rows.get(key)
        if known is not None:
            newer = decode_address(address.user_id, known)
            if newer.rank >= address.rank:
                return {}, known if newer.rank > address.rank else None
        return {key: value}, None

    def wake(self, user_id: int, now: int) -> None:
        """Look at a user's queue, unless it is being looked at."""
        if user_id in self._heads:
            return
        if len(self._heads) >= self._limits.users:
            self.overflow = True
            return
        self._load(user_id, 0, now)

    # --- what is to be done

    def next_due(self) -> int | None:
        """When the next mail is due; ``None``: none is."""
        while self._due:
            due, user_id = self._due[0]
            if user_id not in self._busy and self._heads.get(user_id, (0, -1))[1] == due:
                return due
            heapq.heappop(self._due)
        return None

    def begin(self, now: int) -> Attempt | Ending | None:
        """The next mail that is due: to be tried, or at its end without a try; ``None`` when none is due.

        The caller calls `finish` for every attempt.
        """
        while (due := self.next_due()) is not None and due <= now:
            _due, user_id = heapq.heappop(self._due)
            found = self._take(user_id, now)
            if found is not None:
                return found
        return None

    def finish(self, attempt: Attempt, outcome: Outcome, error: str, code: str, now: int) -> Ending:
        """Note how a try ended.

        Args:
            attempt: from `begin`.
            outcome: how it ended.
            error: what the server said, or what happened to the connection.
            code: the dead letter's error code, if it comes to one.
            now: the time.
        """
        mail = attempt.mail
        key = state_key(mail.user_id, mail.identity)
        row = self._rows.get(key)
        state = attempt.state if row is None else decode_state(row)
        self._busy.discard(mail.user_id)
        if state.ended:
            self._load(mail.user_id, mail.seq + 1, now)
            return Ending({mail_key(mail.user_id, mail.seq): None})
        if outcome is Outcome.SENT:
            return self._end(mail, state, Status.SENT, "", now)
        if outcome is Outcome.REFUSED or (outcome is not Outcome.DISTURBED and now - state.tried >= self._limits.retry):
            return self._end(mail, state, Status.DEAD, error, now, code)
        waiting = replace(state, status=Status.WAITING, step=state.step + 1, error=error or state.error)
        if outcome is Outcome.DISTURBED:
            waiting = replace(waiting, due=now + DISTURBED_MS, attempts=state.attempts - 1)
        else:
            waiting = replace(waiting, due=now + self.pause(state.attempts))
        self._put(mail.user_id, mail.seq, waiting.due, now)
        return Ending({key: encode_state(waiting)})

    def buried(self, mail: Mail, now: int) -> None:
        """Go on with a recipient's next mail: the rows of the dead one are written, or being written."""
        self._busy.discard(mail.user_id)
        if self._heads.get(mail.user_id, (-1, 0))[0] == mail.seq:
            self._load(mail.user_id, mail.seq + 1, now)

    def unreachable(self, users: Iterable[int], error: str, now: int) -> Iterator[Ending]:
        """Note that the server cannot be reached: for the mails that are due the time in which they are tried begins, or ends.

        Args:
            users: those to look at, of `waiting`.
            error: why it cannot.
            now: the time.
        """
        for user_id in users:
            seq, due = self._heads.get(user_id, (-1, now + 1))
            mail = self._mail(user_id, seq) if due <= now and user_id not in self._busy else None
            row = None if mail is None else self._rows.get(state_key(user_id, mail.identity))
            if mail is None or row is None or (state := decode_state(row)).ended or self._address(user_id) is None:
                continue
            if not state.tried:
                begun = replace(state, step=state.step + 1, tried=now, error=error)
                yield Ending({state_key(user_id, mail.identity): encode_state(begun)})
            elif now - state.tried >= self._limits.retry:
                yield self._end(mail, state, Status.DEAD, error, now, "unreachable")

    def order(self, user_id: int, identity: str, verb: str, now: int) -> Ending:
        """Do what an operator asks: ``retry`` a mail at once, or ``cancel`` it. One that is being sent is neither."""
        key = state_key(user_id, identity)
        row = self._rows.get(key)
        if row is None or (state := decode_state(row)).ended or user_id in self._busy:
            return NOTHING
        if verb == "retry":
            if user_id in self._heads and self._heads[user_id][0] == state.seq:
                self._put(user_id, state.seq, now, now)
            return Ending({key: encode_state(replace(state, step=state.step + 1, due=now))})
        mail = self._mail(user_id, state.seq)
        return NOTHING if mail is None else replace(self._end(mail, state, Status.CANCELLED, "", now), cancelled=mail)

    def sweep(self, now: int) -> tuple[Values, bool]:
        """Look at one more page of what is on disk: for users who are not in memory, and for ended mails that may be forgotten.

        Returns:
            Rows, and whether the end has been reached; the next call begins anew.
        """
        forgotten, pruned = self._prune(now)
        if self.overflow and 2 * len(self._heads) >= self._limits.users:
            self._make_room(now)
        room = self._limits.users - len(self._heads)
        if room <= 0:
            return forgotten, False
        page = self._rows.scan(MAIL, self._swept or MAIL, PAGE)
        if not self._swept:
            self.overflow = False
        users = list(dict.fromkeys(place_of(key)[0] for key, _value in page))
        for user_id in users:
            if len(self._heads) >= self._limits.users:
                self.overflow = True
                return forgotten, False
            if user_id not in self._heads:
                self._load(user_id, 0, now)
                if len(users) > room and self._heads.get(user_id, (0, 0))[1] > now:
                    del self._heads[user_id]  # room is scarce, and this one has time
                    self.overflow = True
            # Behind all of the user's: a long queue is not walked through.
            self._swept = queue_prefix(user_id) + b"\xff"
        if len(page) < PAGE:
            self._swept = b""
        return forgotten, pruned and not self._swept

    def pause(self, attempts: int) -> int:
        """Milliseconds until the next try."""
        longest = min(FIRST_PAUSE_MS * 2 ** min(max(attempts - 1, 0), 10), LONGEST_PAUSE_MS)
        return max(FIRST_PAUSE_MS, int(longest * self._chance.uniform(0.5, 1.0)))

    def waiting(self) -> list[int]:
        """Users in memory: those who have a mail to send now or soon."""
        return list(self._heads)

    # --- queues

    def _take(self, user_id: int, now: int) -> Attempt | Ending | None:
        seq, _due = self._heads[user_id]
        mail = self._mail(user_id, seq)
        row = None if mail is None else self._rows.get(state_key(user_id, mail.identity))
        state = None if row is None else decode_state(row)
        if mail is None or state is None or state.ended or state.seq != seq:
            # It has ended, and its row is about to go; or a late writer brought the row back.
            self._load(user_id, seq + 1, now)
            return None if mail is None else Ending({mail_key(user_id, seq): None})
        address = self._address(user_id)
        if address is None:
            if now - state.since >= self._limits.address_wait:
                return self._end(mail, state, Status.DEAD, "no address of the recipient is known", now, "no-address")
            del self._heads[user_id]  # the address, or the sweep, wakes the user
            return None
        unsure = state.status is Status.TRYING
        begun = replace(
            state,
            status=Status.TRYING,
            step=state.step + 1,
            attempts=state.attempts + 1,
            tried=state.tried or now,
            due=now,
            error=state.error,
        )
        self._busy.add(user_id)
        return Attempt(mail, address, begun, {state_key(user_id, mail.identity): encode_state(begun)}, unsure)

    def _end(  # noqa: PLR0917
        self, mail: Mail, state: State, status: Status, error: str, now: int, code: str = ""
    ) -> Ending:
        ended = replace(state, status=status, step=state.step + 1, changed=now, error=error)
        if status is Status.DEAD:
            # Until its letter is in the broker the rows say that it waits: nobody must look at them.
            self._busy.add(mail.user_id)
            self._heads[mail.user_id] = (mail.seq, now)
        elif self._heads.get(mail.user_id, (-1, 0))[0] == mail.seq:
            self._load(mail.user_id, mail.seq + 1, now)
        rows: Values = {mail_key(mail.user_id, mail.seq): None, state_key(mail.user_id, mail.identity): encode_state(ended)}
        return Ending(rows, (mail, ended, code) if status is Status.DEAD else None)

    def _load(self, user_id: int, seq: int, now: int) -> None:
        """Make a user's first mail from a place on the one to be looked at."""
        self._heads.pop(user_id, None)
        found = self._rows.scan(queue_prefix(user_id), mail_key(user_id, seq), 1)
        if not found:
            return
        place = place_of(found[0][0])[1]
        mail = self._mail(user_id, place)
        row = None if mail is None else self._rows.get(state_key(user_id, mail.identity))
        state = None if row is None else decode_state(row)
        due = now if state is None or state.status is not Status.WAITING else state.due
        if state is not None and not state.ended and self._address(user_id) is None:
            if now - state.since < self._limits.address_wait:
                return
            due = now
        self._put(user_id, place, due, now)

    def _put(self, user_id: int, seq: int, due: int, now: int) -> None:
        if self.overflow and due > now and len(self._heads) >= self._limits.users:
            self._heads.pop(user_id, None)  # others want the place; the sweep comes back to this one
            return
        self._heads[user_id] = (seq, due)
        heapq.heappush(self._due, (due, user_id))

    def _make_room(self, now: int) -> None:
        """Forget users whose next mail is not due yet, for those who are not in memory."""
        for user_id, (_seq, due) in list(self._heads.items()):
            if due > now and user_id not in self._busy:
                del self._heads[user_id]
                self.overflow = True

    def _mail(self, user_id: int, seq: int) -> Mail | None:
        value = self._rows.get(mail_key(user_id, seq))
        if value is None:
            return None
        return Mail(user_id, seq, value[:IDENTITY].decode(), value[IDENTITY:])

    def _address(self, user_id: int) -> Address | None:
        row = self._rows.get(address_key(user_id))
        found = None if row is None else decode_address(user_id, row)
        return None if found is None or found.email is None else found

    def _prune(self, now: int) -> tuple[Values, bool]:
        page = self._rows.scan(STATE, self._pruned or STATE, PAGE)
        self._pruned = page[-1][0] + b"\0" if len(page) == PAGE else b""
        keep = self._limits.max_age + FORGET_MS
        return {key: None for key, row in page if (state := decode_state(row)).ended and now - state.changed > keep}, not self._pruned
