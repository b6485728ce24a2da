"""GET /api/history/{key}: a team's events in the log, and what each changed."""

from __future__ import annotations

import re

from aiohttp import web

from app.domain.events import key_named
from delivery.history import History, Steps
from web.problems import Problem, bad_query
from web.views.base import View, answer

LIMIT = 200
LIMIT_MAX = 500
SCAN = 200_000
"""Records of the partition that are read at most, the newest; the shell's ``replay`` reads all."""

_NUMBER = re.compile(r"[0-9]{1,18}")


class Key(View):
    """The history of a team, or of a user's own stream (``user:7``)."""

    path = "/api/history/{key}"

    async def get(self, request: web.Request, key: str) -> web.Response:
        """The newest events, and the state before the first of them; folded apart from the table, which is not touched."""
        await self.admin(request)
        named = key_named(key)
        if named is None:
            raise Problem(404, "this names no team and no user; they look like 42 and user:7")
        limit, before = _number(request, "limit", 1, LIMIT_MAX) or LIMIT, _number(request, "before", 0, 2**63 - 1)
        window = self.context.settings.duplicate_window
        async with self.context.log_reads.open() as log:
            history = await History.of(log, named, window, newest=SCAN, before=before)
            steps = Steps(history.rebuilt, limit)
            async for one in history.events():
                steps.add(one)
        span = history.span
        return answer(
            {
                "key": named,
                "partition": span.tp.partition,
                "fromOffset": span.first,
                "toOffset": span.end,
                "whole": history.whole,
                "total": history.rebuilt.events,
                "skipped": history.rebuilt.skipped,
                "begin": steps.begin,
                "events": [told.as_json() | {"changes": changes} for told, changes in steps.kept],
            }
        )


def _number(request: web.Request, name: str, least: int, most: int) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
        raise bad_query(name, f"{name} is not between {least} and {most}")
    return int(text)


VIEWS = (Key,)
