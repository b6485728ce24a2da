"""Who gets a team's events: its members, live, from the event that makes them one to the one that ends it."""

from __future__ import annotations

from tests.kafka import log
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Sent, Services, member, now, task, team, user
from tests.kafka.sockets import PlainClient, fence
from tests.processes import Worker


async def some_event(services: Services, team_id: int, actor: int) -> Sent:
    """A task of the team, once it is in the unified stream."""
    sent = await services.send("task.created", task("task.created", team_id, fresh(), actor))
    await log.unified(services.bootstrap, sent)
    return sent


def ids(client: PlainClient) -> list[str]:
    return [event["eventId"] for event in client.events]


async def test_someone_added_gets_that_event_first_and_what_follows(worker: Worker, services: Services) -> None:
    team_id, owner, newcomer = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as here, PlainClient(worker.url, newcomer) as client:
        before = await some_event(services, team_id, owner)
        await here.event(before)
        added = await services.send("team.member_added", member("team.member_added", team_id, newcomer, owner))
        await client.event(added)
        after = await some_event(services, team_id, owner)
        await client.event(after)
        await fence(services, client)

        assert ids(client) == [added.event_id, after.event_id]
        assert client.events[0]["data"] == {"teamId": team_id, "userId": newcomer, "role": "member"}


async def test_someone_added_to_a_team_that_nobody_listens_to_here_gets_that_event_first(worker: Worker, services: Services) -> None:
    team_id, owner, newcomer = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await some_event(services, team_id, owner)
    async with PlainClient(worker.url, newcomer) as client:
        await fence(services, client)
        added = await services.send("team.member_added", member("team.member_added", team_id, newcomer, owner))
        await client.event(added)
        after = await some_event(services, team_id, owner)
        await client.event(after)
        await fence(services, client)

        assert ids(client) == [added.event_id, after.event_id]


async def test_who_makes_a_team_while_connected_gets_its_first_event(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    async with PlainClient(worker.url, owner) as client:
        made = await services.send("team.created", team("team.created", team_id, owner, name="New"))
        await client.event(made)
        after = await some_event(services, team_id, owner)
        await client.event(after)
        await fence(services, client)

        assert ids(client) == [made.event_id, after.event_id]


async def test_someone_added_gets_that_event_also_where_the_teams_creation_stands_behind_it(worker: Worker, services: Services) -> None:
    # The two come from different topics, so the unified stream may hold them in either order.
    team_id, owner, newcomer = fresh(), fresh(), fresh()
    data = {"teamId": team_id, "userId": newcomer, "role": "member"}
    added = log.unified_value(f"added-{team_id}", "team.member_added", team_id, owner, now(), data)
    made = log.unified_value(f"made-{team_id}", "team.created", team_id, owner, now(), {"teamId": team_id, "ownerId": owner})
    async with PlainClient(worker.url, newcomer) as client:
        await fence(services, client)
        await log.write_unified(
            services.bootstrap,
            f"team:{team_id}",
            (added, log.source_headers("team.member_added", 0, fresh(), 1_700_000_000_000)),
            (made, log.source_headers("team.created", 0, fresh(), 1_700_000_000_000)),
        )
        after = await some_event(services, team_id, owner)
        await client.event(after)

        assert ids(client) == [f"added-{team_id}", f"made-{team_id}", after.event_id]


async def test_someone_removed_gets_that_event_last(worker: Worker, services: Services) -> None:
    team_id, owner, leaver = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner, leaver)
    await team_with(worker, team_id, owner, leaver)
    async with PlainClient(worker.url, owner) as stays, PlainClient(worker.url, leaver) as client:
        before = await some_event(services, team_id, owner)
        await client.event(before)
        removed = await services.send("team.member_removed", member("team.member_removed", team_id, leaver, owner))
        await client.event(removed)
        after = await some_event(services, team_id, owner)
        await stays.event(after)
        await fence(services, client, stays)

        assert ids(client) == [before.event_id, removed.event_id]
        assert ids(stays) == [before.event_id, removed.event_id, after.event_id]


async def test_someone_removed_and_added_again_gets_what_follows_and_not_what_was_between(worker: Worker, services: Services) -> None:
    team_id, owner, user_id = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner, user_id)
    await team_with(worker, team_id, owner, user_id)
    async with PlainClient(worker.url, owner) as stays, PlainClient(worker.url, user_id) as client:
        removed = await services.send("team.member_removed", member("team.member_removed", team_id, user_id, owner))
        await client.event(removed)
        between = await some_event(services, team_id, owner)
        await stays.event(between)
        added = await services.send("team.member_added", member("team.member_added", team_id, user_id, owner))
        await client.event(added)
        after = await some_event(services, team_id, owner)
        await client.event(after)
        await fence(services, client)

        assert ids(client) == [removed.event_id, added.event_id, after.event_id]


async def test_a_team_that_is_deleted_ends_for_everyone_with_that_event(worker: Worker, services: Services) -> None:
    team_id, owner, other = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner, other)
    await team_with(worker, team_id, owner, other)
    async with PlainClient(worker.url, owner) as first, PlainClient(worker.url, other) as second:
        deleted = await services.send("team.deleted", team("team.deleted", team_id, owner))
        for client in (first, second):
            await client.event(deleted)
        await some_event(services, team_id, owner)
        await fence(services, first, second)

        assert ids(first) == ids(second) == [deleted.event_id]


async def test_a_role_makes_nobody_a_member(worker: Worker, services: Services) -> None:
    team_id, owner, stranger = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as inside, PlainClient(worker.url, stranger) as client:
        sent = await services.send("team.member_role_updated", member("team.member_role_updated", team_id, stranger, owner, role="admin"))
        await inside.event(sent)
        await fence(services, client)

        assert client.events == []


async def test_every_socket_of_a_user_gets_every_event_once(worker: Worker, services: Services) -> None:
    team_id, owner = fresh(), fresh()
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as first, PlainClient(worker.url, owner) as second:
        sent = [await some_event(services, team_id, owner) for _ in range(3)]
        for client in (first, second):
            await client.event(sent[-1])
        last = await services.send("user.created", user(owner))
        for client in (first, second):
            await client.event(last)

        assert sorted(ids(first)) == sorted(ids(second)) == sorted(one.event_id for one in [*sent, last])
        assert first.events == second.events


async def test_a_client_of_all_teams_gets_all_of_them(worker: Worker, services: Services) -> None:
    teams, owner = [fresh() for _ in range(4)], fresh()
    for team_id in teams:
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as client:
        for team_id in teams:
            await client.event(await some_event(services, team_id, owner))

        assert [event["teamId"] for event in client.events] == teams


async def test_the_own_stream_reaches_its_user_alone(worker: Worker, services: Services) -> None:
    mine, theirs, task_id = fresh(), fresh(), fresh()
    async with PlainClient(worker.url, mine) as me, PlainClient(worker.url, theirs) as they:
        created = await services.send("user.created", user(mine))
        personal = await services.send("task.created", task("task.created", None, task_id, mine, title="Mine") | {"assigneeId": theirs})
        done = await services.send("task.completed", task("task.completed", None, task_id, mine, completed=True))
        for sent in (created, personal, done):
            await me.event(sent)
        await fence(services, me, they)

        assert sorted(ids(me)) == sorted(sent.event_id for sent in (created, personal, done))
        assert {event["teamId"] for event in me.events} == {None}
        assert they.events == []


async def test_team_ids_narrow_a_socket_to_those_teams(worker: Worker, services: Services) -> None:
    wanted, also, unwanted, owner = fresh(), fresh(), fresh(), fresh()
    for team_id in (wanted, also, unwanted):
        await services.make_team(team_id, owner)
        await team_with(worker, team_id, owner)
    async with PlainClient(worker.url, owner) as everything, PlainClient(worker.url, owner, [wanted, also]) as client:
        other = await some_event(services, unwanted, owner)
        own = await services.send("user.created", user(owner))
        for sent in (other, own):
            await everything.event(sent)
        expected = [await some_event(services, wanted, owner), await some_event(services, also, owner)]
        for sent in expected:
            await client.event(sent)

        assert ids(client) == [sent.event_id for sent in expected]


async def test_a_socket_narrowed_to_a_team_of_others_hears_of_it_once_its_user_is_added(worker: Worker, services: Services) -> None:
    team_id, other_team, owner, newcomer = fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, owner)
    await services.make_team(other_team, owner)
    await team_with(worker, team_id, owner)
    async with (
        PlainClient(worker.url, owner) as inside,
        PlainClient(worker.url, newcomer, [team_id]) as client,
        PlainClient(worker.url, newcomer) as everything,
    ):
        await inside.event(await some_event(services, team_id, owner))
        elsewhere = await services.send("team.member_added", member("team.member_added", other_team, newcomer, owner))
        await everything.event(elsewhere)
        added = await services.send("team.member_added", member("team.member_added", team_id, newcomer, owner))
        await client.event(added)
        after = await some_event(services, team_id, owner)
        await client.event(after)

        assert ids(client) == [added.event_id, after.event_id]


async def test_someone_else_leaving_ends_nothing(worker: Worker, services: Services) -> None:
    team_id, owner, leaver = fresh(), fresh(), fresh()
    await services.make_team(team_id, owner, leaver)
    await team_with(worker, team_id, owner, leaver)
    async with PlainClient(worker.url, owner) as client:
        removed = await services.send("team.member_removed", member("team.member_removed", team_id, leaver, owner))
        await client.event(removed)
        after = await some_event(services, team_id, owner)
        await client.event(after)

        assert ids(client) == [removed.event_id, after.event_id]


async def test_sockets_that_come_while_members_are_added_get_the_event_of_their_membership_or_all_that_follows(
    worker: Worker, services: Services
) -> None:
    team_id, owner = fresh(), fresh()
    users = [fresh() for _ in range(10)]
    await services.make_team(team_id, owner)
    await team_with(worker, team_id, owner)
    clients: list[PlainClient] = []
    try:
        added: list[Sent] = []
        for number, user_id in enumerate(users):
            # Some come a moment before they are added, some a moment after: neither may miss what follows.
            if number % 2:
                added.append(await services.send("team.member_added", member("team.member_added", team_id, user_id, owner)))
            clients.append(await PlainClient(worker.url, user_id).__aenter__())
            if not number % 2:
                added.append(await services.send("team.member_added", member("team.member_added", team_id, user_id, owner)))
        await team_with(worker, team_id, owner, *users)
        after = await some_event(services, team_id, owner)
        for client in clients:
            await client.event(after)
        for number in range(0, len(users), 2):
            assert added[number].event_id in ids(clients[number])
        for client in clients:
            assert len(set(ids(client))) == len(client.events)
    finally:
        for client in clients:
            await client.__aexit__(None, None, None)
