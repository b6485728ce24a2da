"""What the operations page asks for: flow, a team's history, dead letters and what is done about them."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tests.kafka.asking import ask, assert_problem, team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, member, task
from tests.kafka.waiting import eventually
from tests.processes import Worker


async def a_letter(worker: Worker, services: Services, value: bytes, topic: str = "task.created") -> str:
    """A record that is no event, once its dead letter is there."""
    sent = await services.send(topic, value, headers=[("from", b"a test")])
    name = f"{sent.topic}-{sent.partition}-{sent.offset}"
    await eventually(lambda: worker.request("GET", f"/api/deadletters/{name}"), lambda found: found[0] == 200)
    return name


async def events_of(worker: Worker, team_id: int, count: int) -> None:
    """Wait until a team's history has so many events."""
    await eventually(lambda: worker.request("GET", f"/api/history/{team_id}"), lambda found: found[0] == 200 and found[1]["total"] == count)


async def order(worker: Worker, letter: str, verb: str, **arguments: Any) -> Any:
    return await ask(worker, "POST", f"/api/admin/deadletters/{letter}/{verb}", **arguments)


async def test_flow_tells_what_comes_in_how_long_it_keeps_and_which_teams_it_is_about(worker: Worker, services: Services) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    for number in range(20):  # more than any other test has just written: the hottest teams are few
        await services.send("task.updated", task("task.updated", team_id, fresh(), ada, title=f"{number}"))

    async def flow() -> Any:
        return (await worker.request("GET", "/api/flow"))[1]

    def flows(found: Any) -> bool:
        created = next(one for one in found["topics"] if one["topic"] == "team.created")
        return created["perSecond"] > 0 and team_id in [one["teamId"] for one in found["teams"]]

    found = await eventually(flow, flows)
    by_topic = {one["topic"]: one for one in found["topics"]}
    assert by_topic["team.events"]["perSecond"] is None
    assert by_topic["team.events"]["retentionSeconds"] == 7 * 86400
    assert by_topic["team.events"]["headroomSeconds"] > 6 * 86400
    assert "unreachable" not in found


async def test_a_history_tells_every_event_and_comes_to_the_state_of_the_table(worker: Worker, services: Services) -> None:
    team_id, ada, ben, task_id = fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    await services.send("task.created", task("task.created", team_id, task_id, ada, title="First"), partition=3)
    await services.send("task.updated", task("task.updated", team_id, task_id, ben, title="Second"), partition=3)
    await events_of(worker, team_id, 4)  # topics are read beside each other: sent at once, the next one might come before these
    await services.send("team.member_removed", member("team.member_removed", team_id, ben, ada))
    state = await team_with(worker, team_id, ada)
    await events_of(worker, team_id, 5)

    found = (await worker.request("GET", f"/api/history/team:{team_id}"))[1]
    seen: dict[str, Any] = dict(found["begin"])
    for event in found["events"]:
        seen |= event["changes"]
    after = {name: value for name, value in seen.items() if value is not None}

    assert found["key"] == f"team:{team_id}"
    assert found["begin"] == {}
    assert after == {
        "team": state["team"],
        f"member/{ada}": {"userId": ada, "role": "owner"},
        f"task/{task_id}": state["tasks"][0],
    }
    assert [one["position"] for one in found["events"]] == sorted(one["position"] for one in found["events"])
    assert found["events"][-1]["position"] == state["position"]

    newest = (await worker.request("GET", f"/api/history/{team_id}?limit=1"))[1]
    assert newest["events"] == found["events"][-1:]
    assert f"member/{ben}" in newest["begin"]
    older = (await worker.request("GET", f"/api/history/{team_id}?limit=2&before={newest['events'][0]['offset']}"))[1]
    assert older["events"] == found["events"][2:4]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/history/x", 404),
        ("/api/history/0", 404),
        ("/api/history/42?limit=0", 400),
        ("/api/history/42?limit=501", 400),
        ("/api/history/42?before=-1", 400),
        ("/api/deadletters?limit=0", 400),
        ("/api/deadletters?topic=nothing", 400),
        ("/api/deadletters?code=nothing", 400),
        ("/api/deadletters?status=nothing", 400),
        ("/api/deadletters/x", 404),
        ("/api/deadletters/task.created-0-999999999", 404),
        ("/api/deadletters/nothing-0-1", 404),
    ],
)
async def test_a_question_about_nothing_is_a_problem(worker: Worker, path: str, status: int) -> None:
    assert_problem(await ask(worker, "GET", path), status)


async def test_a_dead_letter_is_told_byte_for_byte(worker: Worker, services: Services) -> None:
    letter = await a_letter(worker, services, b"\xff\xfe\x00 not text")

    found = (await worker.request("GET", f"/api/deadletters/{letter}"))[1]
    assert base64.b64decode(found["value"]) == b"\xff\xfe\x00 not text"
    assert base64.b64decode(found["key"]) == b"as the service likes"
    assert [(one["name"], base64.b64decode(one["value"])) for one in found["headers"]] == [("from", b"a test")]
    assert (found["code"], found["status"], found["steps"], found["bytes"]) == ("not-utf8", "open", [], 12)

    listed = (await worker.request("GET", "/api/deadletters?topic=task.created&code=not-utf8&status=open&limit=1000"))[1]
    assert letter in [one["letter"] for one in listed["letters"]]
    assert {one["code"] for one in listed["letters"]} == {"not-utf8"}


async def test_a_mended_dead_letter_ends_in_the_table_once_however_often_it_is_replayed(worker: Worker, services: Services) -> None:
    team_id, ada, task_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    letter = await a_letter(worker, services, b'{"taskId": "')
    mended = json.dumps({"taskId": task_id, "teamId": team_id, "actorId": ada, "creatorId": ada, "payload": {"title": "Mended"}})

    first = await order(worker, letter, "replay", json={"value": mended})
    second = await order(worker, letter, "replay", json={"value": mended})

    assert (first.status, second.status) == (200, 200), (first, second)
    assert first.body["eventId"] == second.body["eventId"]
    assert first.body["eventId"].startswith(letter + "-")
    path = f"/api/tables/tasks/{team_id}/{task_id}"
    _, row = await eventually(lambda: worker.request("GET", path), lambda found: found[0] == 200)
    assert row["value"]["title"] == "Mended"
    _, history = await eventually(lambda: worker.request("GET", f"/api/history/{team_id}"), lambda found: found[1]["total"] == 3)
    assert [one["repeat"] for one in history["events"] if one["eventId"] == first.body["eventId"]] == [False, True]
    _, told = await worker.request("GET", f"/api/deadletters/{letter}")
    assert told["status"] == "replayed"
    assert [(step["action"], step["edited"]) for step in told["steps"]] == [("replayed", True)] * 2


async def test_what_would_be_a_dead_letter_again_is_not_sent_and_every_fault_is_told(worker: Worker, services: Services) -> None:
    letter = await a_letter(worker, services, b"{}")

    for body in ({}, {"value": '{"taskId": 0}'}):
        answer = await order(worker, letter, "replay", json=body)
        assert_problem(answer, 400)
        assert {one["field"] for one in answer.body["errors"]} >= {"taskId", "actorId"}
    assert (await worker.request("GET", f"/api/deadletters/{letter}"))[1]["status"] == "open"


async def test_a_discarded_letter_stays_and_says_why(worker: Worker, services: Services) -> None:
    letter = await a_letter(worker, services, b"hello")

    answer = await order(worker, letter, "discard", json={"reason": "a test of the shop"})

    assert (answer.status, answer.body["reason"]) == (200, "a test of the shop")
    _, told = await worker.request("GET", f"/api/deadletters/{letter}")
    assert (told["status"], told["steps"][0]["reason"]) == ("discarded", "a test of the shop")


@pytest.mark.parametrize("verb", ["replay", "discard"])
async def test_an_order_is_refused_from_another_sites_page_and_without_a_good_body(worker: Worker, services: Services, verb: str) -> None:
    letter = await a_letter(worker, services, b"hello")

    assert_problem(await order(worker, letter, verb, json={}, headers={"Origin": "https://evil.example"}), 403)
    assert_problem(await order(worker, letter, verb, data="{}", headers={"Content-Type": "text/plain"}), 415)
    json_type = {"Content-Type": "application/json"}
    assert_problem(await order(worker, letter, verb, data="[]", headers=json_type), 400)
    wrong = {"replay": {"value": 7}, "discard": {"reason": "x" * 501}}[verb]
    assert_problem(await order(worker, letter, verb, json=wrong), 400)
    assert_problem(await order(worker, letter, verb, data=b" " * (513 * 1024), headers=json_type), 413)
    assert_problem(await order(worker, "task.created-0-999999999", verb, json={}), 404)
    assert_problem(await order(worker, "nothing", verb, json={}), 404)
    assert (await worker.request("GET", f"/api/deadletters/{letter}"))[1]["status"] == "open"
