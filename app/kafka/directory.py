"""The directory: which workers there are and who is online on them, as the records of `_cluster` say. Pure: no clock of its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.domain.events import MAX_ID

BEAT_SECONDS = 3.0
"""How often a worker says that it is there."""
LEASE_SECONDS = 12.0
"""A worker that has said nothing for so long is gone: four beats, and a little more than the session time-out of the group,
so that others own its partitions by then, or are about to."""
STEP_SECONDS = BEAT_SECONDS + 1.0
"""The most that the clock moves from one record to the next. This worker beats too: a longer silence is the brokers', and nobody's end."""
GOODBYE_SECONDS = 3.0
"""Users of a worker that says good-bye have so long to be seen on another one."""
FORGET_SECONDS = 60.0
"""Users of a worker that is gone for so long are taken out of the topic."""
SILENT_SECONDS = 900.0
"""For so long it is told that a worker is gone, time for somebody to look; then it is taken out of the topic too."""


@dataclass(slots=True, frozen=True)
class Worker:
    """A worker as it tells of itself."""

    url: str
    version: str
    role: str
    partitions: frozenset[int]
    """Partitions of the unified stream that it owns."""
    standbys: frozenset[int]
    run: str
    """Which of the processes that had this URL it is."""
    heard: float
    """When, on the directory's clock."""


@dataclass(slots=True)
class _Place:
    """What the topic says of one URL."""

    until: float
    """When its lease ends, on the directory's clock; its users are online until then."""
    worker: Worker | None = None
    left: bool = False
    """Whether it said good-bye."""
    users: dict[int, str] = field(default_factory=dict)
    """Users, and the run of the worker that named them."""
    counted: bool = False
    """Whether its users are counted as online."""

    def names(self, user_id: int) -> bool:
        return self.counted and self.worker is not None and self.users.get(user_id) == self.worker.run


class Directory:
    """Follows the topic.

    Its clock is the brokers', taken from the records. So a lease is a property of the log and not of the reader: all workers agree on
    it, and neither a reader that was stopped nor brokers that were away end anybody's lease.
    """

    def __init__(self, url: str, run: str) -> None:
        """Begin knowing nobody.

        Args:
            url: This worker's.
            run: Names this process.
        """
        self._url = url
        self._run = run
        self._places: dict[str, _Place] = {}
        self._clock = 0.0
        self._newest: int | None = None
        self._counts: dict[int, int] = {}
        self._came: set[int] = set()
        self._went: set[int] = set()
        self.settled = False
        """Whether this worker's own first word was heard: all that others had said before has been read."""

    # --- hearing

    def hear(self, key: bytes, value: bytes | None, timestamp_ms: int) -> None:
        """Take the next record.

        Raises:
            ValueError: It says nothing that can be read.
        """
        self._advance(timestamp_ms)
        url, user_id = parse_key(key)
        place = self._places.get(url)
        if place is None:
            place = self._places[url] = _Place(self._clock)
        try:
            if user_id is not None:
                self._hear_user(place, user_id, None if value is None else run_of(value))
            else:
                self._hear_worker(place, None if value is None else worker_of(url, value, self._clock))
        finally:
            self._tidy(url, place)

    def _advance(self, timestamp_ms: int) -> None:
        passed = 0.0 if self._newest is None else max(0.0, (timestamp_ms - self._newest) / 1000)
        self._newest = max(timestamp_ms, self._newest or 0)
        self._clock += min(passed, STEP_SECONDS) if self.settled else passed

    def _hear_worker(self, place: _Place, worker: Worker | None) -> None:
        if worker is None:
            place.left, place.until = True, min(place.until, self._clock + GOODBYE_SECONDS)
            return
        self.settled = self.settled or (worker.url == self._url and worker.run == self._run)
        if place.worker is None or place.worker.run != worker.run:
            self._count(place, counted=False)
        place.worker, place.left, place.until = worker, False, self._clock + LEASE_SECONDS
        self._count(place, counted=worker.url != self._url)

    def _hear_user(self, place: _Place, user_id: int, run: str | None) -> None:
        before = place.names(user_id)
        if run is None:
            place.users.pop(user_id, None)
        else:
            place.users[user_id] = run
        self._shift(user_id, place.names(user_id) - before)

    # --- counting

    def _count(self, place: _Place, *, counted: bool) -> None:
        if place.counted == counted or place.worker is None:
            return
        place.counted = counted
        for user_id, run in place.users.items():
            if run == place.worker.run:
                self._shift(user_id, 1 if counted else -1)

    def _tidy(self, url: str, place: _Place) -> None:
        """End what has ended."""
        if place.until <= self._clock:
            self._count(place, counted=False)
            if place.left:
                place.worker = None
        if place.worker is None and not place.users:
            del self._places[url]

    def _shift(self, user_id: int, by: int) -> None:
        before = self._counts.get(user_id, 0)
        after = before + by
        if after:
            self._counts[user_id] = after
        else:
            self._counts.pop(user_id, None)
        if bool(before) == bool(after):
            return
        changed, undone = (self._came, self._went) if after else (self._went, self._came)
        if user_id in undone:
            undone.remove(user_id)
        else:
            changed.add(user_id)

    # --- asking

    def workers(self) -> dict[str, Worker]:
        """The workers that are there, by URL; this one is among them once it has been heard."""
        here = ((url, place.worker) for url, place in self._places.items() if place.until > self._clock and not place.left)
        return {url: worker for url, worker in here if worker is not None}

    def silent(self) -> list[str]:
        """URLs of workers whose lease ended within the last `SILENT_SECONDS`, and that did not say that they leave."""
        return sorted(
            url
            for url, place in self._places.items()
            if place.worker is not None and not place.left and place.until <= self._clock < place.until + SILENT_SECONDS
        )

    def owner(self, partition: int) -> str | None:
        """URL of the worker that last said that it owns a partition."""
        found = [worker for worker in self.workers().values() if partition in worker.partitions]
        return max(found, key=lambda worker: worker.heard).url if found else None

    def elsewhere(self) -> tuple[set[int], set[int]]:
        """Users who came online on other workers, and who went, since this was asked before; nobody before all is known."""
        if not self.settled:
            return set(), set()
        for url, place in list(self._places.items()):
            self._tidy(url, place)
        came, went = self._came, self._went
        self._came, self._went = set(), set()
        return came, went

    def left_over(self) -> Iterator[bytes]:
        """Keys of records that tell of nobody any more, as far as it is this worker's turn to take them out of the topic.

        Every worker clears up after itself; after those that are gone the one with the first URL does.
        """
        if not self.settled:
            return
        first = min(self.workers(), default=self._url) == self._url
        for url, place in self._places.items():
            if url == self._url:
                yield from (key_of(url, user_id) for user_id, run in place.users.items() if run != self._run)
            elif first and place.until + FORGET_SECONDS <= self._clock:
                yield from (key_of(url, user_id) for user_id in place.users)
                if place.worker is not None and not place.left and place.until + SILENT_SECONDS <= self._clock:
                    yield url.encode()


def key_of(url: str, user_id: int) -> bytes:
    """Key of the record that says that a user is online on a worker. A URL of a worker has no fragment."""
    return b"%s#%d" % (url.encode(), user_id)


def parse_key(key: bytes) -> tuple[str, int | None]:
    """A record's worker, and its user if it is of one.

    Raises:
        ValueError: It is no key of ours.
    """
    url, mark, number = key.decode().partition("#")
    if not mark:
        return url, None
    user_id = int(number) if number.isascii() and number.isdigit() and len(number) <= 16 else 0
    if not 0 < user_id <= MAX_ID:
        raise ValueError("the key names no user")
    return url, user_id


def run_of(value: bytes) -> str:
    """The run that a user's record names.

    Raises:
        ValueError: None.
    """
    run = _object(value).get("run")
    if not isinstance(run, str):
        raise ValueError("the record names no run")
    return run


def worker_of(url: str, value: bytes, heard: float) -> Worker:
    """The worker that a record tells of.

    Raises:
        ValueError: None.
    """
    said = _object(value)
    try:
        partitions, standbys = frozenset(map(int, said["partitions"])), frozenset(map(int, said["standbys"]))
        return Worker(url, str(said["version"]), str(said["role"]), partitions, standbys, str(said.get("run", "")), heard)
    except (KeyError, TypeError) as error:
        raise ValueError("the record lacks a member, or has another kind of it") from error


def _object(value: bytes) -> dict[str, Any]:
    said = orjson.loads(value)
    if not isinstance(said, dict):
        raise ValueError("the record is no object")
    return said
