"""How many, and how often: counters and token buckets. Nothing here looks at a clock or a socket.

A limit of 0 is off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from app.errors import StartRefused
from app.settings import Settings
from web.problems import Problem

COMMAND_BURST = 2
"""Seconds' worth of commands that may come at once."""
RETRY_SECONDS = 5
"""After which a client that found no free place tries again."""

Key = TypeVar("Key", int, str)
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class TokenBucket:
    """Lets ``rate`` a second pass on average, and ``burst`` at once."""

    __slots__ = ("_at", "_burst", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        """Begin full.

        Args:
            rate: A second; 0: without limit.
            burst: At least 1.
            now: Seconds of a clock that never goes back.
        """
        self._rate, self._burst, self._level, self._at = rate, burst, burst, now

    def take(self, now: float) -> bool:
        """Whether one more may pass now."""
        if not self._rate:
            return True
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        if self._level < 1:
            return False
        self._level -= 1
        return True


def command_bucket(settings: Settings, now: float) -> TokenBucket:
    """The bucket of one socket's commands."""
    rate = settings.commands_per_second
    return TokenBucket(rate, max(1, rate * COMMAND_BURST), now)


class Seat:
    """One connection's place; it counts from ``Places.enter`` until it is left."""

    __slots__ = ("_address", "_places", "_user_id")

    def __init__(self, places: Places, address: str) -> None:
        self._places: Places | None = places
        self._address = address
        self._user_id: int | None = None

    def take_user(self, user_id: int) -> bool:
        """Count the connection as this user's; false, and not counted, when the user has as many as one may have."""
        if self._user_id == user_id:
            return True
        if self._places is None or not self._places.add_user(user_id):
            return False
        if self._user_id is not None:
            self._places.drop_user(self._user_id)
        self._user_id = user_id
        return True

    def leave(self) -> None:
        """Give the place back; a second time does nothing."""
        if self._places is not None:
            self._places.drop(self._address, self._user_id)
            self._places = None


class Places:
    """The connections of this worker: sockets and event streams, in all, by user and by address."""

    def __init__(self, settings: Settings, now: float) -> None:
        """Begin empty.

        Args:
            settings: The limits.
            now: Seconds of a clock that never goes back.
        """
        self._most, self._most_per_user = settings.max_connections, settings.max_connections_per_user
        self._most_per_address = settings.max_connections_per_address
        rate = settings.handshakes_per_second
        self._handshakes = TokenBucket(rate, max(1, rate), now)
        self._count = 0
        self.of_users: dict[int, int] = {}
        self.of_addresses: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    def enter(self, address: str, now: float) -> Seat:
        """A place for a connection from an address (``client_address``), before anything else is known of it.

        Raises:
            Problem: 429 where this address has too many; 503 where the worker has, or where they come too fast.
        """
        if not self._handshakes.take(now):
            raise _full(503, "too many connections come at once", 1)
        if self._most and self._count >= self._most:
            raise _full(503, "this worker has as many connections as it takes")
        if self._most_per_address and self.of_addresses.get(address, 0) >= self._most_per_address:
            raise _full(429, "this address has as many connections as one may have")
        self._count += 1
        self.of_addresses[address] = self.of_addresses.get(address, 0) + 1
        return Seat(self, address)

    def add_user(self, user_id: int) -> bool:
        """Count one more of a user's; false when there are enough."""
        count = self.of_users.get(user_id, 0)
        if self._most_per_user and count >= self._most_per_user:
            return False
        self.of_users[user_id] = count + 1
        return True

    def drop_user(self, user_id: int) -> None:
        """Count one less of a user's."""
        _decrease(self.of_users, user_id)

    def drop(self, address: str, user_id: int | None) -> None:
        """Count a connection no more."""
        self._count -= 1
        _decrease(self.of_addresses, address)
        if user_id is not None:
            self.drop_user(user_id)


def user_full() -> Problem:
    """429: what a handshake is answered when ``Seat.take_user`` is false."""
    return _full(429, "this user has as many connections as one may have")


def trusted_networks(words: Iterable[str]) -> tuple[Network, ...]:
    """TRUSTED_PROXIES: addresses, or networks as ``10.0.0.0/8``.

    Raises:
        StartRefused: One is neither.
    """
    found: list[Network] = []
    for word in words:
        try:
            found.append(ip_network(word, strict=False))
        except ValueError:
            raise StartRefused(f"bad setting: TRUSTED_PROXIES: {word!r} is no address or network") from None
    return tuple(found)


def client_address(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """The address that a connection is counted for: an IPv4 address, or the /64 of an IPv6 address, since that is what one host gets.

    Args:
        peer: The other end of the TCP connection.
        forwarded_for: The X-Forwarded-For headers. They are read from the end, where our own proxies write, and only as far as those
            are trusted: what a client wrote itself stands before that.
        trusted: The proxies.
    """
    found = _address(peer or "")
    hops = [hop.strip() for hop in ",".join(forwarded_for).split(",")] if forwarded_for else []
    while found is not None and hops and any(found in network for network in trusted):
        nearer = _address(hops.pop())
        if nearer is None:
            break
        found = nearer
    if found is None:
        return peer or ""
    return str(ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def _address(text: str) -> Address | None:
    """An address, with or without a port behind it."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def _full(status: int, detail: str, retry_seconds: int = RETRY_SECONDS) -> Problem:
    return Problem(status, detail, headers={"Retry-After": str(retry_seconds)})


def _decrease(counts: dict[Key, int], key: Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
