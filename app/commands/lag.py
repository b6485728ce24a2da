"""``lag``: how far each consumer group is behind, asked of the brokers, so that it is told also when nobody runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from time import time
from typing import Any

from faust.cli import option

from app.commands.command import Command
from app.commands.output import JSON_OPTION, age_text, print_json, print_table, say
from app.kafka.lag import GroupLag, PartitionLag, measure

OPTIONS = (
    option("--all", "everything", is_flag=True, default=False, help="Also partitions without lag."),
    JSON_OPTION,
)


async def run(self: Command, everything: bool, as_json: bool) -> None:
    """Show how far the consumer groups are behind, and who is in them.

    The brokers are asked, so it tells also when no worker runs. SECONDS is the age of the oldest record that is not done yet.
    """
    groups, now = (await measure(self.settings)).groups, time()
    if as_json or self.json:
        print_json({"groups": [_told(group, now) for group in groups]})
        return
    for group in groups:
        _print(group, now, everything)


def _told(group: GroupLag, now: float) -> dict[str, Any]:
    """As GET /api/lag tells a group, and who its members are."""
    return {
        "group": group.group,
        "state": group.state,
        "members": group.members,
        "partitions": [
            {
                "topic": one.topic,
                "partition": one.partition,
                "committed": one.committed,
                "end": one.end,
                "lag": one.lag,
                "seconds": _seconds(one, now),
            }
            for one in group.partitions
        ],
        "processes": [asdict(one) for one in group.processes],
    }


def _seconds(one: PartitionLag, now: float) -> float | None:
    seconds = one.seconds(now)
    return None if seconds is None else round(seconds, 3)


def _print(group: GroupLag, now: float, everything: bool) -> None:
    behind = [one for one in group.partitions if one.lag]
    worst = max((one.seconds(now) or 0.0 for one in behind), default=0.0)
    say(
        f"{group.group}: {group.state}, {group.members} members,"
        f" {sum(one.lag for one in behind):,} records behind in {len(behind)} of {len(group.partitions)} partitions"
        + (f", the oldest for {age_text(worst)}" if behind else "")
    )
    if group.processes:
        print_table(("Member", "Host", ">Partitions"), [(one.client, one.host, one.partitions) for one in group.processes])
    else:
        say("  Nobody runs.")
    shown: Sequence[PartitionLag] = group.partitions if everything else behind
    if shown:
        rows: list[tuple[Any, ...]] = [
            (one.topic, one.partition, one.end, "-" if one.committed is None else one.committed, one.lag, age_text(one.seconds(now)))
            for one in shown
        ]
        print_table(("Topic", ">Partition", ">End", ">Committed", ">Lag", ">Seconds"), rows)
