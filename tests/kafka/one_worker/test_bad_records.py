"""What is no event becomes a dead letter, unchanged, and holds up nothing."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from app.domain.errors import Code
from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Headers, Services, now, task
from tests.kafka.sockets import PlainClient, fence
from tests.processes import Worker


def changed(**members: Any) -> bytes:
    """A valid task event but for these members; None takes one away."""
    value = {"taskId": 1, "teamId": 2, "actorId": 3, "payload": {}} | members
    return json.dumps({name: member for name, member in value.items() if member is not None}).encode()


GOOD = changed()
BAD: list[tuple[Code, bytes | None, Headers]] = [
    (Code.NULL_VALUE, None, []),
    (Code.TOO_LARGE, changed(payload={"note": "x" * 512 * 1024}), []),
    (Code.NOT_UTF8, b'{"title":"\xff"}', []),
    (Code.NOT_JSON, b"{", []),
    (Code.NOT_JSON, b"", []),
    (Code.NOT_JSON, b"\xef\xbb\xbf" + GOOD, []),
    (Code.NOT_JSON, b'{"a":NaN}', []),
    (Code.NOT_JSON, b'{"a":Infinity}', []),
    (Code.NOT_AN_OBJECT, b"[1]", []),
    (Code.TOO_DEEP, b'{"a":' * 33 + b"1" + b"}" * 33, []),
    (Code.MISSING_FIELD, changed(taskId=None), []),
    (Code.MISSING_FIELD, changed(teamId=None), []),
    (Code.WRONG_TYPE, changed(taskId="42"), []),
    (Code.WRONG_TYPE, changed(taskId=True), []),
    (Code.WRONG_TYPE, changed(eventId=""), []),
    (Code.OUT_OF_RANGE, changed(taskId=2**53), []),
    (Code.TYPE_MISMATCH, changed(eventType="task.deleted"), []),
    (Code.BAD_TIMESTAMP, changed(timestamp="yesterday"), []),
    (Code.BAD_CLOUDEVENT, GOOD, [("ce_specversion", b"0.3")]),
    (Code.UNENCODABLE, changed(payload={"n": 2**70}), []),
    (Code.UNENCODABLE, b'{"a":"\\ud800"}', []),
]


async def dead_letter(services: Services, topic: str, sent: Any) -> ConsumerRecord:
    [letter] = await log.records(services.bootstrap, f"{topic}.deadletter", log.of(sent))
    return letter


def test_every_code_is_here() -> None:
    assert {code for code, _, _ in BAD} == set(Code)


@pytest.mark.parametrize(("code", "value", "headers"), BAD, ids=[f"{number}-{bad[0]}" for number, bad in enumerate(BAD)])
async def test_a_bad_record_is_a_dead_letter_unchanged(
    worker: Worker, services: Services, code: Code, value: bytes | None, headers: Headers
) -> None:
    headers = [*headers, ("x-mine", b"\x00\xff"), ("x-mine", b"twice"), ("x-none", None)]
    before = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)

    sent = await services.send("task.created", value, key=b"\xff not text", headers=headers)
    letter = await dead_letter(services, "task.created", sent)

    assert letter.key == b"\xff not text"
    assert letter.value == value
    assert list(letter.headers)[: len(headers)] == headers
    appended = list(letter.headers)[len(headers) :]
    assert [name for name, _ in appended] == ["error", "error-code", "source-topic", "source-partition", "source-offset", "failed-at"]
    told = dict(appended)
    assert told["error-code"] == code.value.encode()
    assert 0 < len(told["error"]) <= 1024
    assert told["source-topic"] == b"task.created"
    assert told["source-partition"] == b"%d" % sent.partition
    assert told["source-offset"] == b"%d" % sent.offset
    assert before <= dt.datetime.fromisoformat(told["failed-at"].decode()) <= dt.datetime.now(dt.UTC)


@pytest.mark.parametrize("topic", ["team.created", "team.member_added", "user.created"])
async def test_every_agent_writes_dead_letters(worker: Worker, services: Services, topic: str) -> None:
    sent = await services.send(topic, b"no json", key=None)

    letter = await dead_letter(services, topic, sent)

    assert (letter.key, letter.value) == (None, b"no json")


async def test_good_records_behind_bad_ones_arrive(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as client:
        bad, good = [], []
        for number in range(10):
            bad.append(await services.send("task.updated", b"poison %d" % number, partition=4))
            good.append(await services.send("task.updated", task("task.updated", team_id, fresh(), owner), partition=4))
        await client.event(good[-1])

        assert [event["eventId"] for event in client.events] == [one.event_id for one in good]
    for one in bad:
        await dead_letter(services, "task.updated", one)


async def test_a_bad_record_is_one_dead_letter(worker: Worker, services: Services) -> None:
    sent = await services.send("task.deleted", b"once", partition=2)
    behind = await services.send("task.deleted", task("task.deleted", fresh(), fresh(), fresh()), partition=2)
    await log.unified(services.bootstrap, behind)

    assert len(await log.records(services.bootstrap, "task.deleted.deadletter", log.of(sent), count=0)) == 1


@pytest.mark.parametrize("fault", ["no json", "no value", "no headers", "another team", "a bad time"])
async def test_a_unified_record_that_does_not_parse_is_a_dead_letter_and_clients_do_not_see_it(
    worker: Worker, services: Services, fault: str
) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    good = log.unified_value(f"hand-{fresh()}", "team.updated", team_id, owner, now(), {"teamId": team_id, "name": "By hand"})
    headers = log.source_headers("team.updated", 0, fresh(), 1_700_000_000_000)
    value: bytes | None = {
        "no json": b"no json",
        "no value": None,
        "no headers": good,
        "another team": good.replace(b"%d" % team_id, b"%d" % fresh()),
        "a bad time": log.unified_value("x", "team.updated", team_id, owner, "2026-11-23T10:00:00Z", {"teamId": team_id}),
    }[fault]
    async with PlainClient(worker.url, owner) as client:
        key = f"team:{team_id}"
        partition, offset = await log.write_unified(services.bootstrap, key, (value, [] if fault == "no headers" else headers))
        fine = await services.send("task.created", task("task.created", team_id, fresh(), owner))
        await client.event(fine)
        await fence(services, client)

        assert [event["eventId"] for event in client.events] == [fine.event_id]

    def match(record: ConsumerRecord) -> bool:
        appended = dict(list(record.headers)[-6:])
        return (appended["source-partition"], appended["source-offset"]) == (b"%d" % partition, b"%d" % offset)

    [letter] = await log.records(services.bootstrap, "team.events.deadletter", match)
    assert (letter.key, letter.value) == (key.encode(), value)
    assert dict(list(letter.headers)[-6:])["source-topic"] == b"team.events"
    state = await team_with(worker, team_id, owner)
    assert state["team"]["name"] == f"Team {team_id}"


async def test_an_internal_record_never_reaches_a_client(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as client:
        for key, team_of in ((f"team:{team_id}", team_id), (f"user:{owner}", None)):
            value = log.unified_value("x", "_internal.note", team_of, owner, now(), {})
            await log.write_unified(services.bootstrap, key, (value, log.source_headers("task.created", 0, fresh(), 1)))
        fine = await services.send("task.created", task("task.created", team_id, fresh(), owner))
        await client.event(fine)
        await fence(services, client)

        assert [event["eventId"] for event in client.events] == [fine.event_id]
