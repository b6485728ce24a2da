"""The assignor: Faust's, which counts the rebalances that it decides."""

from __future__ import annotations

from typing import Any

from faust.assignor.partition_assignor import PartitionAssignor

from app import metrics


class Assignor(PartitionAssignor):
    """Runs in one member of the group at a time, its leader: each rebalance counts once, however many workers there are."""

    def assign(self, cluster: Any, member_metadata: Any) -> Any:
        """Decide who gets which partitions."""
        metrics.REBALANCES.labels(group=self.app.conf.id).inc()
        return super().assign(cluster, member_metadata)
