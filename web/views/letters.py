"""GET /api/deadletters, POST /api/admin/deadletters: what was no event, and what is done about it; as the shell's ``deadletters``."""

from __future__ import annotations

import logging
import re
from base64 import b64encode
from typing import Any

from aiohttp import web

from app.domain.decode import MAX_VALUE_BYTES
from app.domain.errors import BadRecord, Code
from app.domain.strict_json import load
from app.domain.topics import SOURCE_TOPICS, UNIFIED, dead_letter_topic
from app.errors import SendFailed
from app.kafka.letter_list import LETTER_TOPICS, OPEN, Found, collect, find, is_name, record_of, step_json
from app.kafka.letter_replay import DeadAgain, Replay, ValueGone, discard, replay, sending
from app.kafka.letter_trail import DISCARDED, REPLAYED
from app.kafka.letters import original_of
from app.kafka.reading import Log
from web.problems import Problem, bad_query, unavailable
from web.views.base import View, answer, json_body

log = logging.getLogger(__name__)

LIMIT = 100
LIMIT_MAX = 1000
SCAN = 50_000
"""Records that are read at most, the newest; the shell reads more."""
STATUSES = (OPEN, REPLAYED, DISCARDED)
REASON_MAX = 500

_NUMBER = re.compile(r"[0-9]{1,6}")


class Letters(View):
    """Dead letters, newest first; repeats of one are shown once."""

    path = "/api/deadletters"

    async def get(self, request: web.Request) -> web.Response:
        """Counts by topic and code, and the newest letters."""
        await self.admin(request)
        topics = _choices(request, "topic", (*SOURCE_TOPICS, UNIFIED))
        codes = _choices(request, "code", tuple(code.value for code in Code))
        statuses = _choices(request, "status", STATUSES)
        text = request.query.get("limit", str(LIMIT))
        limit = int(text) if _NUMBER.fullmatch(text) else 0
        if not 1 <= limit <= LIMIT_MAX:
            raise bad_query("limit", f"limit is not between 1 and {LIMIT_MAX}")
        async with self.context.log_reads.open() as reading:
            found = await collect(reading, [dead_letter_topic(one) for one in topics] or LETTER_TOPICS, None, SCAN)
        found.narrow(codes, statuses)
        return answer(found.as_json(limit))


class Letter(View):
    """One dead letter, with the record that it was made of."""

    path = "/api/deadletters/{letter}"

    async def get(self, request: web.Request, letter: str) -> web.Response:
        """Its error, key, headers and value; bytes are base64, and of a value the first 512 KiB."""
        await self.admin(request)
        async with self.context.log_reads.open() as reading:
            found = await named(reading, letter)
            original = original_of(await record_of(reading, found))
        return answer(
            found.as_json()
            | {
                "key": _base64(original.key),
                "headers": [{"name": name, "value": _base64(value)} for name, value in original.headers],
                "value": _base64(original.value[:MAX_VALUE_BYTES] if original.value is not None else None),
            }
        )


class LetterView(View):
    """Does something about a dead letter."""

    async def ordered(self, request: web.Request, letter: str) -> dict[str, Any]:
        """What an administrator orders.

        Raises:
            Problem: 400, 401, 403, 404, 408, 413, 415 or 503.
        """
        await self.admin(request)
        if not is_name(letter):
            raise Problem(404, "this names no dead letter; they look like task.created-3-17")
        try:
            return load(await json_body(request))
        except BadRecord as bad:
            raise _bad_body(bad.field, bad.message) from None


class Replayed(LetterView):
    """Sends a dead letter's record to its source topic once more; doing so twice delivers one event."""

    path = "/api/admin/deadletters/{letter}/replay"

    async def post(self, request: web.Request, letter: str) -> web.Response:
        """Where it stands now, and the id that clients see; 400 with every fault where it would be a dead letter again."""
        how = how_of(await self.ordered(request, letter))
        async with self.context.log_reads.open() as reading:
            found = await named(reading, letter)
            record = await record_of(reading, found)
            try:
                async with sending(self.context.settings) as sender:
                    step = await replay(reading, sender, found, record, how)
            except DeadAgain as again:
                errors = [{"field": one.field, "code": one.code.value, "message": one.message} for one in again.faults]
                raise Problem(400, "it would be a dead letter again", errors=errors) from None
            except ValueGone:
                raise Problem(409, "its value is nowhere any more; give one") from None
            except SendFailed as error:
                raise unavailable(str(error)) from None
        log.info("an administrator replayed dead letter %s as %s-%s-%s", found.letter.name, step.topic, step.partition, step.offset)
        return answer({"letter": found.letter.name, **step_json(step)})


class Discarded(LetterView):
    """Notes that a dead letter needs nothing more. It stays in its topic."""

    path = "/api/admin/deadletters/{letter}/discard"

    async def post(self, request: web.Request, letter: str) -> web.Response:
        """When, and why."""
        reason = (await self.ordered(request, letter)).get("reason")
        if reason is not None and (not isinstance(reason, str) or len(reason) > REASON_MAX or not _sayable(reason)):
            raise _bad_body("reason", f"reason is no text of at most {REASON_MAX} characters")
        async with self.context.log_reads.open() as reading:
            found = await named(reading, letter)
            try:
                async with sending(self.context.settings) as sender:
                    step = await discard(sender, found, reason or None)
            except SendFailed as error:
                raise unavailable(str(error)) from None
        log.info("an administrator discarded dead letter %s", found.letter.name)
        return answer({"letter": found.letter.name, **step_json(step)})


def how_of(body: dict[str, Any]) -> Replay:
    """How a body says to replay.

    Raises:
        Problem: 400.
    """
    value, plain, check = body.get("value"), body.get("plain", False), body.get("check", True)
    if value is not None and not (isinstance(value, str) and _sayable(value)):
        raise _bad_body("value", "value is no text that UTF-8 has")
    for name, flag in (("plain", plain), ("check", check)):
        if not isinstance(flag, bool):
            raise _bad_body(name, f"{name} is neither true nor false")
    return Replay(None if value is None else value.encode(), plain, check)


async def named(reading: Log, letter: str) -> Found:
    """A dead letter by its name.

    Raises:
        Problem: 404.
    """
    [found] = await find(reading, [letter], None, SCAN) if is_name(letter) else [None]
    if found is None:
        raise Problem(404, f"there is no such dead letter among the newest {SCAN:,} records")
    return found


def _choices(request: web.Request, name: str, known: tuple[str, ...]) -> list[str]:
    found = request.query.getall(name, [])
    if not set(found) <= set(known):
        raise bad_query(name, f"{name} is one of {', '.join(known)}")
    return found


def _bad_body(field: str | None, message: str) -> Problem:
    return Problem(400, "the body is not valid", errors=[{"field": field, "code": Code.WRONG_TYPE.value, "message": message}])


def _sayable(text: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in text)


def _base64(data: bytes | None) -> str | None:
    return None if data is None else b64encode(data).decode()


VIEWS = (Letters, Letter, Replayed, Discarded)
