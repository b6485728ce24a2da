"""The commands for whoever is on call, as processes of their own beside a running worker."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from tests.kafka import log
from tests.kafka.asking import ask, team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Sent, Services, member, now, task, user
from tests.kafka.waiting import eventually
from tests.ports import free_port
from tests.processes import ROOT, Worker


@dataclass(slots=True, frozen=True)
class Done:
    """What a command did."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def run(worker: Worker, services: Services, *arguments: str, stdin: bytes = b"", **env: str) -> Done:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KAFKA_", "JWT_", "HOST", "ADMIN_"))}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "faust", "-A", "app", *arguments),
        cwd=ROOT,
        env={**inherited, "KAFKA_BROKERS": services.bootstrap, "PORT": str(worker.port), "REPLICATION_FACTOR": "1", **env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(stdin), 120)
    assert b"Traceback" not in err, err.decode()
    assert process.returncode is not None
    return Done(process.returncode, out, err.decode())


async def bad_task(services: Services, value: bytes) -> str:
    """Write what is no task.created; return its letter's name once it is a dead letter."""
    sent = await services.send("task.created", value)
    await log.records(services.bootstrap, "task.created.deadletter", log.of(sent))
    return f"task.created-{sent.partition}-{sent.offset}"


async def letters(worker: Worker, services: Services, name: str) -> Any:
    done = await run(worker, services, "deadletters", "list", "--topic", "task.created", "--limit", "1000", "--json")
    [found] = [one for one in done.json["letters"] if one["letter"] == name]
    return found


class TestDeadLetters:
    async def test_mended_and_replayed_twice_it_is_one_event(self, worker: Worker, services: Services) -> None:
        team_id, owner, task_id = fresh(), fresh(), fresh()
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)
        bad = b'{"taskId": "\x1b[2J", "teamId": 1, "actorId": 1}'
        name = await bad_task(services, bad)

        assert (await run(worker, services, "deadletters", "show", name, "--raw")).out == bad
        shown = await run(worker, services, "deadletters", "show", name)
        assert b"\x1b[2J" not in shown.out
        refused = await run(worker, services, "deadletters", "replay", name)
        assert (refused.code, "would be a dead letter again" in refused.err) == (1, True)

        mended = json.dumps({"taskId": task_id, "teamId": team_id, "actorId": owner, "payload": {"title": "Mended"}}).encode()
        steps = []
        for _ in range(2):
            done = await run(worker, services, "deadletters", "replay", name, "--value", "-", "--json", stdin=mended)
            assert done.code == 0, done.err
            steps += done.json["done"]
        unified = [await log.unified(services.bootstrap, Sent(one["topic"], one["partition"], one["offset"], 0)) for one in steps]
        first, second = (json.loads(record.value or b"") for record in unified)
        assert first == second
        assert first["eventId"].rpartition("-")[0] == name
        assert (await letters(worker, services, name))["status"] == "replayed"

    async def test_a_letter_that_is_valid_now_is_replayed_as_it_was_with_its_first_time(self, worker: Worker, services: Services) -> None:
        team_id, owner = fresh(), fresh()
        # As a version of this program wrote it that did not know the event yet.
        sent = await services.send("team.created", b"no event yet")
        value = json.dumps({"teamId": team_id, "actorId": owner}).encode()
        headers = [("h", b"1"), ("error", b"x"), ("error-code", b"wrong-type"), ("source-topic", b"team.created")]
        headers += [("source-partition", b"%d" % sent.partition), ("source-offset", b"%d" % sent.offset), ("failed-at", now().encode())]
        async with AIOKafkaProducer(bootstrap_servers=services.bootstrap) as producer:
            for _ in range(2):  # a crash repeats it
                written = await producer.send_and_wait("team.created.deadletter", value, key=b"k", headers=headers, partition=0)
        done = await run(worker, services, "deadletters", "list", "--topic", "team.created", "--limit", "1000", "--json")
        [found] = [one for one in done.json["letters"] if one["place"] == f"team.created.deadletter-0-{written.offset}"]
        assert found["repeats"] == 2

        done = await run(worker, services, "deadletters", "replay", found["place"])
        assert done.code == 0, done.err
        team = await team_with(worker, team_id, owner)
        assert team["team"]["updatedAt"][:19] >= found["failedAt"][:10]

    async def test_a_discarded_one_says_why_and_stays(self, worker: Worker, services: Services) -> None:
        name = await bad_task(services, b"not json")
        done = await run(worker, services, "deadletters", "discard", name, "--reason", "a test")
        assert done.code == 0, done.err
        found = await letters(worker, services, name)
        assert (found["status"], found["steps"][0]["reason"]) == ("discarded", "a test")
        assert (await run(worker, services, "deadletters", "show", name, "--raw")).out == b"not json"

    @pytest.mark.parametrize(
        "arguments", [["show"], ["show", "x"], ["replay"], ["replay", "--all", "task.created-0-0"], ["list", "task.created-0-0"]]
    )
    async def test_bad_arguments(self, worker: Worker, services: Services, arguments: list[str]) -> None:
        done = await run(worker, services, "deadletters", *arguments)
        assert done.code == 2

    async def test_one_that_is_not_there(self, worker: Worker, services: Services) -> None:
        done = await run(worker, services, "deadletters", "show", "task.created-0-999999999")
        assert (done.code, done.err.count("\n")) == (1, 1)


async def test_lag_names_the_group_and_its_members(worker: Worker, services: Services) -> None:
    [group] = [one for one in (await run(worker, services, "lag", "--json")).json["groups"] if one["group"] == "realtime-service"]
    assert group["state"] == "Stable"
    assert group["members"] == 1
    assert {"topic", "partition", "committed", "end", "lag", "seconds"} == set(group["partitions"][0])


async def test_teams_and_tables_tell_what_the_worker_has(worker: Worker, services: Services) -> None:
    team_id, owner, other = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner, other)
    await services.send("task.created", task("task.created", team_id, fresh(), owner, title="x"))
    await team_with(worker, team_id, owner, other)
    await eventually(lambda: ask(worker, "GET", f"/api/teams/{team_id}"), lambda answer: answer.body["tasks"])

    teams = (await run(worker, services, "teams", "--limit", "1000", "--json")).json["teams"]
    [found] = [one for one in teams if one["teamId"] == team_id]
    assert (found["members"], found["tasks"], found["events"]) == (2, 1, 3)
    rows = (await run(worker, services, "tables", "members", f"{team_id}/", "--json")).json["rows"]
    assert {row["value"]["userId"] for row in rows} == {owner, other}


async def test_without_a_worker_there_is_one_line(worker: Worker, services: Services) -> None:
    for arguments in (["teams"], ["tables"], ["tables", "teams"]):
        done = await run(worker, services, *arguments, "--url", f"http://127.0.0.1:{free_port()}")
        assert (done.code, done.err.count("\n"), "no worker answers" in done.err) == (1, 1, True)


class TestTrace:
    async def test_an_event_is_followed_to_its_row_and_past_each_worker(self, worker: Worker, services: Services) -> None:
        team_id, owner, task_id = fresh(), fresh(), fresh()
        await services.make_team(team_id, owner)
        sent = await services.send("task.created", task("task.created", team_id, task_id, owner, title="x"))
        await eventually(lambda: ask(worker, "GET", f"/api/tables/tasks/{team_id}/{task_id}"), lambda answer: answer.status == 200)
        record = await log.unified(services.bootstrap, sent)

        trace = (await run(worker, services, "trace", sent.event_id, "--json")).json
        steps = {one["step"]: one for one in trace["steps"]}
        assert steps["source"]["where"] == f"task.created-{sent.partition} at {sent.offset}"
        assert steps["unified"]["where"] == f"team.events-{record.partition} at {record.offset}"
        assert steps["unified"]["afterMs"] == record.timestamp - sent.timestamp
        assert [one["where"] for one in trace["steps"] if one["step"] == "row"] == [f"tasks {team_id}/{task_id}", f"teams {team_id}"]
        assert (steps["delivery"]["where"], steps["delivery"]["what"][:13]) == (worker.url, "has passed it")
        assert not any("notification.requests" in line for line in trace["notLookedAt"])
        assert not [one for one in trace["steps"] if one["step"].startswith("mail")]

    async def test_a_producers_own_id_is_searched_for_and_its_repeat_told(self, worker: Worker, services: Services) -> None:
        team_id, owner, own = fresh(), fresh(), f"mine-{fresh()}"
        value = task("task.created", team_id, fresh(), owner) | {"eventId": own}
        for _ in range(2):
            await log.unified(services.bootstrap, await services.send("task.created", value))
        trace = (await run(worker, services, "trace", own, "--since", "1h", "--json")).json
        assert [one["step"] for one in trace["steps"]][:3] == ["source", "unified", "repeat"]

    async def test_a_dead_letter_is_told(self, worker: Worker, services: Services) -> None:
        sent = await services.send("task.created", b"[]")
        await log.records(services.bootstrap, "task.created.deadletter", log.of(sent))
        trace = (await run(worker, services, "trace", sent.event_id, "--json")).json
        assert [one["step"] for one in trace["steps"]] == ["source", "dead letter", "unified"]

    async def test_what_nobody_knows(self, worker: Worker, services: Services) -> None:
        done = await run(worker, services, "trace", f"nobody-{fresh()}", "--since", "1m")
        assert (done.code, "was not found" in done.err) == (1, True)


class TestHistory:
    async def test_the_log_folds_to_what_the_worker_tells(self, worker: Worker, services: Services, tmp_path: Path) -> None:
        team_id, owner, other = fresh(), fresh(), fresh()
        await services.make_team(team_id, owner, other)
        await services.send("task.created", task("task.created", team_id, fresh(), owner, title="kept"))
        await services.send("team.member_removed", member("team.member_removed", team_id, other, owner))
        await log.records(services.bootstrap, "team.events", lambda record: record.key == b"team:%d" % team_id, 4)

        replayed = (await run(worker, services, "replay", str(team_id), "--refold", "--json")).json
        assert len(replayed["events"]) == 4
        at = replayed["events"][-1]["position"]
        answer = await eventually(lambda: ask(worker, "GET", f"/api/teams/{team_id}"), lambda answer: answer.body["position"] == at)
        assert replayed["state"] == {name: answer.body[name] for name in ("team", "members", "tasks")}

        same = await run(worker, services, "verify", str(team_id), "--json")
        assert (same.code, [(one["verdict"], one["base"]) for one in same.json["teams"]]) == (0, [("same", "log")]), same

        file = tmp_path / "team.json"
        assert (await run(worker, services, "export", str(team_id), "--to", str(file))).code == 0
        assert (await run(worker, services, "verify", str(team_id), "--snapshot", str(file))).code == 0
        body = file.read_text().replace("kept", "lost")
        file.write_text(body)
        different = await run(worker, services, "verify", str(team_id), "--snapshot", str(file), "--json")
        assert (different.code, different.json["teams"][0]["verdict"]) == (1, "different")
        assert (await run(worker, services, "export", str(team_id), "--to", str(file))).code == 1

    @pytest.mark.parametrize("arguments", [["verify"], ["verify", "0"], ["verify", "1", "--all"], ["replay", "x"]])
    async def test_bad_arguments(self, worker: Worker, services: Services, arguments: list[str]) -> None:
        assert (await run(worker, services, *arguments)).code == 2


class TestForget:
    async def test_the_rows_tell_nothing_afterwards(self, worker: Worker, services: Services) -> None:
        team_id, owner, gone = fresh(), fresh(), fresh()
        await services.send("user.created", user(gone, phone="555"))
        await services.make_team(team_id, owner, gone)
        await services.send("task.created", task("task.created", None, fresh(), gone, title="secret"))
        await team_with(worker, team_id, owner, gone)
        path = f"/api/users/{gone}"
        await eventually(
            lambda: ask(worker, "GET", path), lambda answer: answer.status == 200 and answer.body["tasks"] and answer.body["email"]
        )

        asked = await run(worker, services, "forget", str(gone))
        assert (asked.code, "--yes" in asked.err) == (2, True)
        planned = (await run(worker, services, "forget", str(gone), "--dry-run", "--json")).json
        assert (planned["written"], len(planned["events"])) == (False, 3)
        assert (await ask(worker, "GET", path)).body["email"]

        done = await run(worker, services, "forget", str(gone), "--yes", "--json")
        assert (done.code, done.json["written"]) == (0, True), done.err
        left = (await ask(worker, "GET", path)).body
        assert (left["email"], left["username"], left["teams"], left["tasks"]) == (None, None, [], [])
        await team_with(worker, team_id, owner)
