"""HTTP: events are written over it with every fault told, and every error is a problem."""

from __future__ import annotations

import json

import pytest

from app.kafka.embedded_broker import EmbeddedKafka
from tests.kafka import log
from tests.kafka.asking import ask, assert_problem, team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Sent, Services, task, team, user
from tests.kafka.sockets import PlainClient
from tests.processes import Worker

JSON = {"Content-Type": "application/json"}


async def test_an_event_that_is_posted_reaches_its_team_with_the_id_that_the_answer_gave(worker: Worker, services: Services) -> None:
    team_id, owner, task_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as client:
        answer = await ask(worker, "POST", "/api/events/task.created", json=task("task.created", team_id, task_id, owner, title="Posted"))

        assert answer.status == 202, answer
        assert set(answer.body) == {"topic", "partition", "offset", "eventId"}
        event = await client.event(answer.body["eventId"])
        assert event["data"]["title"] == "Posted"
        record = await log.unified(services.bootstrap, Sent("task.created", answer.body["partition"], answer.body["offset"], 0))
        assert json.loads(record.value)["eventId"] == answer.body["eventId"]


async def test_a_posted_record_is_written_as_it_came_with_its_key(worker: Worker, broker: EmbeddedKafka) -> None:
    task_id = fresh()
    body = json.dumps(task("task.created", fresh(), task_id, fresh()), indent=2).encode()

    answer = await ask(worker, "POST", "/api/events/task.created", data=body, headers=JSON)

    [record] = await log.records(
        broker.bootstrap, "task.created", lambda one: (one.partition, one.offset) == (answer.body["partition"], answer.body["offset"])
    )
    assert record.key == f"task:{task_id}".encode()
    assert record.value == body


async def test_an_event_id_of_the_poster_is_kept(worker: Worker) -> None:
    own = f"mine-{fresh()}"

    answer = await ask(worker, "POST", "/api/events/user.created", json=user(fresh()) | {"eventId": own})

    assert (answer.status, answer.body["eventId"]) == (202, own)


async def test_every_fault_of_an_event_is_told(worker: Worker) -> None:
    body = {
        "eventType": "task.deleted",
        "taskId": "42",
        "teamId": 2**53,
        "timestamp": "yesterday",
        "payload": {"title": 1, "completed": "yes"},
    }

    answer = await ask(worker, "POST", "/api/events/task.created", json=body)

    assert_problem(answer, 400)
    assert {(fault["field"], fault["code"]) for fault in answer.body["errors"]} == {
        ("eventType", "type-mismatch"),
        ("taskId", "wrong-type"),
        ("teamId", "out-of-range"),
        ("actorId", "missing-field"),
        ("timestamp", "bad-timestamp"),
        ("payload.title", "wrong-type"),
        ("payload.completed", "wrong-type"),
    }
    assert all(fault["message"] for fault in answer.body["errors"])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "not-json"),
        (b"{", "not-json"),
        (b"\xff", "not-utf8"),
        (b"[]", "not-an-object"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "too-deep"),
        (b'{"a":"\\ud800"}', "unencodable"),
    ],
)
async def test_a_body_that_is_no_object_is_told(worker: Worker, body: bytes, code: str) -> None:
    answer = await ask(worker, "POST", "/api/events/task.created", data=body, headers=JSON)

    assert_problem(answer, 400)
    assert [fault["code"] for fault in answer.body["errors"]] == [code]


async def test_a_body_of_512_kib_is_taken_and_a_larger_one_is_not(worker: Worker) -> None:
    def body(size: int) -> bytes:
        value = json.dumps(user(fresh(), note="")).encode()
        return value.replace(b'"note": ""', b'"note": "' + b"x" * (size - len(value)) + b'"')

    fits, too_large = body(512 * 1024), body(512 * 1024 + 1)
    assert (len(fits), len(too_large)) == (524_288, 524_289)

    assert (await ask(worker, "POST", "/api/events/user.created", data=fits, headers=JSON)).status == 202
    assert_problem(await ask(worker, "POST", "/api/events/user.created", data=too_large, headers=JSON), 413)


async def test_no_source_topic_is_a_404(worker: Worker) -> None:
    for topic in ("team.events", "task.created.deadletter", "nonsense"):
        assert_problem(await ask(worker, "POST", f"/api/events/{topic}", json=user(fresh())), 404)


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/cloudevents+json"])
async def test_a_body_that_is_not_said_to_be_json_is_a_415(worker: Worker, content_type: str) -> None:
    answer = await ask(worker, "POST", "/api/events/user.created", data=json.dumps(user(fresh())), headers={"Content-Type": content_type})

    assert_problem(answer, 415)


async def test_a_charset_does_not_matter(worker: Worker) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}

    assert (await ask(worker, "POST", "/api/events/user.created", data=json.dumps(user(fresh())), headers=headers)).status == 202


async def test_a_page_of_another_site_cannot_write(worker: Worker) -> None:
    value = team("team.created", fresh(), fresh())

    for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"X-Forwarded-For": "10.0.0.1"}):
        assert_problem(await ask(worker, "POST", "/api/events/team.created", json=value, headers=headers), 403)


@pytest.mark.parametrize("path", ["/api/teams/1", "/api/users/1", "/api/tables", "/api/tables/tasks", "/api/tables/tasks/1/1"])
async def test_data_is_read_on_this_machine_alone(worker: Worker, path: str) -> None:
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"}):
        assert_problem(await ask(worker, "GET", path, headers=headers), 403)


@pytest.mark.parametrize(
    "path",
    ["/nothing", "/api", "/api/", "/api/nothing", "/api/teams/0", "/api/teams/x", "/api/users/x", "/api/teams/9007199254740992", "/router"],
)
async def test_what_is_not_there_is_a_404(worker: Worker, path: str) -> None:
    assert_problem(await ask(worker, "GET", path), 404)


async def test_a_team_and_a_user_never_heard_of_are_404(worker: Worker) -> None:
    assert_problem(await ask(worker, "GET", f"/api/teams/{fresh()}"), 404)
    assert_problem(await ask(worker, "GET", f"/api/users/{fresh()}"), 404)


@pytest.mark.parametrize("path", ["/internal/tables", "/internal/tables/tasks", "/internal/seeds/team:1", "/internal/candidates/1"])
async def test_what_workers_ask_each_other_is_not_there_for_others(worker: Worker, path: str) -> None:
    assert_problem(await ask(worker, "GET", path), 404)
    assert_problem(await ask(worker, "GET", path, headers={"Authorization": "Bearer guess"}), 404)
    assert_problem(await ask(worker, "GET", path, headers={"Authorization": "Bearer é".encode().decode("latin-1")}), 404)


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/api/teams/1"), ("POST", "/api/tables"), ("GET", "/api/events/task.created"), ("PUT", "/healthz"), ("POST", "/ws")],
)
async def test_another_method_is_a_405_that_says_which_are_allowed(worker: Worker, method: str, path: str) -> None:
    answer = await ask(worker, method, path)

    assert_problem(answer, 405)
    assert answer.headers["allow"]


async def test_health_is_for_anyone(worker: Worker) -> None:
    assert (await ask(worker, "GET", "/healthz")).status == 200
    assert (await ask(worker, "GET", "/readyz")).status == 200


async def test_faults_of_the_server_never_come_of_odd_requests(worker: Worker) -> None:
    for path in ("/api/tables/tasks?prefix=%00%ff", "/api/tables/tasks/%00", "/api/teams/%F0%9F%98%80", "/api/tables/teams/%ff"):
        answer = await ask(worker, "GET", path)
        assert answer.status < 500, (path, answer)


async def test_no_request_so_far_made_the_server_fail(worker: Worker) -> None:
    assert "Traceback" not in worker.log()
