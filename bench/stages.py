"""What each stage of an event costs by itself: one process, no broker, warm caches, the worker's own functions over batches.

python -m bench.stages [--events 20000] [--teams 1000] [--repeat 3]

Their sum is what an event would cost if nothing lay between the stages: no protocol, no Faust, no commits, no requests for mail, no cold
caches. With the floor of `bench.pipeline` beside it that tells how much of a worker's cost is work, and how much lies between.

Of this sum, the last line tells what the libraries take that are written in C or Rust: JSON read and written, batches packed and
unpacked, rows looked up and put, over the same bytes. Whoever keeps rows of JSON calls them, however little it checks.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import orjson
import rocksdict
from aiokafka.consumer.fetcher import READ_UNCOMMITTED
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from agents.batch_rows import BatchRows
from agents.fold import fold_task
from agents.repartition import Repartition
from app.domain.events import Source
from app.domain.ranks import rank
from app.domain.recent_records import RecentRecords
from app.domain.rows import Row, encode, task_row_key, team_row_key
from app.domain.topics import UNIFIED
from app.kafka.appended import Appended
from app.kafka.fetched import Records
from app.kafka.outgoing import Headers
from app.kafka.record import Record
from bench import report
from bench.events import record
from delivery.entry import entry_made
from delivery.ring import Ring
from delivery.run import Run
from delivery.window import DuplicateWindow, identities

BATCH = 500
BATCH_BYTES = 4 * 2**20
WINDOW = 100_000
RING_BYTES = 64 * 2**20
LOG = "0" * 16
LIBRARIES = "of it, calls of libraries alone"
FOUNDED = "2020-01-01T00:00:00.000000Z"


class Stages:
    """CPU seconds, by stage."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        began = time.process_time()
        yield
        self.seconds[name] += time.process_time() - began


def pack(records: Sequence[tuple[bytes | None, bytes | None, Headers]]) -> bytes:
    """One batch of Kafka's, as it is sent."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, BATCH_BYTES)
    now_ms = int(time.time() * 1000)
    for number, (key, value, headers) in enumerate(records):
        builder.append(number, now_ms, key, value, list(headers))
    return bytes(builder.build())


class Line:
    """The stages of one partition, one behind the other."""

    def __init__(self, folder: Path, teams: int) -> None:
        self._db = rocksdict.Rdict(str(folder), options=rocksdict.Options(raw_mode=True))
        self._repartition = Repartition(cast(Any, None), cast(Any, None), {UNIFIED: 1}, RecentRecords())
        self._window, self._ring = DuplicateWindow(WINDOW), Ring(RING_BYTES, 0, LOG)
        self._teams = teams
        self._offset = 0

    def found(self) -> None:
        """Make the teams."""
        founded = rank("team.created", FOUNDED, Source("team.created", 0, 0, 0))
        row = encode(Row({"created": founded, "seen": founded}, {"name": (founded, "A team")}))
        for team in range(1, self._teams + 1):
            self._db[team_row_key(team).encode()] = row

    def pass_on(self, topic: str, written: Sequence[tuple[bytes, bytes]], stages: Stages) -> None:
        """Take one batch of source records through all stages."""
        raw = pack([(key, value, ()) for key, value in written])
        with stages.stage("unpack what was fetched"):
            fetched = Records(TopicPartition(topic, 0), MemoryRecords(raw), None, 0, None, None, False, READ_UNCOMMITTED)
            sources: list[Record] = fetched.take(len(written))
        with stages.stage("check, route, encode"):
            events = self._repartition.route([sources], int(time.time() * 1000)).events
        with stages.stage("pack the events"):
            pack([(one.key, one.value, one.headers) for one in events])
        with stages.stage("hand them back as records"):
            appended = Appended.of(TopicPartition(UNIFIED, 0), self._offset, int(time.time() * 1000), events)
        self._offset = appended.end
        with stages.stage("read rows and fold onto them"):
            rows = BatchRows(lambda key: cast("bytes | None", self._db.get(key.encode())))
            for one in appended.records:
                fold_task(one.made, rows, asks=True)
            changed = {key.encode(): value for key, value in rows.changed().items()}
        with stages.stage("pack the changelog"):
            pack([(key, value, ()) for key, value in changed.items()])
        with stages.stage("write the rows"):
            batch = rocksdict.WriteBatch(raw_mode=True)
            for name, value in changed.items():
                batch.put(name, value)
            self._db.write(batch)
        with stages.stage("look for repeats, keep an entry"):
            entries = []
            for one in appended.records:
                made = one.made
                self._window.distance(one.offset, identities(one.key or b"", one.value or b"", one.headers, made.headers))
                entries.append(entry_made(LOG, one, made))
                self._ring.append(entries[-1])
        with stages.stage("frame"):
            for entry in entries:
                entry.finish(carries_state=False, state=None)
            len(Run(entries).frames)

    def call_libraries(self, topic: str, written: Sequence[tuple[bytes, bytes]], stages: Stages) -> None:
        """Call, for a batch that was passed on, the libraries alone: each as often as the stages have to, with what they give and take."""
        raw = pack([(key, value, ()) for key, value in written])
        sources: list[Record] = Records(TopicPartition(topic, 0), MemoryRecords(raw), None, 0, None, None, False, READ_UNCOMMITTED).take(
            len(written)
        )
        events = self._repartition.route([sources], int(time.time() * 1000)).events
        keys = [task_row_key(event.made.unified.event.team_id, event.made.unified.event.data["taskId"]).encode() for event in events]
        bodies = [orjson.loads(event.value or b"") for event in events]
        found = [(key, cast("bytes | None", self._db.get(key)) or b"{}") for key in keys]
        rows = [orjson.loads(value) for _key, value in found]
        with stages.stage(LIBRARIES):
            list(itertools.chain.from_iterable(iter(batch) for batch in iter(MemoryRecords(raw).next_batch, None)))
            for _key, value in written:
                orjson.loads(value)
            for body in bodies:
                orjson.dumps(body)
            pack([(event.key, event.value, event.headers) for event in events])
            for key in keys:
                self._db.get(key)
            for _key, value in found:
                orjson.loads(value)
            for row in rows:
                orjson.dumps(row, option=orjson.OPT_SORT_KEYS)
            pack([(key, value, ()) for key, value in found])
            batch = rocksdict.WriteBatch(raw_mode=True)
            for key, value in found:
                batch.put(key, value)
            self._db.write(batch)

    def close(self) -> None:
        """Close the rows."""
        self._db.close()


def measure(events: int, teams: int) -> list[dict[str, Any]]:
    """Microseconds an event, by stage; the teams' first tasks are made before."""
    with tempfile.TemporaryDirectory() as folder:
        line = Line(Path(folder), teams)
        try:
            line.found()
            stages, libraries = Stages(), Stages()
            for counted in (Stages(), stages):
                by_topic: defaultdict[str, list[tuple[bytes, bytes]]] = defaultdict(list)
                for number in range(events):
                    team, event = number % teams, number // teams + (0 if counted is not stages else 50)
                    one = record(1, team, event, team_id=team + 1, owner=1, member=2)
                    by_topic[one.topic].append((one.key, one.value))
                for topic, written in by_topic.items():
                    for start in range(0, len(written), BATCH):
                        line.pass_on(topic, written[start : start + BATCH], counted)
                        if counted is stages:
                            line.call_libraries(topic, written[start : start + BATCH], libraries)
        finally:
            line.close()
    found = [{"stage": name, "CPU us/event": seconds / events * 1e6} for name, seconds in stages.seconds.items()]
    found.append({"stage": "all", "CPU us/event": sum(stages.seconds.values()) / events * 1e6})
    return [*found, {"stage": LIBRARIES, "CPU us/event": libraries.seconds[LIBRARIES] / events * 1e6}]


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--teams", type=int, default=1000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    gc.set_threshold(0)  # as a worker does: app.garbage
    rows = [one for _ in range(given.repeat) for one in measure(given.events, given.teams)]
    words = f"batches of {BATCH}, {given.events:,} events of {given.teams:,} teams; {given.repeat} runs"
    report.publish("stages", rows, file=given.json, words=words)


if __name__ == "__main__":
    main()
