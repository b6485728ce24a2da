"""The suite notices when a safeguard is missing: the same rounds with one taken out are red. Minutes; run with CHAOS_MUTATIONS=1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.chaos.cluster import Cluster
from tests.chaos.faults import Fault, owner_killed_in_burst, sockets_cut
from tests.chaos.round import run_round
from tests.chaos.schedules import stale_batch
from tests.chaos.verdict import Kind

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not os.environ.get("CHAOS_MUTATIONS"), reason="minutes long: set CHAOS_MUTATIONS=1"),
]
CRIPPLED = "tests.chaos.crippled"


@pytest.mark.parametrize(
    ("env", "fault", "kind"),
    [
        ({"DUPLICATE_WINDOW": "0"}, owner_killed_in_burst, "repeated"),
        ({"CRIPPLED": "commit-before-acks"}, owner_killed_in_burst, "source_lost"),
        ({"CRIPPLED": "removal"}, sockets_cut, "leaked"),
    ],
    ids=["duplicate window off", "commits before acks", "removal check off"],
)
async def test_a_round_is_red_without(env: dict[str, str], fault: Fault, kind: Kind, tmp_path: Path) -> None:
    async with Cluster(tmp_path, app=CRIPPLED, env=env).running(2) as cluster:
        result = await run_round(cluster, 0, fault, 1, tmp_path)

    print(result.human())
    assert result.counts[kind] > 0


async def test_the_late_batch_wins_where_recovery_overwrites(tmp_path: Path) -> None:
    async with Cluster(tmp_path, app=CRIPPLED, env={"CRIPPLED": "overwrite"}).running(2) as cluster:
        assert await stale_batch(cluster) == "Stale"
