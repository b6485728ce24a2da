"""``verify``: are a team's rows what the log says?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click
from aiokafka import TopicPartition
from faust.cli import argument, option

from app.commands import snapshot_file
from app.commands.command import Command
from app.commands.keys import key_of
from app.commands.output import JSON_OPTION, print_json, print_table, say
from app.commands.owner_rows import Owners
from app.commands.snapshot_file import Snapshot
from app.commands.worker_api import URL_OPTION, worker_api
from app.domain.events import team_key
from app.domain.rows import decode
from app.domain.topics import UNIFIED
from app.errors import TeamcastError
from app.kafka.log_id import log_ids
from app.kafka.partitioner import partition_of
from app.kafka.reading import Log, Span
from tables.refold import Difference, Rebuilt, Verdict, compare, verdict
from tables.seed import Seed

AT_ONCE = 500
"""Teams whose rows are held at the same time; the partition is read once for so many."""
SHOW_DIFFERENCES = 20

OPTIONS = (
    argument("teams", nargs=-1, metavar="[TEAM]..."),
    option("--all", "everything", is_flag=True, default=False, help="Every team that there is."),
    option("--snapshot", metavar="FILE", default=None, help="Start from what `export` wrote; for one TEAM."),
    URL_OPTION,
    JSON_OPTION,
)


@dataclass(slots=True, frozen=True)
class Verified:
    """What came of one team."""

    key: str
    verdict: Verdict
    base: str
    """What the log's part was put on: ``log`` (from the first event on), ``snapshot``, or ``part of the log``."""
    offset: int
    """The rows and their rebuilding are both of every record up to here."""
    rows: int
    events: int
    differences: list[Difference]

    def as_json(self) -> dict[str, Any]:
        """As programs read it."""
        differences = [{"row": one.row, "what": one.what, "proven": one.proven} for one in self.differences]
        return {
            "key": self.key,
            "verdict": self.verdict,
            "base": self.base,
            "offset": self.offset,
            "rows": self.rows,
            "events": self.events,
            "differences": differences,
        }


async def run(self: Command, teams: tuple[str, ...], everything: bool, snapshot: str | None, url: str | None, as_json: bool) -> None:  # noqa: PLR0917
    """Fold the log anew and compare with the rows that the workers have: 0 the same, 1 different or not provable, 2 bad arguments.

    Where the log has forgotten the beginning, rows that rest on forgotten events cannot be proven without a snapshot.
    """
    if bool(teams) == everything:
        raise click.UsageError("give TEAMs, or --all")
    if snapshot is not None and len(teams) != 1:
        raise click.UsageError("--snapshot goes with one TEAM")
    keys = [key_of(team) for team in teams]
    base = None if snapshot is None else snapshot_file.load(snapshot)
    async with worker_api(self.settings, url) as api, Log(self.settings) as log:
        if UNIFIED not in log.topics:
            raise TeamcastError(f"there is no topic {UNIFIED}")
        if everything:
            keys = [team_key(int(row["key"])) async for row in api.pages("teams")]
        owners = await Owners.of(api, log)
        log_id = (await log_ids(log.admin, [UNIFIED]))[UNIFIED]
        if base is not None:
            _check_snapshot(base, keys[0], log_id)
        found: list[Verified] = []
        for partition, chunk in _chunks(dict.fromkeys(keys), log.topics[UNIFIED]):
            found += await verify(log, owners, log_id, TopicPartition(UNIFIED, partition), chunk, base)
    found.sort(key=lambda one: (one.verdict == "same", one.key))
    if as_json or self.json:
        print_json({"teams": [one.as_json() for one in found]})
    else:
        _print(found)
    bad = [one for one in found if one.verdict != "same"]
    if bad:
        different = sum(one.verdict == "different" for one in bad)
        raise TeamcastError(f"{different} of {len(found)} different, {len(bad) - different} that the log alone cannot prove")


def _check_snapshot(base: Snapshot, key: str, log_id: str) -> None:
    if base.key != key:
        raise click.UsageError(f"the snapshot is of {base.key}, not of {key}")
    if base.log_id != log_id:
        raise TeamcastError(f"the snapshot is of another log: {UNIFIED} was made anew since {base.exported_at}")


def _chunks(keys: Sequence[str] | dict[str, None], partitions: int) -> Iterator[tuple[int, list[str]]]:
    """Keys by partition, a bounded number at a time."""
    grouped = defaultdict(list)
    for key in keys:
        grouped[partition_of(key.encode(), partitions)].append(key)
    for partition in sorted(grouped):
        group = grouped[partition]
        for start in range(0, len(group), AT_ONCE):
            yield partition, group[start : start + AT_ONCE]


async def verify(  # noqa: PLR0917  (what it compares)
    log: Log, owners: Owners, log_id: str, tp: TopicPartition, keys: Sequence[str], base: Snapshot | None
) -> list[Verified]:
    """Rebuild the rows of keys of one partition, and compare each with its owner's.

    Raises:
        Unavailable: An owner does not answer.
        TeamcastError: Between the snapshot and the log's first record something has expired.
    """
    seeds = {key: await owners.rows(key) for key in keys}
    rebuilt = {key: Rebuilt(key, log_id) for key in keys}
    begin = (await log.begins([tp]))[tp]
    first = begin
    if base is not None:
        if base.offset + 1 < begin:
            lost = begin - base.offset - 1
            raise TeamcastError(f"{lost:,} records between the snapshot and the log's first have expired: it is too old")
        first = base.offset + 1
        rebuilt[base.key].rows = dict(base.rows)
        rebuilt[base.key].last_offset, rebuilt[base.key].last_check = base.last_offset, base.last_check
        if seeds[base.key].offset < base.offset:
            raise TeamcastError(f"the owner is at offset {seeds[base.key].offset:,}, before the snapshot: try again when it has caught up")
    end = max(seed.offset for seed in seeds.values()) + 1
    oldest_ms: int | None = None
    async for record in log.records([Span(tp, first, end, begin, first)]):
        oldest_ms = record.timestamp if oldest_ms is None else oldest_ms
        key = (record.key or b"").decode("latin-1")
        # A seed is of its own offset: what is behind it is not in its rows yet.
        if key in seeds and record.offset <= seeds[key].offset:
            rebuilt[key].fold(record)
    whole = base is not None or begin == 0
    name = "snapshot" if base is not None else "log" if whole else "part of the log"
    # Without any record nothing can be proven: whatever the rows rest on has expired.
    oldest = 2**62 if oldest_ms is None else oldest_ms
    return [_verified(rebuilt[key], seeds[key], whole, oldest, begin, name) for key in keys]


def _verified(rebuilt: Rebuilt, seed: Seed, whole: bool, oldest_ms: int, begin: int, base: str) -> Verified:  # noqa: PLR0917
    stored = {key: decode(value) for key, value in seed.rows}
    differences = compare(rebuilt.rows, stored, whole=whole, oldest_ms=oldest_ms)
    # Of a newest record that is not in the log any more, the log can only say that there is none after it.
    ours, theirs = (rebuilt.last_offset, rebuilt.last_check), (seed.last_offset, seed.last_check)
    if ours != theirs and (whole or max(ours, theirs)[0] >= begin):
        differences.append(Difference("last", f"the newest event is at {ours[0]}, the table says {theirs[0]}", proven=True))
    return Verified(rebuilt.key, verdict(differences), base, seed.offset, len(stored), rebuilt.events, differences)


def _print(found: Sequence[Verified]) -> None:
    print_table(
        ("Team", "Verdict", "Rebuilt from", ">Up to offset", ">Rows", ">Events", ">Differences"),
        [(one.key, one.verdict, one.base, one.offset, one.rows, one.events, len(one.differences)) for one in found],
    )
    lines = [(one.key, difference) for one in found for difference in one.differences]
    for key, difference in lines[:SHOW_DIFFERENCES]:
        say(f"{key} {difference.row}: {difference.what}{'' if difference.proven else ' (not provable)'}")
    if len(lines) > SHOW_DIFFERENCES:
        say(f"… and {len(lines) - SHOW_DIFFERENCES:,} more; --json has all.")
    if any(one.verdict == "unproven" for one in found):
        say("What rests on expired events can be proven from a snapshot: `export TEAM --to FILE` now, `verify TEAM --snapshot FILE` later.")
