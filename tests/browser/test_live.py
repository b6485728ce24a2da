"""What one person does is on everybody's page, and on nobody's who should not see it."""

from __future__ import annotations

from playwright.async_api import expect

from tests.browser.board import Boards
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services, member, task, team, user
from tests.processes import Worker


async def test_a_task_made_on_one_page_appears_on_another(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    mine, theirs = await boards.of(ada), await boards.of(ben)

    await mine.create_task(team_id, "Water the plants", description="All of them", priority="high", due="2031-05-17", assigneeId=str(ben))

    for board in (mine, theirs):
        await board.sees("Water the plants")
        card = board.card("Water the plants")
        await expect(card).to_contain_text("All of them")
        await expect(card.get_by_test_id("priority")).to_have_attribute("data-level", "high")
        await expect(card.get_by_test_id("due")).to_contain_text("2031")
        await expect(board.feed("task.created")).to_have_count(1)
    await expect(theirs.card("Water the plants").get_by_test_id("changed-by")).to_have_text(f"User {ada} created")
    await expect(theirs.column(team_id).get_by_test_id("column-count")).to_have_text("0/1")


async def test_an_edit_reaches_every_page_and_only_what_changed_is_written(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben, task_id = fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    await services.send("task.created", task("task.created", team_id, task_id, ada, title="Frist draft", description="keep", priority=2))
    mine, theirs = await boards.of(ada), await boards.of(ben)

    await mine.edit_task("Frist draft", title="First draft")

    await theirs.sees("First draft")
    await theirs.sees("Frist draft", count=0)
    state = await team_with(worker, team_id, ada, ben)
    assert [(one["title"], one["description"], one["priority"]) for one in state["tasks"]] == [("First draft", "keep", 2)]


async def test_a_completed_task_moves_below_the_open_ones_and_back(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    for title in ("First", "Second"):
        await services.send("task.created", task("task.created", team_id, fresh(), ada, title=title, completed=False))
    mine, theirs = await boards.of(ada), await boards.of(ben)
    titles = theirs.cards(team_id).locator(".card-title")
    await expect(titles).to_have_text(["Second", "First"])

    await mine.toggle("Second")

    await expect(titles).to_have_text(["First", "Second"])
    await expect(theirs.card("Second")).to_have_attribute("data-completed", "true")
    await expect(theirs.column(team_id).get_by_test_id("done-divider")).to_have_text("Done · 1")
    await expect(theirs.column(team_id).get_by_test_id("column-count")).to_have_text("1/2")

    await theirs.toggle("Second")

    await expect(mine.cards(team_id).locator(".card-title")).to_have_text(["Second", "First"])
    await expect(mine.column(team_id).get_by_test_id("done-divider")).to_have_count(0)


async def test_a_deleted_task_goes_from_every_page(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Not needed"))
    mine, theirs = await boards.of(ada), await boards.of(ben)
    await theirs.sees("Not needed")

    await mine.delete_task("Not needed")

    await mine.sees("Not needed", count=0)
    await theirs.sees("Not needed", count=0)
    await expect(theirs.column(team_id).get_by_test_id("column-empty")).to_be_visible()


async def test_who_is_added_sees_the_team_with_its_tasks_and_who_is_removed_loses_it(
    worker: Worker, services: Services, boards: Boards
) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await services.send("user.created", user(ben))
    await team_with(worker, team_id, ada)
    for title in ("One", "Two"):
        await services.send("task.created", task("task.created", team_id, fresh(), ada, title=title))
    mine, theirs = await boards.of(ada), await boards.of(ben)
    await mine.sees("Two")
    await theirs.has_columns("me")

    await mine.show_members(team_id)
    await mine.add_member(ben, "reviewer")

    await theirs.has_columns("me", team_id)
    await theirs.sees("One")
    await theirs.sees("Two")
    await expect(mine.member(ben)).to_have_attribute("data-role", "reviewer")

    await mine.remove_member(ben)

    await theirs.has_columns("me")
    await expect(mine.member(ben)).to_have_count(0)
    await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Behind their back"))
    await mine.sees("Behind their back")
    # What is written later on their own stream has come: what was before it would have come too.
    await services.send("task.created", task("task.created", None, fresh(), ben, title="A fence"))
    await theirs.sees("A fence")
    await theirs.sees("Behind their back", count=0)
    await theirs.has_columns("me")


async def test_who_leaves_a_team_has_it_no_longer_after_a_reload(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    theirs = await boards.of(ben)
    await theirs.has_columns("me", team_id)

    await theirs.show_members(team_id)
    await theirs.remove_member(ben)
    await theirs.has_columns("me")
    await expect(theirs.page.get_by_test_id("members-dialog")).to_be_hidden()

    await theirs.page.reload()
    await theirs.live()
    await theirs.has_columns("me")


async def test_a_deleted_team_goes_from_every_page(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    mine, theirs = await boards.of(ada), await boards.of(ben)
    await theirs.has_columns("me", team_id)

    await services.send("team.deleted", team("team.deleted", team_id, ada))

    await mine.has_columns("me")
    await theirs.has_columns("me")


async def test_what_services_write_to_kafka_shows_on_the_page(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben, task_id = fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)
    column = board.column(team_id)

    await services.send("task.created", task("task.created", team_id, task_id, ada, title="<b>By a service</b>", colour="green"))
    await board.sees("<b>By a service</b>")  # as text: nothing that a producer writes is markup
    await services.send("task.updated", task("task.updated", team_id, task_id, ada, priority="Blocker", due="when it rains"))
    await expect(column.get_by_test_id("priority")).to_have_text("Blocker")
    await expect(column.get_by_test_id("due")).to_have_text("when it rains")
    await services.send("task.completed", task("task.completed", team_id, task_id, ada, completed=True))
    await expect(board.card("<b>By a service</b>")).to_have_attribute("data-completed", "true")
    await services.send("team.updated", team("team.updated", team_id, ada, name="Renamed"))
    await expect(column.get_by_test_id("column-name")).to_have_text("Renamed")
    await services.send("team.member_added", member("team.member_added", team_id, ben, ada, role="guest"))
    await expect(column.get_by_test_id("members-button")).to_contain_text("2 members")
    await services.send("task.created", b"no event at all")
    await services.send("task.deleted", task("task.deleted", team_id, task_id, ada))
    await board.sees("<b>By a service</b>", count=0)
    kinds = await board.page.get_by_test_id("feed-row").evaluate_all("rows => rows.map(row => row.dataset.type)")
    assert kinds == ["task.deleted", "team.member_added", "team.updated", "task.completed", "task.updated", "task.created"]


async def test_the_feed_shows_an_event_as_it_was_received(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)

    sent = await services.send("task.created", task("task.created", team_id, fresh(), ada, title="Look at me", colour="green"))
    row = board.page.locator(f'[data-event-id="{sent.event_id}"]')
    await row.click()

    shown = board.page.get_by_test_id("inspector")
    for text in (sent.event_id, '"colour": "green"', '"position"'):
        await expect(shown).to_contain_text(text)
    await row.click()
    await expect(shown).to_be_hidden()


async def test_a_personal_task_is_on_its_creators_page_alone(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben = fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben)
    await team_with(worker, team_id, ada, ben)
    mine, mine_too, theirs = await boards.of(ada), await boards.of(ada), await boards.of(ben)

    await mine.create_task("me", "Call the dentist")

    await mine_too.sees("Call the dentist")
    await expect(mine_too.cards("me")).to_have_count(1)
    # A later event of the common team has come, and so would have this one.
    await mine.create_task(team_id, "For everybody")
    await theirs.sees("For everybody")
    await theirs.sees("Call the dentist", count=0)
    await expect(theirs.feed("task.created")).to_have_count(1)

    await mine_too.toggle("Call the dentist")
    await expect(mine.card("Call the dentist")).to_have_attribute("data-completed", "true")
    await mine.delete_task("Call the dentist")
    await mine_too.sees("Call the dentist", count=0)


async def test_a_reload_shows_the_same(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada = fresh(), fresh()
    await services.make_team(team_id, ada)
    await team_with(worker, team_id, ada)
    board = await boards.of(ada)
    await board.create_task(team_id, "Stays", priority="urgent")
    await board.create_task(team_id, "Done soon")
    await board.toggle("Done soon")
    await expect(board.card("Done soon")).to_have_attribute("data-completed", "true")
    before = await board.cards(team_id).locator(".card-title").all_text_contents()

    await board.page.reload()
    await board.live()

    await expect(board.cards(team_id).locator(".card-title")).to_have_text(before)
    await expect(board.card("Done soon")).to_have_attribute("data-completed", "true")
