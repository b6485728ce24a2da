"""Rows of the outbox: mails as they came, how far each of them is, and addresses.

A mail's row never changes, it only goes. Its state merges: what has ended has ended, whoever writes late, and otherwise the
later step counts. So two writers' rows come to the same in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import Final

import orjson

from app.domain.requests import Address, parse_address

MAIL: Final = b"mail/"
STATE: Final = b"state/"
ADDRESS: Final = b"address/"
IDENTITY: Final = 32
"""Bytes of a mail's identity, with which its row begins; the request follows as it came."""
DIGITS: Final = 16
"""Of an id up to 2^53-1, and of an offset that nobody will reach: keys sort as numbers."""


class Status(StrEnum):
    """How far a mail is."""

    WAITING = "waiting"
    """For its turn, its recipient's address, or another try."""
    TRYING = "trying"
    """A try has begun. Found after a restart, nobody knows how it ended."""
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    DEAD = "dead"
    """Given up: it is in the dead letters."""
    SENT = "sent"


ENDED: Final = (Status.CANCELLED, Status.EXPIRED, Status.DEAD, Status.SENT)
"""What a mail stays, the later of these before the earlier."""


@dataclass(slots=True, frozen=True)
class State:
    """How far one mail is."""

    seq: int
    """Offset of its request: its place in the recipient's queue."""
    status: Status
    step: int = 0
    """How often this was written."""
    attempts: int = 0
    since: int = 0
    """When the request was read, milliseconds since the epoch, as all times here."""
    tried: int = 0
    """When it was first tried; 0: never."""
    due: int = 0
    """When it is to be tried next."""
    changed: int = 0
    """When it ended."""
    error: str = ""

    @property
    def ended(self) -> bool:
        """Whether there is nothing more to do."""
        return self.status in ENDED


def digest(key: str, event_id: str, replay: str = "") -> str:
    """Identity of a mail among those of one recipient: the event, of one stream; and which replay, where it is one."""
    return blake2b(f"{key} {event_id} {replay}".encode(errors="surrogatepass"), digest_size=16).hexdigest()


def mail_key(user_id: int, seq: int) -> bytes:
    """Key of a mail's row."""
    return b"%b%016d/%016d" % (MAIL, user_id, seq)


def queue_prefix(user_id: int) -> bytes:
    """What the keys of a user's mails begin with."""
    return b"%b%016d/" % (MAIL, user_id)


def place_of(key: bytes) -> tuple[int, int]:
    """User and place of a mail's key."""
    return int(key[len(MAIL) : len(MAIL) + DIGITS]), int(key[len(MAIL) + DIGITS + 1 :])


def state_key(user_id: int, identity: str) -> bytes:
    """Key of a mail's state."""
    return b"%b%016d/%b" % (STATE, user_id, identity.encode())


def address_key(user_id: int) -> bytes:
    """Key of a user's address."""
    return b"%b%016d" % (ADDRESS, user_id)


def encode_state(state: State) -> bytes:
    """The row of a state."""
    return orjson.dumps(
        {
            "q": state.seq,
            "s": state.status,
            "n": state.step,
            "a": state.attempts,
            "t": [state.since, state.tried, state.due, state.changed],
            "e": state.error,
        }
    )


def decode_state(row: bytes) -> State:
    """The state of a row that `encode_state` wrote."""
    body = orjson.loads(row)
    since, tried, due, changed = body["t"]
    return State(body["q"], Status(body["s"]), body["n"], body["a"], since, tried, due, changed, body["e"])


def decode_address(user_id: int, row: bytes) -> Address:
    """The address of a row: the value of its record."""
    return parse_address(b"user:%d" % user_id, row)


def merge(key: bytes, ours: bytes | None, theirs: bytes) -> bytes | None:
    """The row that two writers may have written."""
    if ours is None or ours == theirs:
        return theirs
    if key.startswith(STATE):
        return max(ours, theirs, key=_progress)
    if key.startswith(ADDRESS):
        return max(ours, theirs, key=lambda row: (orjson.loads(row)["rank"], row))
    return ours


def _progress(row: bytes) -> tuple[int, int, bytes]:
    state = decode_state(row)
    return (ENDED.index(state.status) + 1 if state.ended else 0, state.step, row)
