"""GET /api/users/{id}."""

from __future__ import annotations

from aiohttp import web

from app.domain.events import user_key
from web.problems import Problem
from web.views.base import View, answer, id_in_path


class User(View):
    """A user: who they are, their teams, their own tasks."""

    path = "/api/users/{user}"

    async def get(self, request: web.Request, user: str) -> web.Response:
        """404 for a user of whom nothing is known."""
        caller = await self.caller(request)
        user_id = id_in_path(user)
        if not caller.admin and caller.user_id != user_id:
            raise Problem(404, "there is no such user, or it is not you")
        teams = [{"teamId": team_id, "role": role} for team_id, role in await self.context.hub.teams_of(user_id)]
        feed = await self.context.hub.whole_feed(user_key(user_id))
        # No await from here on: what is told of the user is of one position.
        known, tasks = feed.view.user(), feed.view.tasks()
        if known is None and not tasks and not teams:
            raise Problem(404, "there is no such user, or it is not you")
        return answer(
            {
                **(known or {"userId": user_id, "username": None, "email": None}),
                "teams": teams,
                "tasks": tasks,
                "position": feed.position,
            }
        )


VIEWS = (User,)
