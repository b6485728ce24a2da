"""What is done to the cluster. Each fault returns once it is over, and leaves the same workers wanted as before."""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.cluster import Cluster, Slot
from tests.chaos.producer import Services

ZOMBIE_SECONDS = 14.0
"""Longer than the session time-out of 10 s."""
FREEZE_SECONDS = 7.0
BURST = 1200


@dataclass(slots=True)
class Scene:
    """What a fault works on."""

    cluster: Cluster
    services: Services
    chance: random.Random

    def victim(self) -> Slot:
        """Any worker that runs."""
        return self.chance.choice(self.cluster.live)

    async def running(self) -> Slot:
        """Any worker that runs, as soon as one does again."""
        while not self.cluster.live:  # noqa: ASYNC110  (looked at from outside)
            await asyncio.sleep(0.05)
        return self.victim()

    async def acked(self, more: int) -> None:
        """Return once the broker has taken so many more source records."""
        wanted = len(self.services.written.acked) + more
        while len(self.services.written.acked) < wanted:  # noqa: ASYNC110  (looked at from outside)
            await asyncio.sleep(0.01)


async def worker_killed(scene: Scene) -> None:
    """SIGKILL; the supervisor starts it again."""
    scene.victim().kill()


async def owner_killed_in_burst(scene: Scene) -> None:
    """SIGKILL of a worker that routes, while more comes than it can be done with."""
    victim = scene.victim()
    burst = asyncio.create_task(scene.services.burst(BURST))
    await scene.acked(BURST // 3)
    victim.kill()
    await burst


async def worker_stopped(scene: Scene) -> None:
    """SIGSTOP for longer than the session time-out, then SIGCONT: a zombie that believes it is the owner."""
    victim = scene.victim()
    victim.pause()
    await asyncio.sleep(ZOMBIE_SECONDS)
    victim.resume()


async def owner_stopped_in_burst(scene: Scene) -> None:
    """The same in the middle of a burst, so that it wakes up with batches unsent."""
    victim = scene.victim()
    burst = asyncio.create_task(scene.services.burst(BURST))
    await scene.acked(BURST // 3)
    victim.pause()
    await burst
    await asyncio.sleep(ZOMBIE_SECONDS)
    victim.resume()


async def broker_killed(scene: Scene) -> None:
    """SIGKILL of the broker, and a restart."""
    await scene.cluster.kafka.kill()
    await scene.cluster.kafka.begin()


async def broker_stopped(scene: Scene) -> None:
    """SIGSTOP of the broker for some seconds."""
    pid = scene.cluster.kafka.pid
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(FREEZE_SECONDS)
    os.kill(pid, signal.SIGCONT)


async def worker_added_and_removed(scene: Scene) -> None:
    """One more worker, and SIGTERM for it once it has been ready for a moment."""
    spare = next(slot for slot in scene.cluster.slots if not slot.wanted)
    await spare.start()
    await scene.acked(200)
    await spare.stop()


async def worker_removed_and_added(scene: Scene) -> None:
    """SIGTERM, and a start."""
    victim = scene.victim()
    await victim.stop()
    await scene.acked(150)
    await victim.start()


async def folder_deleted(scene: Scene) -> None:
    """SIGKILL, and a start without the data folder."""
    victim = scene.victim()
    victim.kill(wanted=False)
    victim.forget()
    await victim.start()


async def folder_put_back(scene: Scene) -> None:
    """SIGKILL, and a start with a data folder of long ago."""
    victim = scene.victim()
    if victim.copy is None:
        await victim.stop()
        victim.keep_copy()
        await victim.start()
        await scene.acked(200)
    victim.kill(wanted=False)
    victim.restore_copy()
    await victim.start()


async def sockets_cut(scene: Scene) -> None:
    """Clients' connections reset without a close, three times."""
    for _ in range(3):
        for slot in scene.cluster.live:
            slot.front.reset()
        await scene.acked(100)


async def sockets_frozen(scene: Scene) -> None:
    """Clients' connections take nothing for some seconds; then they are gone."""
    fronts = [slot.front for slot in scene.cluster.live]
    for front in fronts:
        front.freeze()
    await asyncio.sleep(FREEZE_SECONDS)
    for front in fronts:
        front.reset()
        front.thaw()


async def broker_connections_reset(scene: Scene) -> None:
    """Every connection of a worker to the broker reset, again and again."""
    victim = scene.victim()
    for _ in range(4):
        victim.door.reset()
        await scene.acked(60)


async def worker_cut_off(scene: Scene) -> None:
    """A worker that cannot reach the broker for longer than the session time-out, its clients with it."""
    victim = scene.victim()
    victim.door.freeze()
    await asyncio.sleep(ZOMBIE_SECONDS)
    victim.door.thaw()


async def everything(scene: Scene) -> None:
    """A worker killed and sockets cut while the other's connections to the broker are reset."""
    await asyncio.gather(owner_killed_in_burst(scene), sockets_cut(scene))
    (await scene.running()).door.reset()


async def killed_while_other_stopped(scene: Scene) -> None:
    """One worker stopped, the others killed meanwhile; it wakes up to a group that has forgotten it."""
    victim = scene.victim()
    victim.pause()
    await asyncio.sleep(2)
    for slot in scene.cluster.live:
        slot.kill()
    await asyncio.sleep(ZOMBIE_SECONDS)
    victim.resume()


async def broker_killed_in_burst(scene: Scene) -> None:
    """SIGKILL of the broker while much is under way, and of a worker while it is gone."""
    burst = asyncio.create_task(scene.services.burst(BURST))
    await scene.acked(BURST // 3)
    await scene.cluster.kafka.kill()
    scene.victim().kill()
    await scene.cluster.kafka.begin()
    await burst


Fault = Callable[[Scene], Awaitable[None]]
FAULTS: tuple[Fault, ...] = (
    worker_killed,
    owner_killed_in_burst,
    worker_stopped,
    owner_stopped_in_burst,
    broker_killed,
    broker_stopped,
    worker_added_and_removed,
    worker_removed_and_added,
    folder_deleted,
    folder_put_back,
    sockets_cut,
    sockets_frozen,
    broker_connections_reset,
    worker_cut_off,
    everything,
    killed_while_other_stopped,
    broker_killed_in_burst,
)
SHORT: tuple[Fault, ...] = (
    owner_killed_in_burst,
    worker_stopped,
    broker_killed,
    sockets_cut,
)
"""Those of the short run."""
BY_NAME = {fault.__name__: fault for fault in FAULTS}
