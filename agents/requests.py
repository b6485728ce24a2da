"""What the fold asks of the notification service: records of requests and of addresses."""

from __future__ import annotations

from agents.recipients import Mailing, Rows
from app.domain.events import user_key
from app.domain.positions import position
from app.domain.ranks import rank
from app.domain.requests import Address, Request, encode_address, encode_request
from app.domain.rows import user_row_key
from app.domain.topics import ADDRESSES, REQUESTS
from app.domain.unified import UnifiedRecord
from app.kafka.outgoing import Outgoing
from app.kafka.record import Record


def requests(unified: UnifiedRecord, record: Record, wanted: Mailing, log_id: str) -> list[Outgoing]:
    """One request for each recipient.

    Args:
        unified: the event.
        record: its record in the unified stream.
        wanted: who gets a mail.
        log_id: of the unified stream, see `app.domain.positions`.
    """
    if not wanted.recipients:
        return []
    event = unified.event
    place = position(log_id, event.key, record.offset, record.headers)
    found = []
    for one in wanted.recipients:
        request = Request(event.key, place, one.user_id, one.reason, wanted.team_name, wanted.task_title, event={})
        found.append(Outgoing(REQUESTS, user_key(one.user_id).encode(), encode_request(request, record.value or b"")))
    return found


def address(unified: UnifiedRecord, after: Rows) -> list[Outgoing]:
    """The address of the user whom a ``user.created`` is about, as it is now; nothing for another event.

    Written whenever one comes, repeats too: what was written before a crash is the same, or older.
    """
    event = unified.event
    if event.type != "user.created":
        return []
    user_id = event.data["userId"]
    row = after(user_row_key(user_id))
    pairs = [row.fields.get(name) if row else None for name in ("email", "username")]
    ranks = [pair[0] for pair in pairs if pair is not None]
    email, username = (pair[1] if pair is not None else None for pair in pairs)
    newest = max(ranks, default=rank(event.type, event.timestamp, unified.source))
    return [Outgoing(ADDRESSES, user_key(user_id).encode(), encode_address(Address(user_id, newest, email, username)))]
