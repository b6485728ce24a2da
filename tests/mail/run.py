"""Many mails through services that are killed and that come and go: what everybody got, and how fast.

``python -m tests.mail.run --mails 10000 --people 500 --kills 2`` prints the figures; ``--workers 2`` measures two services.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
from collections import Counter, defaultdict
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

from app.kafka.embedded_broker import EmbeddedKafka
from tests.mail.conftest import mail_worker
from tests.mail.sending import Fold, address_of
from tests.mail.server import MailServer
from tests.ports import free_port

SECONDS = 600.0


@dataclass(slots=True, frozen=True)
class Figures:
    """What came of a run."""

    mails: int
    lost: int
    repeated: int
    """Mails that came more than once."""
    out_of_order: int
    """First arrivals of one recipient that came behind a later one."""
    message_ids_differ: int
    """Repeated mails whose Message-ID is not that of the first."""
    seconds: float
    """From the first mail to the last."""
    cpu_ms_a_mail: float
    """Processor time of the services, their start included."""

    @property
    def mails_a_second(self) -> float:
        return self.mails / self.seconds if self.seconds else 0.0


async def run(
    broker: EmbeddedKafka,
    folder: Path,
    *,
    mails: int,
    people: int,
    kills: int = 0,
    comes_and_goes: bool = False,
    workers: int = 1,
    first_user: int = 1,
    chance: random.Random | None = None,
) -> Figures:
    """Ask for mails, disturb the service, and count what came."""
    chance = chance or random.Random(1)
    users = range(first_user, first_user + people)
    wanted: defaultdict[int, list[str]] = defaultdict(list)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(MailServer())
        first = mail_worker(broker, server, folder)
        await stack.enter_async_context(first)
        more = [mail_worker(broker, server, folder) for _ in range(workers - 1)]
        for service in more:
            await stack.enter_async_context(service)
        fold = await stack.enter_async_context(Fold(broker.bootstrap))
        await fold.tell_all(users)
        for number in range(mails):
            user = chance.choice(users)
            wanted[user].append(f"{first_user}-{number}")
            await fold.ask(user, wanted[user][-1], team=1 + user % 7, wait=False)
        await fold.flush()
        for number in range(kills):
            await server.until(partial(came, server, mails * (number + 1) // (kills + 1)), SECONDS)
            first.kill()
            first.start()
            await first.wait_ready(120)
        if comes_and_goes:
            await server.until(partial(came, server, mails // 4), SECONDS)
            async with mail_worker(broker, server, folder):
                await server.until(partial(came, server, mails // 2), SECONDS)
        await server.until(lambda: len({(mail.recipient, mail.event_id) for mail in server.mails}) >= mails, SECONDS)
        cpu = sum(cpu_seconds(service.pid) for service in [first, *more])
    return count(server, wanted, cpu)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def came(server: MailServer, mails: int) -> bool:
    """Whether so many mails have come."""
    return len(server.mails) >= mails


def count(server: MailServer, wanted: dict[int, list[str]], cpu: float) -> Figures:
    """Compare what came with what was asked for."""
    lost = out_of_order = 0
    for user, events in wanted.items():
        once = list(dict.fromkeys(server.to(address_of(user))))
        lost += len(set(events) - set(once))
        place = {event: number for number, event in enumerate(events)}
        places = [place[event] for event in once]
        out_of_order += sum(later < earlier for earlier, later in pairwise(places))
    times = Counter((mail.recipient, mail.event_id) for mail in server.mails)
    identities = {(mail.recipient, mail.event_id, mail.message_id) for mail in server.mails}
    arrived = [mail.at for mail in server.mails]
    return Figures(
        mails=sum(map(len, wanted.values())),
        lost=lost,
        repeated=sum(number - 1 for number in times.values()),
        out_of_order=out_of_order,
        message_ids_differ=len(identities) - len(times),
        seconds=max(arrived) - min(arrived),
        cpu_ms_a_mail=round(1000 * cpu / max(1, len(times)), 2),
    )


async def main(arguments: argparse.Namespace) -> int:
    """Run once on a broker of its own, and print the figures; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        broker = EmbeddedKafka(Path(folder) / "kafka", free_port(2), say=lambda line: print(line, file=sys.stderr))
        broker.start()
        try:
            figures = await run(
                broker, Path(folder), mails=arguments.mails, people=arguments.people, kills=arguments.kills, workers=arguments.workers
            )
        finally:
            broker.stop()
    print(json.dumps(asdict(figures) | {"mails_a_second": round(figures.mails_a_second)}))
    return 1 if figures.lost or figures.out_of_order or figures.message_ids_differ else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    for name, default in (("mails", 10_000), ("people", 500), ("kills", 2), ("workers", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    sys.exit(asyncio.run(main(parser.parse_args())))
