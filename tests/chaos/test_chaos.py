"""A short run of the fault rounds, and the schedules that have a name. More rounds: ``make chaos ROUNDS=200 SEED=7``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.faults import SHORT
from tests.chaos.round import run_round
from tests.chaos.schedules import log_made_anew, stale_batch

pytestmark = pytest.mark.chaos
SEED = 20


async def test_nothing_is_lost_repeated_misordered_leaked_or_wrong_whatever_fails(tmp_path: Path) -> None:
    async with Cluster(tmp_path).running(2) as cluster:
        for number, fault in enumerate(SHORT):
            await cluster.ready()
            result = await run_round(cluster, number, fault, SEED, tmp_path)
            print(result.human())
            assert result.clean, (result.human(), result.findings[:10], tmp_path)


async def test_a_batch_that_a_stopped_owner_sends_late_outdates_nothing(tmp_path: Path) -> None:
    async with Cluster(tmp_path).running(2) as cluster:
        assert await stale_batch(cluster) == "Newest"


async def test_a_log_made_anew_is_a_gap_for_everyone_who_knew_the_old_one(tmp_path: Path) -> None:
    async with Cluster(tmp_path).running(2) as cluster:
        result, skipped = await log_made_anew(cluster, tmp_path)

        assert skipped == []
        assert result.clean, result.findings[:10]
