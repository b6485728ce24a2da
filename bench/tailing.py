"""A plain reader of the unified stream: takes the time from the producer's call to the record at a tail.

Reads its orders as one JSON line, says `ready`, and reports at the next line.
"""

from __future__ import annotations

import json
import select
import sys

from confluent_kafka import Consumer, TopicPartition

from bench.events import MARK, SEQUENCE_END, now_us
from bench.measure import quantile

POLL_SECONDS = 0.2


def main() -> None:
    """Read until asked for a report."""
    orders = json.loads(sys.stdin.readline())
    consumer = Consumer({"bootstrap.servers": orders["brokers"], "group.id": "bench-tail", "enable.auto.commit": False})
    consumer.assign([TopicPartition(orders["topic"], partition, offset) for partition, offset in enumerate(orders["start"])])
    run = f"{orders['run']:04}".encode()
    times: list[tuple[int, float]] = []
    print(json.dumps({"at": "ready"}), flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        message = consumer.poll(POLL_SECONDS)
        if message is None or message.error():
            continue
        found = MARK.search(message.value() or b"")
        if found and found[1].startswith(run):
            sent = int(found[1][SEQUENCE_END:])
            times.append((sent, (now_us() - sent) / 1000))
    since = json.loads(sys.stdin.readline())["since"]
    delays = sorted(delay for sent, delay in times if sent >= since)
    cut = {name: quantile(delays, share) for name, share in (("p50_ms", 0.5), ("p99_ms", 0.99), ("p999_ms", 0.999))}
    print(json.dumps({"events": len(times), "measured": len(delays)} | cut), flush=True)
    consumer.close()


if __name__ == "__main__":
    main()
