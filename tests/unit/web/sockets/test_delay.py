"""Being behind the log: who is told, when, and how often."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from app.settings import Settings
from web.sockets.delay import AGAIN_SECONDS, CAUGHT_UP_SECONDS, DELAYED_SECONDS, Delay
from web.sockets.handshake import Sockets


class Client:
    """A connection, and the seconds that it was told."""

    def __init__(self, *, welcomed: bool = True) -> None:
        self.welcomed = welcomed
        self.knows_delay = False
        self.told: list[int] = []
        self.sink = SimpleNamespace(send=self._send)

    def _send(self, message: bytes) -> None:
        found = orjson.loads(message)
        assert found["type"] == "delayed"
        self.told.append(found["seconds"])


class Worker:
    """Sockets of a worker whose tail is so far behind."""

    def __init__(self) -> None:
        self.tail = SimpleNamespace(lag_seconds=0.0)
        self.sockets = Sockets(cast(Any, SimpleNamespace(settings=Settings(_env_file=None), tail=self.tail)))
        self.clients: list[Client] = []
        self.now = 1000.0

    def come(self, *, welcomed: bool = True) -> Client:
        client = Client(welcomed=welcomed)
        self.clients.append(client)
        self.sockets._open.add(cast(Any, client))
        return client

    def look(self, lag: float, after: float = 1.0) -> None:
        self.now += after
        self.tail.lag_seconds = lag
        self.sockets.tell_delay(self.now)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_a_worker_that_is_behind_says_so_and_that_it_has_caught_up(worker: Worker) -> None:
    client = worker.come()
    for lag in (0.0, DELAYED_SECONDS, 12.7, 6.0, 0.0, 0.0):
        worker.look(lag)
    assert client.told == [12, 0]


def test_being_nearly_there_is_not_there(worker: Worker) -> None:
    client = worker.come()
    for lag in (12.0, CAUGHT_UP_SECONDS, 4.0):
        worker.look(lag)
    assert client.told == [12]


def test_while_it_lasts_it_is_told_again_now_and_then(worker: Worker) -> None:
    client = worker.come()
    for lag in range(6, 30):
        worker.look(float(lag))
    assert client.told == [6, 11, 16, 21, 26]
    assert AGAIN_SECONDS == 5.0


def test_who_comes_in_the_middle_is_told_and_who_comes_after_is_not(worker: Worker) -> None:
    worker.look(20.0)
    during = worker.come()
    worker.look(21.0)
    worker.look(0.0)
    after = worker.come()
    worker.look(0.0)
    assert (during.told, after.told) == ([20, 0], [])


def test_nobody_is_told_before_their_welcome(worker: Worker) -> None:
    client = worker.come(welcomed=False)
    worker.look(20.0)
    assert client.told == []
    client.welcomed = True
    worker.look(21.0)
    assert client.told == [20]


def test_a_worker_that_is_never_behind_says_nothing() -> None:
    delay = Delay()
    assert not any(delay.step(lag, now) for now, lag in enumerate((0.0, 4.9, 5.0, 0.0)))
