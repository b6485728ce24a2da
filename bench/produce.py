"""The producer of a benchmark, in a process of its own: evenly paced, or as fast as it goes.

Reads its orders as one JSON line, says `ready`, begins at the next line, and tells when the warm-up is over and when all is written.
librdkafka, because what the producer costs is taken from the servers' two cores.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from bench.events import now_us, record

FLUSH_SECONDS = 60.0
LATE_SECONDS = 0.002
"""Nearer than this to its time an event is sent at once."""


class Paced:
    """Writes the events of all teams in turn."""

    def __init__(self, orders: dict[str, Any]) -> None:
        self._orders = orders
        flood = not orders["rate"]
        self._producer = Producer(
            {
                "bootstrap.servers": orders["brokers"],
                "acks": "all",
                "enable.idempotence": True,
                "linger.ms": 5 if flood else 0,
                "partitioner": "murmur2_random",
                "queue.buffering.max.messages": 1_000_000,
            }
        )
        self._failed: str | None = None
        self.counts = [orders["first"]] * len(orders["teams"])

    def _told(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed = str(error)

    def send(self, index: int) -> None:
        """Write the next event of a team."""
        orders, number = self._orders, self.counts[index]
        self.counts[index] += 1
        team_id = orders["teams"][index]
        made = record(
            orders["run"],
            index,
            number,
            team_id=team_id,
            owner=orders["owners"][index],
            member=orders["members"][index],
            create=orders["create"],
        )
        headers: list[tuple[str, str | bytes | None]] | None = (
            [("centrifugo-channels", b"team:%d" % team_id)] if orders["channels"] else None
        )
        self._producer.produce(made.topic, made.value, made.key, headers=headers, on_delivery=self._told)

    def run(self, number: int, rate: float, first: int) -> None:
        """Write so many events; ``first`` is the number of those before."""
        indexes, start = self._orders["indexes"] or range(len(self.counts)), time.monotonic()
        for index in range(first, first + number):
            if rate:
                wait = start + (index - first) / rate - time.monotonic()
                while wait > 0:
                    self._producer.poll(0)
                    time.sleep(min(wait, LATE_SECONDS))
                    wait = start + (index - first) / rate - time.monotonic()
            self.send(indexes[index % len(indexes)])
            if index % 100 == 0:
                self._producer.poll(0)

    def finish(self) -> None:
        """Wait until the broker has everything.

        Raises:
            RuntimeError: It has not.
        """
        left = self._producer.flush(FLUSH_SECONDS)
        if left or self._failed:
            raise RuntimeError(f"{left} events were not written: {self._failed}")


def say(**words: object) -> None:
    """Tell the driver."""
    print(json.dumps(words), flush=True)


def main() -> None:
    """Write what is ordered."""
    orders = json.loads(sys.stdin.readline())
    paced = Paced(orders)
    say(at="ready")
    sys.stdin.readline()
    rate = orders["rate"]
    paced.run(orders["warmup"], rate, 0)
    if not rate:
        paced.finish()
    say(at="window", counts=paced.counts)
    sys.stdin.readline()
    since = now_us()
    paced.run(orders["events"], rate, orders["warmup"])
    until = now_us()
    paced.finish()
    say(at="done", counts=paced.counts, since=since, until=until, cpu=time.process_time())


if __name__ == "__main__":
    main()
