"""POST /api/admin: what administrators do."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from app.domain.errors import BadRecord, refuse
from app.domain.schema import id_of
from app.domain.strict_json import load
from app.errors import Unavailable
from web.problems import Problem
from web.views.base import View, answer, body_of

log = logging.getLogger(__name__)


class Disconnect(View):
    """Ends every connection of a user, to whichever worker. It is no ban: they may connect again."""

    path = "/api/admin/disconnect"

    async def post(self, request: web.Request) -> web.Response:
        """How many connections were closed, with code 4502; and which workers did not answer, if any."""
        await self.admin(request)
        if request.content_type != "application/json":
            raise Problem(415, "the body must be application/json")
        user_id = user_of(await body_of(request))
        peers = self.context.peers
        urls = peers.with_sockets()
        closed = self.context.hub.disconnect(user_id)
        unreachable = []

        async def ask(url: str) -> int:
            try:
                return await peers.disconnect(url, user_id)
            except Unavailable:
                unreachable.append(url)
                return 0

        closed += sum(await asyncio.gather(*map(ask, urls)))
        log.info("an administrator disconnected user %d: %d connections, no answer from %s", user_id, closed, unreachable or "nobody")
        return answer({"closed": closed} | ({"unreachable": sorted(unreachable)} if unreachable else {}))


def user_of(body: bytes) -> int:
    """The user that a body names.

    Raises:
        Problem: 400; it names none.
    """
    try:
        user_id = id_of(load(body).get("userId"), "userId", refuse, needed=True)
    except BadRecord as bad:
        errors = [{"field": bad.field, "code": bad.code.value, "message": bad.message}]
        raise Problem(400, "the body is not valid", errors=errors) from None
    if user_id is None:
        raise AssertionError("a needed id is missing, and was not refused")
    return user_id


VIEWS = (Disconnect,)
