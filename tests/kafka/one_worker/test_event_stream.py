"""GET /events: events as a plain socket gets them, and ids that lead on."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from app.domain.stream_ids import Places, Scope, encode
from tests.kafka import log
from tests.kafka.asking import ask, assert_problem, team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Sent, Services, member, task, team, user
from tests.kafka.sockets import PlainClient
from tests.kafka.streams import StreamClient
from tests.kafka.waiting import eventually
from tests.processes import Worker


async def some_event(services: Services, team_id: int, actor: int) -> Sent:
    """A task of the team, once it is in the unified stream."""
    sent = await services.send("task.created", task("task.created", team_id, fresh(), actor))
    await log.unified(services.bootstrap, sent)
    return sent


async def made_team(worker: Worker, services: Services, *members: int) -> int:
    team_id = fresh()
    await services.make_team(team_id, *members)
    await team_with(worker, team_id, *members)
    return team_id


def stream(worker: Worker, user_id: int, *, last_id: str | None = None, teams: tuple[int, ...] = ()) -> StreamClient:
    query = "&".join([f"userId={user_id}", *(f"teamId={one}" for one in teams)])
    return StreamClient(worker.url, query, last_id=last_id)


async def metric(worker: Worker, line: str) -> float:
    _, text = await worker.request("GET", "/metrics")
    return next((float(one.rpartition(" ")[2]) for one in text.splitlines() if one.startswith(line + " ")), 0.0)


# --- what comes


async def test_a_stream_begins_with_its_head_an_id_and_when_to_come_back(worker: Worker) -> None:
    async with stream(worker, fresh()) as client:
        await client.until(lambda seen: seen.ids)
        assert client.answer.status == 200
        headers = client.answer.headers
        assert headers["Content-Type"] == "text/event-stream"
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Accel-Buffering"] == "no"
        assert "Content-Encoding" not in headers
        assert client.retry == "3000"
        assert client.raw[0].startswith("retry: ")
        assert len(client.last_id) <= 1024
        assert client.blocks == []


async def test_events_are_those_of_a_plain_socket(worker: Worker, services: Services) -> None:
    owner = fresh()
    team_id = await made_team(worker, services, owner)
    async with stream(worker, owner) as client, PlainClient(worker.url, owner) as socket:
        await client.until(lambda seen: seen.ids)
        sent = [await some_event(services, team_id, owner) for _ in range(3)]
        sent.append(await services.send("task.updated", task("task.updated", team_id, fresh(), owner, title="ü\r\n\u2028")))
        sent.append(await services.send("user.created", user(owner)))
        for one in sent:
            block = await client.event(one)
            assert block.event == ""
            assert len(block.last_id) <= 1024
            assert block.data == await socket.event(one)
        assert len(set(client.event_ids)) == len(client.events) == 5
        assert len(set(client.ids)) == len(client.ids)


async def test_a_stream_narrowed_to_teams_has_those_alone(worker: Worker, services: Services) -> None:
    owner = fresh()
    wanted, other = await made_team(worker, services, owner), await made_team(worker, services, owner)
    async with stream(worker, owner, teams=(wanted,)) as client, stream(worker, owner) as everything:
        await everything.until(lambda seen: seen.ids)
        await everything.event(await some_event(services, other, owner))
        last = await some_event(services, wanted, owner)
        await client.event(last)
        assert client.event_ids == [last.event_id]


async def test_membership_is_followed(worker: Worker, services: Services) -> None:
    owner, guest = fresh(), fresh()
    team_id = await made_team(worker, services, owner)
    async with stream(worker, guest) as client, stream(worker, owner) as inside:
        await inside.event(await some_event(services, team_id, owner))
        added = await services.send("team.member_added", member("team.member_added", team_id, guest, owner))
        await client.event(added)
        between = await some_event(services, team_id, owner)
        await client.event(between)
        removed = await services.send("team.member_removed", member("team.member_removed", team_id, guest, owner))
        await client.event(removed)
        await inside.event(await some_event(services, team_id, owner))
        fence = await services.send("user.created", user(guest))
        await client.event(fence)
        assert client.event_ids == [added.event_id, between.event_id, removed.event_id, fence.event_id]


# --- coming back


async def test_who_comes_back_gets_what_came_meanwhile_once_and_in_order(worker: Worker, services: Services) -> None:
    owner = fresh()
    teams = [await made_team(worker, services, owner) for _ in range(3)]
    async with stream(worker, owner) as client:
        await client.until(lambda seen: seen.ids)
        for team_id in teams:
            await client.event(await some_event(services, team_id, owner))
        last = client.blocks[-1].last_id
        before = client.event_ids
    missed = {team_id: [(await some_event(services, team_id, owner)).event_id for _ in range(4)] for team_id in teams}
    async with stream(worker, owner, last_id=last) as client:
        live = await some_event(services, teams[0], owner)
        await client.event(live)
        await client.until(lambda seen: len(seen.events) == 13)
        for team_id in teams:
            expected = missed[team_id] + ([live.event_id] if team_id == teams[0] else [])
            assert [event["eventId"] for event in client.events if event["teamId"] == team_id] == expected
        assert not set(before) & set(client.event_ids)
        assert client.told == []


async def test_each_id_leads_on_to_exactly_what_came_behind_it(worker: Worker, services: Services) -> None:
    owner = fresh()
    teams = [await made_team(worker, services, owner) for _ in range(2)]
    async with stream(worker, owner) as client:
        await client.until(lambda seen: seen.ids)
        for team_id in teams * 3:
            await client.event(await some_event(services, team_id, owner))
        ids = [client.ids[0], *(block.last_id for block in client.blocks)]
        whole = client.event_ids
    for number, one in enumerate(ids):
        async with stream(worker, owner, last_id=one) as again:
            # Of each team, what was missed comes before anything new does.
            fences = [await some_event(services, team_id, owner) for team_id in teams]
            for fence in fences:
                await again.event(fence)
            whole += [fence.event_id for fence in fences]
            assert sorted(again.event_ids) == sorted(whole[number:])
            assert again.told == []


async def test_who_was_removed_meanwhile_gets_nothing_of_the_team_on_coming_back(worker: Worker, services: Services) -> None:
    owner, guest = fresh(), fresh()
    team_id = await made_team(worker, services, owner, guest)
    async with stream(worker, guest) as client:
        await client.event(await some_event(services, team_id, owner))
        last = client.last_id
    await services.send("team.member_removed", member("team.member_removed", team_id, guest, owner))
    await some_event(services, team_id, owner)
    await team_with(worker, team_id, owner)
    async with stream(worker, guest, last_id=last) as client:
        fence = await services.send("user.created", user(guest))
        await client.event(fence)
        assert client.event_ids == [fence.event_id]
        assert client.told == []


async def test_who_was_removed_and_added_meanwhile_begins_with_a_gap_and_a_snapshot(worker: Worker, services: Services) -> None:
    owner, guest = fresh(), fresh()
    team_id = await made_team(worker, services, owner, guest)
    async with stream(worker, guest) as client:
        await client.event(await some_event(services, team_id, owner))
        last = client.last_id
    await services.send("team.member_removed", member("team.member_removed", team_id, guest, owner))
    secret = await some_event(services, team_id, owner)
    await services.send("team.member_added", member("team.member_added", team_id, guest, owner))
    await team_with(worker, team_id, owner, guest)
    async with stream(worker, guest, last_id=last) as client:
        await client.until(lambda seen: len(seen.told) == 2)
        assert client.told == [("gap", team_id, "membership"), ("snapshot", team_id, None)]
        await client.event(await some_event(services, team_id, owner))
        assert secret.event_id not in client.event_ids


def forged(client: StreamClient, user_id: int) -> dict[str, str]:
    other_log = Scope("f" * 16, user_id, None)
    text = client.last_id
    return {
        "malformed": "not an id",
        "far too long": "A" * 4000,
        "no ASCII": "é☃",
        "a position": client.events[0]["position"],
        "one character changed": text[:5] + ("A" if text[5] != "A" else "B") + text[6:],
        "cut": text[:-3],
        "another log's": encode(other_log, Places(dict.fromkeys(range(8), 0)), ()),
    }


async def test_an_id_that_none_was_given_leads_to_gaps_and_snapshots(worker: Worker, services: Services) -> None:
    owner = fresh()
    team_id = await made_team(worker, services, owner)
    async with stream(worker, owner) as client, stream(worker, owner, teams=(team_id,)) as narrowed:
        sent = await some_event(services, team_id, owner)
        for one in (client, narrowed):
            await one.event(sent)
        texts = forged(client, owner) | {"a narrower stream's": narrowed.last_id}
    async with stream(worker, fresh()) as client:
        await client.until(lambda seen: seen.ids)
        texts["another user's"] = client.last_id
    for name, text in texts.items():
        async with stream(worker, owner, last_id=text) as client:
            await client.until(lambda seen: len(seen.told) == 4 or seen.events)
            team_part, own_part = ([one for one in client.told if (one[1] is None) is own] for own in (False, True))
            assert team_part == [("gap", team_id, "unknown"), ("snapshot", team_id, None)], name
            assert own_part == [("gap", None, "unknown"), ("snapshot", None, None)], name
            last = client.last_id
    snapshot = next(block.data for block in client.blocks if block.event == "snapshot" and "teamId" in block.data)
    assert len(snapshot["tasks"]) == 1
    async with stream(worker, owner, last_id=last) as client:  # behind the snapshot it goes on as ever
        live = await some_event(services, team_id, owner)
        await client.event(live)
        assert (client.told, client.event_ids) == ([], [live.event_id])


async def test_a_late_event_that_changes_more_than_it_tells_is_followed_by_a_snapshot(worker: Worker, services: Services) -> None:
    owner, team_id, early_task, late_task = (fresh() for _ in range(4))

    def at(value: dict[str, Any], minute: int) -> dict[str, Any]:
        return value | {"timestamp": f"2026-01-01T10:{minute:02}:00Z"}

    await services.send("team.created", at(team("team.created", team_id, owner), 0))
    await services.send("task.created", at(task("task.created", team_id, early_task, owner), 1))
    await services.send("team.created", at(team("team.created", team_id, owner), 3))
    await services.send("task.created", at(task("task.created", team_id, late_task, owner), 4))
    await eventually(lambda: team_with(worker, team_id, owner), lambda state: len(state["tasks"]) == 2)
    async with stream(worker, owner) as client:
        await client.event(await services.send("user.created", user(owner)))
        deleted = await services.send("team.deleted", at(team("team.deleted", team_id, owner), 2))
        await client.until(lambda seen: len(seen.told) == 2)
        before, last = client.blocks[-3], client.last_id
        assert before.data["eventId"] == deleted.event_id
        assert client.told == [("gap", team_id, "reset"), ("snapshot", team_id, None)]
        assert [one["taskId"] for one in client.blocks[-1].data["tasks"]] == [late_task]
    async with stream(worker, owner, last_id=before.last_id) as client:  # who was cut off before the snapshot gets one
        await client.until(lambda seen: len(seen.told) == 2)
        assert client.told == [("gap", team_id, "unknown"), ("snapshot", team_id, None)]
    async with stream(worker, owner, last_id=last) as client:  # and behind it there is nothing to tell again
        live = await some_event(services, team_id, owner)
        await client.event(live)
        assert (client.told, client.event_ids) == ([], [live.event_id])


# --- who may


@pytest.mark.parametrize("query", ["", "userId=", "userId=0", "userId=x", "userId=9007199254740992"])
async def test_without_a_user_it_is_401(worker: Worker, query: str) -> None:
    assert_problem(await ask(worker, "GET", f"/events?{query}"), 401)


@pytest.mark.parametrize("team_id", ["0", "x", "", "-1", "9007199254740992"])
async def test_a_team_id_that_is_none_is_400(worker: Worker, team_id: str) -> None:
    assert_problem(await ask(worker, "GET", f"/events?userId=7&teamId=42&teamId={team_id}"), 400)


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"X-Forwarded-For": "10.0.0.1"}],
    ids=lambda headers: str(*headers.values()),
)
async def test_others_are_403(worker: Worker, headers: dict[str, str]) -> None:
    assert_problem(await ask(worker, "GET", "/events?userId=7", headers=headers), 403)


async def test_a_page_of_this_host_may_read(worker: Worker) -> None:
    origin = "http://127.0.0.1:1"
    async with StreamClient(worker.url, f"userId={fresh()}", headers={"Origin": origin}) as client:
        assert client.answer.headers["Access-Control-Allow-Origin"] == origin
    asked = {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "last-event-id"}
    preflight = await ask(worker, "OPTIONS", "/events", headers=asked)
    assert preflight.status == 204
    assert "Last-Event-ID" in preflight.headers["access-control-allow-headers"]


async def test_head_has_the_head_alone(worker: Worker) -> None:
    answer = await ask(worker, "HEAD", f"/events?userId={fresh()}")
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, "text/event-stream", "")
    assert (await ask(worker, "HEAD", "/events")).status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_other_methods_are_405(worker: Worker, method: str) -> None:
    answer = await ask(worker, method, "/events?userId=7")
    assert_problem(answer, 405)
    assert answer.headers["allow"] == "GET,HEAD"


async def test_streams_count_with_sockets(worker: Worker) -> None:
    user_id = fresh()
    async with aiohttp.ClientSession() as session:
        sockets = await asyncio.gather(*(session.ws_connect(f"{worker.url}/ws?userId={user_id}") for _ in range(10)))
        streams = await asyncio.gather(*(session.get(f"{worker.url}/events?userId={user_id}") for _ in range(10)))
        assert await metric(worker, 'teamcast_connections{mode="sse"}') >= 10
        refused = await ask(worker, "GET", f"/events?userId={user_id}")
        assert_problem(refused, 429)
        assert int(refused.headers["retry-after"]) > 0
        streams[0].close()  # whose place is free again once it is seen that nobody reads
        await eventually(lambda: ask(worker, "HEAD", f"/events?userId={user_id}"), lambda answer: answer.status == 200)
        await asyncio.gather(*(socket.close() for socket in sockets))
        for one in streams:
            one.close()
    await eventually(lambda: metric(worker, 'teamcast_connections{mode="sse"}'), lambda count: count == 0)


async def test_an_administrator_ends_streams_too(worker: Worker) -> None:
    user_id = fresh()
    async with stream(worker, user_id) as client:
        await client.until(lambda seen: seen.ids)
        answer = await ask(worker, "POST", "/api/admin/disconnect", json={"userId": user_id})
        assert (answer.status, answer.body) == (200, {"closed": 1})
        async with asyncio.timeout(10):
            await client.ended.wait()
        assert client.comments == [": disconnected"]
