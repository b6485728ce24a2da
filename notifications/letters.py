"""Dead letters of mails: the event, and in the headers whose mail it was and why it was given up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from app.domain.errors import BadRecord, one_line
from app.domain.events import user_key
from app.domain.requests import Request, encode_request, parse_request
from app.domain.timestamps import from_millis
from app.domain.topics import MAIL_DEAD_LETTERS
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record
from notifications.outbox import Mail
from notifications.rows import State
from notifications.templates import template_of

REPLAY = "replay"
"""Header of a request that replays a dead letter, and which one: it is mailed whatever its age."""


@dataclass(slots=True, frozen=True)
class Letter:
    """A dead letter, and the template of its mail."""

    record: Outgoing
    template: str


def dead_letter(mail: Mail, state: State, code: str, now_ms: int) -> Letter:
    """The dead letter of a mail that is given up. ``key`` to ``task-title`` are what a replay needs beside the event."""
    key = user_key(mail.user_id).encode()
    request = parse_request(key, mail.request)
    headers = [
        ("recipient", b"%d" % mail.user_id),
        ("error", one_line(state.error).encode()),
        ("error-code", code.encode()),
        ("attempts", b"%d" % state.attempts),
        ("failed-at", from_millis(now_ms).encode()),
        ("key", request.key.encode()),
        ("position", request.position.encode()),
        ("reason", request.reason.encode()),
    ]
    for name, text in (("team-name", request.team_name), ("task-title", request.task_title)):
        if text is not None:
            headers.append((name, text.encode()))
    return Letter(Outgoing(MAIL_DEAD_LETTERS, key, orjson.dumps(request.event), headers), template_of(request.type))


def unreadable(record: Record, why: BadRecord, now_ms: int) -> Outgoing:
    """The dead letter of a record that is no request, unchanged."""
    headers = [
        *record.headers,
        ("error", why.message.encode()),
        ("error-code", why.code.value.encode()),
        ("source-topic", record.topic.encode()),
        ("source-partition", b"%d" % record.partition),
        ("source-offset", b"%d" % record.offset),
        ("failed-at", from_millis(now_ms).encode()),
    ]
    return Outgoing(MAIL_DEAD_LETTERS, record.key, record.value, headers)


def replayed(headers: Sequence[tuple[str, bytes | None]], value: bytes) -> tuple[bytes, bytes] | None:
    """The key and value of the request that replays a dead letter; ``None`` for one that was no mail.

    Args:
        headers: the dead letter's.
        value: the dead letter's.
    """
    try:
        found = {name: text.decode() for name, text in headers if text is not None}
        event = orjson.loads(value)
        team_name, task_title = found.get("team-name"), found.get("task-title")
        request = Request(found["key"], found["position"], int(found["recipient"]), found["reason"], team_name, task_title, event)
        key = user_key(request.recipient).encode()
        again = encode_request(request, value)
        parse_request(key, again)
        return key, again
    except (KeyError, ValueError):
        return None
