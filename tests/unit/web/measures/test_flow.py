"""Flow: rates of the last seconds, over several workers, and the times within which deliveries were done."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from app import metrics
from delivery.entry import entry_at
from delivery.ring import Ring
from tests.unit.delivery.fakes import LOG
from web.measures import flow
from web.measures.flow import Counts, Flow, Recent, counts, hot, quantile, together

INF = float("inf")


def at(second: float, events: float, dead: float = 0.0, *delivered: float) -> Counts:
    bounds = dict(zip((0.1, 1.0, INF), delivered, strict=False))
    return Counts(second, {"task.created": events}, {"task.created": dead}, bounds)


def test_right_after_the_start_nothing_flows() -> None:
    assert Recent().flow(at(10.0, 500.0)).events == {"task.created": 0.0}


def test_a_rate_is_the_mean_of_a_window_however_long_it_has_run() -> None:
    recent = Recent()
    for step in range(100):
        recent.note(at(5.0 * step, 100.0 * step, 10.0 * step))
    found = recent.flow(at(5.0 * 100, 100.0 * 100, 10.0 * 100))

    assert found.events == {"task.created": 20.0}
    assert found.dead_letters == {"task.created": 2.0}


def test_what_came_to_an_end_is_out_of_the_rate_after_a_window() -> None:
    recent = Recent()
    for second, events in ((0.0, 0.0), (5.0, 100.0), (10.0, 100.0), (15.0, 100.0), (20.0, 100.0)):
        recent.note(at(second, events))

    assert recent.flow(at(21.0, 100.0)).events == {"task.created": 0.0}


def test_workers_flow_together_and_travel_as_json() -> None:
    one, two = Flow({"a": 1.0}, {"a": 0.5}, {0.1: 1.0, INF: 2.0}), Flow({"a": 2.0, "b": 3.0}, {}, {0.1: 0.0, INF: 4.0})

    found = together([one, Flow.parse(orjson.loads(orjson.dumps(two.as_json())))])

    assert found == Flow({"a": 3.0, "b": 3.0}, {"a": 0.5}, {0.1: 1.0, INF: 6.0})


@pytest.mark.parametrize(
    ("share", "delivered", "seconds"),
    [
        (0.5, {}, None),
        (0.5, {0.1: 0.0, 1.0: 0.0, INF: 0.0}, None),
        (0.5, {0.1: 10.0, 1.0: 10.0, INF: 10.0}, 0.05),
        (0.5, {0.1: 0.0, 1.0: 10.0, INF: 10.0}, 0.55),
        (0.99, {0.1: 99.0, 1.0: 100.0, INF: 100.0}, 0.1),
        (0.99, {0.1: 0.0, 1.0: 1.0, INF: 10.0}, 1.0),
    ],
)
def test_a_quantile_is_guessed_within_its_bucket_and_never_beyond_the_last_bound(
    share: float, delivered: dict[float, float], seconds: float | None
) -> None:
    found = quantile(delivered, share)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_the_counters_are_those_of_the_metrics() -> None:
    before = counts(0.0)
    metrics.EVENTS.labels(topic="task.created").inc(3)
    metrics.DEAD_LETTERS.labels(topic="task.created", code="not-json").inc()
    metrics.DEAD_LETTERS.labels(topic="task.created", code="not-utf8").inc()
    metrics.DELIVERY_SECONDS.observe(0.02)
    after = counts(1.0)

    assert after.events["task.created"] - before.events["task.created"] == 3
    assert after.dead_letters["task.created"] - before.dead_letters["task.created"] == 2
    assert next(bound for bound in after.delivered if after.delivered[bound] > before.delivered[bound]) == 0.025
    assert list(after.delivered)[-1] == INF


async def test_hot_teams_are_those_with_most_events_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = 1_000_000.0
    rings = []
    for keys in (("team:4", "team:5", "team:4", "user:7", "team:x"), ("team:6", "team:4")):
        ring = Ring(10**6, 0, LOG)
        for offset, key in enumerate(keys):
            ring.append(entry_at(LOG, offset, key.encode(), b"{}", [], int(now_ms) - 1000))
        ring.append(entry_at(LOG, 99, b"team:8", b"{}", [], int(now_ms - flow.HOT_SECONDS * 1000) - 1))
        rings.append(ring)

    def ring_of(partition: int) -> Ring:
        if partition == 2:
            raise KeyError(partition)  # it begins anew
        return rings[partition]

    tail: Any = SimpleNamespace(ring=ring_of)

    assert await hot(tail, (0, 1, 2), now_ms, 10) == [(4, 3), (5, 1), (6, 1)]
    assert await hot(tail, (0, 1, 2), now_ms, 1) == [(4, 3)]
