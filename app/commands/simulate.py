"""``simulate``: a few teams at work."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count

import click
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from faust.cli import option

from app.commands.command import Command
from app.commands.progress import steps
from app.commands.simulation import Planned, Scenario, Simulation
from app.domain.topics import SOURCE_TOPICS
from app.errors import Unavailable
from app.kafka.client import connection
from app.producer import Delivered, Events
from app.settings import Settings

WAIT_SECONDS = 180.0
"""How long a broker and its topics may take to be there: as long as a first start with all its downloads."""
SAY_SECONDS = 5.0
MOST_BEHIND_SECONDS = 0.5
"""What a slow broker made late is sent at once, but not more than this; the rest is given up rather than sent as a flood."""
TICK_SECONDS = 0.005
RATE_SECONDS = 5.0
"""Over how long the shown rate is taken."""

Sending = Events[asyncio.Future[Delivered]]

OPTIONS = (
    option("--teams", type=click.IntRange(1, 100_000), default=4, help="Number of teams."),
    option("--users", type=click.IntRange(1, 1_000_000), default=12, help="Number of users."),
    option("--rate", type=click.FloatRange(0, 100_000, min_open=True), default=5.0, help="Events a second."),
    option("--skew", type=click.FloatRange(0, 10), default=1.0, help="Hot and cold teams: exponent of Zipf's law; 0 makes all alike."),
    option("--seed", type=int, default=None, help="Play the same again."),
    option("--bad-share", type=click.FloatRange(0, 1), default=0.0, help="Part of the records that are no events."),
    option("--duration", type=click.FloatRange(0), default=None, help="Seconds until the end. Default: endless.", show_default=False),
    option("--once-setup", is_flag=True, default=False, help="Make users, teams and first tasks, and end."),
)


async def run(  # noqa: PLR0917  (its options)
    self: Command,
    teams: int,
    users: int,
    rate: float,
    skew: float,
    seed: int | None,
    bad_share: float,
    duration: float | None,
    once_setup: bool,
) -> None:
    """Keep a few teams busy: tasks come, change and go, people join and leave. Ctrl-C ends it.

    A start sets up the same users (1 and up) and teams (101 and up) again, and clears the tasks that the last one left; what people made
    themselves stays.
    """
    simulation = Simulation(Scenario(teams, users, skew, bad_share), time.time_ns() if seed is None else seed, lambda: datetime.now(UTC))
    await topics_there(self.settings)
    async with Events(self.settings, wait=False, linger_ms=5, client_id="teamcast-simulator") as events:
        made = await _set_up(events, simulation)
        click.echo(f"{users} users and {teams} teams are set up ({made:,} events).")
        if not once_setup:
            started = time.monotonic()
            sent = await _play(events, iter(simulation), rate, duration)
            click.echo(f"{sent:,} events in {time.monotonic() - started:.0f} s.")


async def topics_there(settings: Settings, seconds: float = WAIT_SECONDS) -> None:
    """Wait for the brokers and the source topics, and say so every few seconds.

    Raises:
        Unavailable: They are not there after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    say_at = 0.0
    while missing := await _missing(settings):
        if time.monotonic() > deadline:
            raise Unavailable(f"{missing}, after {seconds:.0f} s. `python -m faust -A app topics` makes the topics")
        if time.monotonic() > say_at:
            say_at = time.monotonic() + SAY_SECONDS
            click.echo(f"Waiting: {missing}.", err=True)
        await asyncio.sleep(0.5)


async def _missing(settings: Settings) -> str:
    """What is not there; empty when all is."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        found = {topic["topic"] for topic in await admin.describe_topics() if not topic["error_code"]}
    except (KafkaError, OSError):
        return f"no broker answers at {', '.join(settings.kafka_brokers)}"
    finally:
        await admin.close()
    missing = [topic for topic in SOURCE_TOPICS if topic not in found]
    return f"{len(missing)} topics are missing ({missing[0]}, …)" if missing else ""


async def _send(events: Sending, planned: Planned) -> None:
    if isinstance(planned.value, dict):
        await events.send(planned.topic, planned.value)
    else:
        await events.send_value(planned.topic, planned.value, key=b"simulated")


async def _set_up(events: Sending, simulation: Simulation) -> int:
    done = 0
    with steps("Setting up") as progress:
        for done, planned in enumerate(simulation.set_up(), start=1):
            await _send(events, planned)
            if done % 500 == 0:
                progress.at(done)
                await asyncio.sleep(0)  # a signal is heard
        await events.flush()
        progress.at(done)
    return done


async def _play(events: Sending, plan: Iterator[Planned], rate: float, duration: float | None) -> int:
    """Send what is planned at an even pace; the number of events. Being cancelled is how it usually ends."""
    sent = 0
    begin = time.monotonic()
    end = None if duration is None else begin + duration
    recent: deque[tuple[float, int]] = deque([(begin, 0)])
    try:
        with steps("Simulating") as progress:
            for number in count():
                now = time.monotonic()
                if end is not None and now >= end:
                    break
                begin = max(begin, now - MOST_BEHIND_SECONDS - sent / rate)
                while sent < (now - begin) * rate:
                    await _send(events, next(plan))
                    sent += 1
                if now - recent[-1][0] >= 0.5:
                    recent.append((now, sent))
                    while now - recent[0][0] > RATE_SECONDS:
                        recent.popleft()
                    (since, before) = recent[0]
                    pace = (sent - before) / max(now - since, 0.001)
                    progress.at(sent, f"events, {pace:,.1f}/s, {events.in_flight:,} under way")
                wait = begin + (sent + 1) / rate - time.monotonic()
                if end is not None:
                    wait = min(wait, end - time.monotonic())
                # Below some milliseconds a timer costs more than it is worth; then events go in small groups.
                await asyncio.sleep(min(max(wait, TICK_SECONDS), 1.0) if number else 0)
    except asyncio.CancelledError:
        pass
    return sent
