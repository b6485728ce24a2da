"""What the fold asks the notification service for: one request per event and recipient, and everybody's address.

Both carry all that a mail needs, so the service needs no fold of its own; both are versioned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import orjson

from app.domain.errors import Code, refuse
from app.domain.events import MAX_ID, user_key
from app.domain.schema import is_email
from app.domain.strict_json import load
from app.domain.timestamps import is_canonical

FORMAT: Final = 1
"""Member ``v``. A reader takes members that it does not know; a change that it could not read gets another number."""

REASONS: Final = ("assignee", "creator", "owner", "member", "welcome")
"""Why someone is mailed: what they are to the task or team, or that they are new."""


@dataclass(slots=True, frozen=True)
class Request:
    """One mail that is to be sent, once."""

    key: str
    """Whose stream the event is of: ``team:<id>`` or ``user:<id>``."""
    position: str
    """The event's position there, the same as clients get."""
    recipient: int
    reason: str
    team_name: str | None
    """As known at that point of the log; ``None`` where it is not."""
    task_title: str | None
    event: dict[str, Any]
    """The unified value."""

    @property
    def event_id(self) -> str:
        """The id of the event."""
        return str(self.event["eventId"])

    @property
    def type(self) -> str:
        """The type of the event."""
        return str(self.event["type"])

    @property
    def timestamp(self) -> str:
        """The event's own time, UTC, RFC 3339."""
        return str(self.event["timestamp"])


@dataclass(slots=True, frozen=True)
class Address:
    """Where a user gets mail."""

    user_id: int
    rank: str
    """Of the event that gave it: the greater one is the newer."""
    email: str | None
    """``None``: cleared."""
    username: str | None


def encode_request(request: Request, value: bytes) -> bytes:
    """The request's record value.

    Args:
        request: the request; its ``event`` is not looked at.
        value: the event as it stands in the unified stream, which is not written anew.
    """
    return orjson.dumps(
        {
            "v": FORMAT,
            "key": request.key,
            "position": request.position,
            "recipient": request.recipient,
            "reason": request.reason,
            "teamName": request.team_name,
            "taskTitle": request.task_title,
            "event": orjson.Fragment(value),
        }
    )


def parse_request(key: bytes | None, value: bytes | None) -> Request:
    """Read a request back.

    Raises:
        BadRecord: it is no request, or not one of this format.
    """
    body = _body(value)
    recipient, event = body.get("recipient"), body.get("event")
    _check_key(key, recipient)
    texts = [body.get("key"), body.get("position"), body.get("reason")]
    if not all(type(text) is str for text in texts):
        refuse(Code.WRONG_TYPE, "key, position or reason is not a text")
    team_name, task_title = body.get("teamName"), body.get("taskTitle")
    if not all(text is None or type(text) is str for text in (team_name, task_title)):
        refuse(Code.WRONG_TYPE, "teamName or taskTitle is neither a text nor null")
    if type(event) is not dict or type(event.get("eventId")) is not str or type(event.get("type")) is not str:
        refuse(Code.WRONG_TYPE, "event is no unified event", "event")
    if type(event.get("data")) is not dict:
        refuse(Code.WRONG_TYPE, "event.data is not an object", "event.data")
    timestamp = event.get("timestamp")
    if type(timestamp) is not str or not is_canonical(timestamp):
        refuse(Code.BAD_TIMESTAMP, "event.timestamp is not UTC with Z and six fraction digits", "event.timestamp")
    return Request(body["key"], body["position"], body["recipient"], body["reason"], team_name, task_title, event)


def encode_address(address: Address) -> bytes:
    """The address's record value."""
    return orjson.dumps({"v": FORMAT, "rank": address.rank, "email": address.email, "username": address.username})


def parse_address(key: bytes | None, value: bytes | None) -> Address:
    """Read an address back.

    Raises:
        BadRecord: it is no address, or not one of this format.
    """
    body = _body(value)
    user_id = _user_of(key)
    rank, email, username = body.get("rank"), body.get("email"), body.get("username")
    if user_id is None:
        refuse(Code.TYPE_MISMATCH, "the key is not user:<id>", "key")
    if type(rank) is not str:
        refuse(Code.WRONG_TYPE, "rank is not a text", "rank")
    if email is not None and (type(email) is not str or not is_email(email)):
        refuse(Code.WRONG_TYPE, "email is no address", "email")
    if username is not None and type(username) is not str:
        refuse(Code.WRONG_TYPE, "username is neither a text nor null", "username")
    return Address(user_id, rank, email, username)


def _body(value: bytes | None) -> dict[str, Any]:
    if value is None:
        refuse(Code.NULL_VALUE, "the record has no value")
    body = load(value)
    if body.get("v") != FORMAT:
        refuse(Code.WRONG_TYPE, "the record has a format that is not known here", "v")
    return body


def _user_of(key: bytes | None) -> int | None:
    kind, _, number = (key or b"").partition(b":")
    # The length first: int() of a long text takes long.
    if kind != b"user" or not 0 < len(number) <= len(str(MAX_ID)) or not number.isdigit():
        return None
    found = int(number)
    return found if 0 < found <= MAX_ID else None


def _check_key(key: bytes | None, recipient: Any) -> None:
    if type(recipient) is not int or not 0 < recipient <= MAX_ID:
        refuse(Code.WRONG_TYPE, "recipient is no id", "recipient")
    if key != user_key(recipient).encode():
        refuse(Code.TYPE_MISMATCH, "the key is not the recipient's", "key")
