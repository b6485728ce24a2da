"""The agents: which there are, what each reads, and that a batch is acknowledged behind its work."""

from __future__ import annotations

import inspect
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faust
import pytest

from agents import register_fold, register_task, register_team, register_user
from app.domain.topics import SOURCE_TOPICS, UNIFIED
from app.errors import SendFailed
from app.kafka.transport.batches import BatchMessage, BatchSchema

EXPECTED = {
    "task": {"task.created", "task.updated", "task.deleted", "task.completed"},
    "team": {"team.created", "team.updated", "team.deleted", "team.member_added", "team.member_removed", "team.member_role_updated"},
    "user": {"user.created"},
    "fold": {"team.events"},
}


class Work:
    """Takes batches, or fails."""

    def __init__(self, fails: bool = False) -> None:
        self.taken: list[Any] = []
        self.fails = fails

    async def forward(self, batch: Any) -> None:
        if self.fails:
            raise SendFailed("not now")
        self.taken.append([event.message.acked for event in batch.events])

    fold = forward


def agents_of(folder: Path, work: Work) -> dict[str, Any]:
    app = faust.App("unit", broker="kafka://127.0.0.1:1", datadir=str(folder))
    for register in (register_task, register_team, register_user):
        register(app, work)  # type: ignore[arg-type]
    register_fold(app, work)  # type: ignore[arg-type]
    return {name.rpartition(".")[2]: agent for name, agent in app.agents.items()}


def test_every_source_topic_has_one_agent_and_the_unified_stream_one(tmp_path: Path) -> None:
    found = {name: set(agent.channel.topics) for name, agent in agents_of(tmp_path, Work()).items()}
    assert found == EXPECTED
    assert set().union(*found.values()) == {*SOURCE_TOPICS, UNIFIED}


def test_every_agent_takes_batches_one_at_a_time(tmp_path: Path) -> None:
    for agent in agents_of(tmp_path, Work()).values():
        assert isinstance(agent.channel.schema, BatchSchema)
        assert agent.concurrency == 1


class Event:
    """A batch of one record, as it stands in a stream."""

    def __init__(self) -> None:
        self.value = [1]
        self.message = SimpleNamespace(acked=False, handled=False, count=1)

    def ack(self) -> None:
        self.message.acked = True


class Stream:
    def __init__(self, event: Event) -> None:
        self._event = event
        self.channel = SimpleNamespace(queue=SimpleNamespace(empty=lambda: True))
        self.app = SimpleNamespace(consumer=SimpleNamespace(take=lambda message: message is event.message))

    def noack(self) -> Stream:
        return self

    async def events(self) -> Any:
        yield self._event


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_batch_is_acknowledged_behind_its_work(tmp_path: Path, name: str) -> None:
    work, event = Work(), Event()
    await agents_of(tmp_path, work)[name].fun(Stream(event))
    assert work.taken == [[False]]
    assert (event.message.acked, event.message.handled) == (True, True)


@pytest.mark.parametrize("name", EXPECTED)
async def test_a_batch_whose_work_failed_is_not_acknowledged(tmp_path: Path, name: str) -> None:
    event = Event()
    with pytest.raises(SendFailed):
        await agents_of(tmp_path, Work(fails=True))[name].fun(Stream(event))
    assert not event.message.acked


def test_what_tells_our_acknowledgement_from_fausts_is_off_until_it_is_ours() -> None:
    assert BatchMessage.handled is False
    assert inspect.isclass(BatchMessage)
