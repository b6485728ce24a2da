"""The cluster: who is there, and who was there a moment ago."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from app.kafka import cluster as module
from app.kafka.cluster import LEASE_SECONDS, SILENT_SECONDS, Cluster
from app.settings import Settings


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    monkeypatch.setattr(module, "time", lambda: clock[0])
    return clock


@pytest.fixture
def cluster() -> Cluster:
    sender: Any = None
    return Cluster(Settings(_env_file=None), sender, "1", lambda: (set(), set()))


def said(url: str, at: float, *, leaves: bool = False) -> Any:
    value = None if leaves else orjson.dumps({"version": "1", "role": "all", "partitions": [], "standbys": []})
    return SimpleNamespace(key=url.encode(), value=value, timestamp=int(at * 1000))


def test_a_worker_that_stops_telling_of_itself_is_silent_and_some_time_later_forgotten(cluster: Cluster, now: list[float]) -> None:
    cluster._hear(said("http://a", now[0]))
    assert (list(cluster.workers()), cluster.silent()) == (["http://a"], [])

    now[0] += LEASE_SECONDS
    assert (list(cluster.workers()), cluster.silent()) == ([], ["http://a"])

    now[0] += SILENT_SECONDS
    assert cluster.silent() == []


def test_a_worker_that_said_that_it_leaves_is_not_silent(cluster: Cluster, now: list[float]) -> None:
    cluster._hear(said("http://a", now[0]))
    cluster._hear(said("http://a", now[0], leaves=True))
    now[0] += LEASE_SECONDS

    assert (list(cluster.workers()), cluster.silent()) == ([], [])
