"""Who reports a partition's lag: its owner, else one worker, so that a sum over all workers is right."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from app.kafka.lag import GroupLag, Lag, PartitionLag

Partition = tuple[str, int]
"""Topic and number, as every client's own kind of topic partition compares equal to."""
REBALANCING = frozenset({"PreparingRebalance", "CompletingRebalance"})


@dataclass(slots=True, frozen=True)
class Sample:
    """A measurement, and what this worker owned when it was made."""

    lag: Lag
    owned: Set[Partition]


def owned(now: Set[Partition], latest: Sample, before: Sample | None, *, alone: bool) -> Set[Partition]:
    """Partitions that this worker reports as their owner.

    A partition that is new here is reported from the second measurement on: until then the one who reported what nobody owned may
    not have noticed. Through a rebalance what stays is reported all the while. Alone there is nobody to wait for.

    Args:
        now: What it owns at this moment.
        latest: The newest measurement.
        before: The one before.
        alone: Whether no other worker is there.
    """
    return now if alone else now & latest.owned & (frozenset() if before is None else before.owned)


def reported(group: GroupLag, mine: Set[Partition], *, speaks: bool) -> Iterator[PartitionLag]:
    """The partitions whose lag this worker reports.

    Args:
        group: As measured.
        mine: What it owns, see `owned`.
        speaks: Whether it is the one worker that reports what nobody owns. In a rebalance nothing is said to be nobody's: the brokers
            know no assignment then, and the owners go on reporting.
    """
    unowned = speaks and group.state not in REBALANCING
    for one in group.partitions:
        if (one.topic, one.partition) in mine or (unowned and one.member is None):
            yield one
