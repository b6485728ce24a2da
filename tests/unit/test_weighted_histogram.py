"""A weighted histogram says what the plain one says of the same observations."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Histogram

from app.weighted_histogram import WeightedHistogram

BUCKETS = (0.1, 0.5, 1, 10)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.1, 0.3, 0.5, 0.7, 1.0, 5.0, 10.0, 11.0]), st.integers(1, 5)), max_size=20))
def test_many_at_once_is_the_same_as_one_by_one(observed: list[tuple[float, int]]) -> None:
    one_by_one, at_once = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("h", "h", buckets=BUCKETS, registry=one_by_one)
    weighted = WeightedHistogram("h", "h", buckets=BUCKETS, registry=at_once)
    for amount, count in observed:
        weighted.observe_many(amount, count)
        for _ in range(count):
            plain.observe(amount)
    for name, labels in [("h_count", {}), *[("h_bucket", {"le": le}) for le in ("0.1", "0.5", "1.0", "10.0", "+Inf")]]:
        assert at_once.get_sample_value(name, labels) == one_by_one.get_sample_value(name, labels)
