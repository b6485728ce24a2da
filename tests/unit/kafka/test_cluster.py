"""The cluster: what it writes to the topic, and what it makes of what it hears; the brokers are left out."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import orjson
import pytest

from app.errors import SendFailed
from app.kafka import cluster as module
from app.kafka.cluster import Cluster
from app.kafka.directory import key_of
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from app.kafka.topics import CLUSTER
from app.settings import Settings

ME, OTHER = "http://127.0.0.1:8086", "http://127.0.0.1:8087"


class World:
    """A worker's cluster, and the topic: what is sent comes back, unless it is held."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.log: list[tuple[str, Any]] = []
        self.refuse = 0
        self.owned: tuple[set[int], set[int]] = ({1, 2}, {3})
        self.cluster = Cluster(Settings(_env_file=None), cast(Any, self), "1.2.3", lambda: self.owned)
        self._after: Callable[[], object] = lambda: None
        for name in ("LOOK_SECONDS", "PAUSE_SECONDS", "BEAT_SECONDS"):
            monkeypatch.setattr(module, name, 0.0)

    async def send(self, records: Sequence[Outgoing], seconds: float) -> list[Any]:
        assert seconds > 0
        assert all((one.topic, one.partition) == (CLUSTER, 0) for one in records)
        if records and self.refuse:
            self.refuse -= 1
            raise SendFailed("not now")
        first = len(self.log)
        self.log += [((one.key or b"").decode(), None if one.value is None else orjson.loads(one.value)) for one in records]
        return [SimpleNamespace(offset=offset) for offset in range(first, len(self.log))]

    def hear(self, key: bytes, value: Any) -> None:
        encoded = None if value is None else value if isinstance(value, bytes) else orjson.dumps(value)
        record = Record(CLUSTER, 0, len(self.log), 1_000_000, 0, key, encoded, ())
        self.log.append((key.decode(errors="replace"), value))
        self.cluster._hear(record)

    def beat(self, url: str, run: str) -> None:
        self.hear(url.encode(), {"version": "1", "role": "all", "partitions": [], "standbys": [], "run": run})

    async def run(self, task: Any, enough: Callable[[], bool]) -> None:
        """Run one of its tasks until that is enough."""
        running = asyncio.ensure_future(cast(Any, task).fun(self.cluster))
        for _ in range(1000):
            await asyncio.sleep(0)
            if enough() or running.done():
                break
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert enough()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_a_worker_tells_what_it_is_and_what_it_owns(world: World) -> None:
    await world.run(Cluster._beat, lambda: bool(world.log))
    key, told = world.log[0]
    assert key == ME
    assert told == {"version": "1.2.3", "role": "all", "partitions": [1, 2], "standbys": [3], "run": world.cluster._run}


async def test_a_beat_that_is_refused_is_tried_again(world: World) -> None:
    world.refuse = 3
    await world.run(Cluster._beat, lambda: bool(world.log))


async def test_nothing_follows_the_good_bye(world: World) -> None:
    await world.cluster.leave()
    world.cluster.come(7)
    world.owned = (set(), set())
    beating = asyncio.gather(*(cast(Any, task).fun(world.cluster) for task in (Cluster._beat, Cluster._call_the_roll)))
    await asyncio.wait_for(beating, 1.0)
    assert world.log == [(ME, None)]


async def test_users_are_told_of_with_the_workers_run_and_taken_out_again(world: World) -> None:
    key = key_of(ME, 7).decode()
    world.cluster.come(7)
    await world.run(Cluster._call_the_roll, lambda: world.log == [(key, {"run": world.cluster._run})])
    world.cluster.go(7)
    await world.run(Cluster._call_the_roll, lambda: world.log[1:] == [(key, None)])


async def test_users_that_the_topic_did_not_take_are_told_of_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_seconds: float) -> None:
        await asyncio.sleep(0)

    monkeypatch.setattr(world.cluster, "sleep", at_once)
    world.refuse = 2
    for user_id in (7, 8):
        world.cluster.come(user_id)
    await world.run(Cluster._call_the_roll, lambda: {key for key, _ in world.log} == {key_of(ME, one).decode() for one in (7, 8)})


async def test_a_user_whom_another_worker_took_out_is_told_of_again(world: World) -> None:
    world.cluster.come(7)
    await world.run(Cluster._call_the_roll, lambda: len(world.log) == 1)
    world.hear(key_of(ME, 7), None)
    await world.run(Cluster._call_the_roll, lambda: len(world.log) == 3)
    assert world.log[-1] == (key_of(ME, 7).decode(), {"run": world.cluster._run})


async def test_users_of_an_earlier_run_are_taken_out_but_not_those_who_are_here_again(world: World) -> None:
    for user_id in (7, 8):
        world.hear(key_of(ME, user_id), {"run": "an earlier one"})
    world.cluster.come(8)
    world.beat(ME, world.cluster._run)
    before = len(world.log)
    await world.run(Cluster._clear_up, lambda: len(world.log) > before)
    assert {key for key, value in world.log[before:]} == {key_of(ME, 7).decode()}


def test_another_worker_under_this_ones_url_is_warned_of_once(world: World, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        world.beat(ME, "an earlier one")
        world.beat(ME, world.cluster._run)
        assert "CANONICAL_URL" not in caplog.text
        for _ in range(3):
            world.beat(ME, "another one")
    assert caplog.text.count("CANONICAL_URL") == 1


@pytest.mark.parametrize(
    ("key", "value"), [(b"\xff", {}), (b"http://a#x", {}), (b"http://a", b"{"), (b"http://a#7", b"[]"), (b"http://a", {})]
)
def test_a_record_that_cannot_be_read_is_skipped_with_a_warning(
    world: World, caplog: pytest.LogCaptureFixture, key: bytes, value: Any
) -> None:
    with caplog.at_level(logging.WARNING):
        world.hear(key, value)
    assert "is skipped" in caplog.text
    world.beat(OTHER, "1")
    assert set(world.cluster.workers()) == {OTHER}
