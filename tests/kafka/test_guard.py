"""What the service costs, beside what cannot be avoided: a regression shows as a ratio, on any machine."""

from __future__ import annotations

import pytest

from bench.guard import measure
from bench.stage import stage

TRIES = 3


async def test_an_event_costs_no_larger_multiple_of_the_floor_than_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """The best of some tries: noise only ever adds."""
    monkeypatch.delenv("KAFKA_BROKERS", raising=False)
    found = []
    async with stage() as on:
        for _ in range(TRIES):
            found.append(await measure(on))
            if found[-1].fine:
                return
    pytest.fail(f"none of {TRIES} tries was within the bounds of bench.guard: {found}")
