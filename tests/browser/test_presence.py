"""What the server tells beside events: who is online, and how far it is behind."""

from __future__ import annotations

import json
from typing import Any

from playwright.async_api import Locator, WebSocketRoute, expect

from tests.browser.artifacts import ARTIFACTS
from tests.browser.board import Board, Boards
from tests.kafka.asking import team_with
from tests.kafka.ids import fresh
from tests.kafka.services import Services
from tests.processes import Worker


class Said:
    """Stands between a page and its server: passes on everything but presence, and says what the test wants said."""

    def __init__(self) -> None:
        self._page: WebSocketRoute

    async def between(self, board: Board) -> None:
        """Take the place; before the page opens its socket."""
        await board.page.route_web_socket("**/ws?*", self._connect)

    def _connect(self, route: WebSocketRoute) -> None:
        self._page = route
        server = route.connect_to_server()
        server.on_message(lambda text: route.send(text) if json.loads(text)["type"] != "presence" else None)

    def say(self, **message: Any) -> None:
        """Say it to the page."""
        self._page.send(json.dumps(message))


def online(place: Locator) -> Locator:
    """Avatars with the mark of somebody who is there."""
    return place.locator('.avatar[data-online="true"]')


async def test_who_is_online_has_a_mark_and_is_counted(worker: Worker, services: Services, boards: Boards) -> None:
    team_id, ada, ben, eve = fresh(), fresh(), fresh(), fresh()
    await services.make_team(team_id, ada, ben, eve)
    await team_with(worker, team_id, ada, ben, eve)
    board, server = await boards.blank(), Said()
    await server.between(board)
    await board.open(ada)
    members = board.column(team_id).get_by_test_id("members-button")
    await expect(members).to_contain_text(f"3 members of Team {team_id}")
    await expect(members).not_to_contain_text("online")  # a server that does not tell
    await expect(online(members)).to_have_count(0)

    server.say(type="presence", teamId=team_id, online=[ada, ben])
    await expect(online(members)).to_have_count(2)
    await expect(members).to_contain_text("2 online")
    await board.picture(ARTIFACTS / "presence.png")
    server.say(type="presence", teamId=team_id, joined=[eve], left=[ben, ada])
    await expect(online(members)).to_have_count(1)
    await expect(members.locator(f'.avatar[data-user-id="{eve}"][data-online="true"]')).to_have_count(1)

    await board.show_members(team_id)
    await expect(board.member(eve)).to_contain_text("online")
    server.say(type="presence", teamId=team_id, joined=[ben], left=[eve])
    await expect(board.member(ben)).to_contain_text("online")
    await expect(board.member(eve)).not_to_contain_text("online")
    await board.page.keyboard.press("Escape")

    server.say(type="presence", teamId=team_id, count=1234)
    await expect(members).to_contain_text("1,234 online")
    await expect(online(members)).to_have_count(0)


async def test_a_server_that_is_behind_is_shown_as_such(boards: Boards) -> None:
    board, server = await boards.blank(), Said()
    await server.between(board)
    await board.open(fresh())
    pill, label = board.page.get_by_test_id("connection"), board.page.get_by_test_id("connection-label")
    await expect(label).to_have_text("Live")

    server.say(type="delayed", seconds=12)
    await expect(label).to_have_text("Live, 12 s behind")
    await expect(pill).to_have_attribute("data-state", "live")
    await expect(board.page.get_by_test_id("announcer")).to_have_text("The server is behind")

    server.say(type="delayed", seconds=0)
    await expect(label).to_have_text("Live")
    await expect(board.page.get_by_test_id("announcer")).to_have_text("Live")
