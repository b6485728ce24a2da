"""What the agent takes into an outbox, and what it makes a dead letter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from app.domain.topics import MAIL_DEAD_LETTERS, REQUESTS
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from notifications.intake import ORDER, Intake
from notifications.letters import REPLAY
from notifications.outbox import Values
from tests.unit.notifications.world import Rows, World, request


class Journal:
    """A box's, whose rows are on disk at once."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def write(self, rows: Values) -> asyncio.Future[None]:
        self._rows.write(rows)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


class Box:
    """The outbox of one partition."""

    def __init__(self, world: World) -> None:
        self.partition, self.outbox, self.journal = 0, world.outbox, Journal(world.rows)


class Post:
    """Stands for the mailer and for those who send."""

    def __init__(self, world: World) -> None:
        self.dead: list[Outgoing] = []
        self._box = Box(world)

    async def box(self, partition: int) -> Box:
        return self._box

    async def send(self, records: Sequence[Outgoing]) -> None:
        self.dead += [one for one in records if one.topic == MAIL_DEAD_LETTERS]

    def wake(self) -> None:
        """Nobody sleeps."""


async def taken(headers: list[tuple[str, bytes | None]], value: bytes | None = None) -> tuple[World, list[Outgoing]]:
    world = World()
    post: Any = Post(world)
    _made, usual = request(7, "e-1", at=int(time.time() * 1000))  # one that is too old is not mailed
    record = Record(REQUESTS, 0, 3, 0, 1, b"user:7", value or usual, headers)
    intake = Intake(post, post, post)
    await intake._take(REQUESTS, 0, [record])
    return world, post.dead


@pytest.mark.parametrize("headers", [[], [("other", None)], [(REPLAY, None)], [(REPLAY, b"again")]])
async def test_a_request_is_taken_whatever_headers_stand_beside_it(headers: list[tuple[str, bytes | None]]) -> None:
    world, dead = await taken(headers)
    assert dead == []
    assert world.rows.held


@pytest.mark.parametrize("verb", [None, b"", b"shout", b"\xff"])
async def test_an_order_without_a_verb_that_is_known_is_a_dead_letter(verb: bytes | None) -> None:
    _world, [letter] = await taken([(ORDER, verb)], orjson.dumps({"recipient": 7, "id": "e-1"}))
    assert (ORDER, verb) in letter.headers
    assert ("error-code", b"wrong-type") in letter.headers
