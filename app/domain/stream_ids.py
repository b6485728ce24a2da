"""Ids of an event stream: how far a client has come in every partition at once, as a text that fits in ``Last-Event-ID``."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from app.domain.events import team_key, user_key

MAX_CHARACTERS = 1024
"""Longest id; what does not fit is told more coarsely."""
_CHECK_BYTES = 8
_ROOM = MAX_CHARACTERS * 3 // 4 - _CHECK_BYTES
_MAX_NUMBER = 2**62
"""Beyond every offset and id; what is larger was never written here."""
_FORM = re.compile(r"[A-Za-z0-9_-]{1,1024}", re.ASCII)


@dataclass(slots=True, frozen=True)
class Places:
    """How far a client has come. Of what is named in neither, nothing is known, so that its next event cannot be told."""

    floors: Mapping[int, int] = field(default_factory=dict)
    """By partition, the offset up to which everything of the client's was delivered. Offsets begin at 0; -1: nothing."""
    exceptions: Mapping[str, int | None] = field(default_factory=dict)
    """Keys of which something behind another offset is still to come; ``None``: a snapshot is."""

    def of(self, key: str, partition: int) -> int | None:
        """The offset up to which everything of a key was delivered; ``None`` when that is not known."""
        return self.exceptions[key] if key in self.exceptions else self.floors.get(partition)


@dataclass(slots=True, frozen=True)
class Scope:
    """What an id is good for; to anything else it says nothing."""

    log: str
    """The log's id."""
    user_id: int
    teams: frozenset[int] | None
    """The teams that the stream is narrowed to; ``None``: it is not. A wider stream has more to tell behind the same offsets."""

    def check(self, body: bytes) -> bytes:
        """Tells this id from one that is damaged, made up, or of another scope."""
        teams = "" if self.teams is None else ",".join(str(team) for team in sorted(self.teams))
        digest = blake2b(f"{self.log} {self.user_id} {teams} ".encode(), digest_size=_CHECK_BYTES, person=b"event stream 1")
        digest.update(body)
        return digest.digest()


def encode(scope: Scope, places: Places, used: Collection[int]) -> str:
    """The id for these places, at most `MAX_CHARACTERS` long.

    Where all partitions do not fit, those that are used are told alone, which loses nothing: what the user joins
    elsewhere begins with a record behind this id. Where even these do not fit, no place is told: the answer to such an
    id is a gap.

    Args:
        scope: Whose id it is.
        places: How far the client has come.
        used: The partitions of everything that it follows now.
    """
    body = _pack(places)
    if len(body) > _ROOM:
        in_use = {number: offset for number, offset in places.floors.items() if number in used}
        body = _pack(Places(in_use, places.exceptions))
    if len(body) > _ROOM:
        body = _pack(Places())
    return urlsafe_b64encode(scope.check(body) + body).rstrip(b"=").decode()


def decode(scope: Scope, text: str) -> Places | None:
    """The places of an id; ``None`` for what is no id of this scope."""
    if not _FORM.fullmatch(text):
        return None
    try:
        found = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        body = found[_CHECK_BYTES:]
        if found[:_CHECK_BYTES] != scope.check(body):
            return None
        return _unpack(body, scope.user_id)
    except ValueError:
        return None


def _pack(places: Places) -> bytes:
    packed = bytearray(_pack_floors(tuple(places.floors.items())))
    for key, place in places.exceptions.items():
        kind, _, number = key.partition(":")
        _put(packed, int(number) if kind == "team" else 0)  # no team has the id 0: it stands for the user's own stream
        _put(packed, 0 if place is None else place + 2)
    return bytes(packed)


@lru_cache(maxsize=64)
def _pack_floors(floors: tuple[tuple[int, int], ...]) -> bytes:
    """The partitions' part of an id: the same for all who are at the log's end, so an event to many packs it once."""
    packed = bytearray()
    _put(packed, len(floors))
    before = -1
    for partition, offset in sorted(floors):
        _put(packed, partition - before - 1)
        _put(packed, offset + 1)
        before = partition
    return bytes(packed)


def _put(packed: bytearray, number: int) -> None:
    """Append a number: seven bits a byte, the lowest first."""
    while number > 0x7F:
        packed.append(number & 0x7F | 0x80)
        number >>= 7
    packed.append(number)


def _unpack(body: bytes, user_id: int) -> Places:
    """Take an id's body apart.

    Raises:
        ValueError: It is none that `_pack` gives.
    """
    numbers = _numbers(body)
    count = next(numbers, None)
    if count is None:
        raise ValueError("empty")
    floors: dict[int, int] = {}
    partition = -1
    for _ in range(count):
        partition += 1 + _next(numbers)
        floors[partition] = _next(numbers) - 1
    exceptions: dict[str, int | None] = {}
    for team in numbers:
        place = _next(numbers)
        exceptions[team_key(team) if team else user_key(user_id)] = place - 2 if place else None
    return Places(floors, exceptions)


def _numbers(body: bytes) -> Iterator[int]:
    number = shift = 0
    for byte in body:
        number |= (byte & 0x7F) << shift
        if number > _MAX_NUMBER:
            raise ValueError("too large")
        shift += 7
        if byte < 0x80:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("cut off")


def _next(numbers: Iterator[int]) -> int:
    found = next(numbers, None)
    if found is None:
        raise ValueError("cut off")
    return found
