"""GET /api/teams/{id}, and its members."""

from __future__ import annotations

from aiohttp import web

from app.domain.events import team_key
from delivery.feed import Feed
from web.identity import user_id_of
from web.problems import Problem, bad_query
from web.views.base import View, answer, id_in_path

MEMBERS_MAX = 5000
"""A team with more members has them told apart from its snapshot."""
PAGE = 1000


async def visible_feed(view: View, request: web.Request, team: str) -> Feed:
    """A team's feed, for someone who may see it.

    Raises:
        Problem: 404 where there is no such team, and for who is no member: the two look alike.
    """
    caller = await view.caller(request)
    feed = await view.context.hub.whole_feed(team_key(id_in_path(team)))
    if feed.view.team() is None or not (caller.admin or (caller.user_id is not None and feed.view.role(caller.user_id))):
        raise Problem(404, "there is no such team, or it is not yours")
    return feed


class Team(View):
    """A team's state, as one body."""

    path = "/api/teams/{team}"

    async def get(self, request: web.Request, team: str) -> web.Response:
        """The snapshot."""
        feed = await visible_feed(self, request, team)
        members = feed.view.members()
        listed = {"members": members} if len(members) <= MEMBERS_MAX else {"membersTotal": len(members)}
        return answer(
            {
                "type": "snapshot",
                "teamId": id_in_path(team),
                "position": feed.position,
                "part": 1,
                "parts": 1,
                "team": feed.view.team(),
                **listed,
                "tasks": feed.view.tasks(),
            }
        )


class Members(View):
    """A large team's members, a page at a time."""

    path = "/api/teams/{team}/members"

    async def get(self, request: web.Request, team: str) -> web.Response:
        """Members sorted by id, behind the cursor."""
        feed = await visible_feed(self, request, team)
        cursor = request.query.get("cursor", "0")
        if cursor != "0" and user_id_of(cursor) is None:
            raise bad_query("cursor", "cursor is none that this route gave")
        members = [member for member in feed.view.members() if member["userId"] > int(cursor)]
        more = len(members) > PAGE
        return answer({"members": members[:PAGE], "cursor": str(members[PAGE - 1]["userId"]) if more else None})


VIEWS = (Team, Members)
