"""Requests and addresses: what is written is read again, and what is none is refused with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest

from app.domain.errors import BadRecord, Code
from app.domain.requests import Address, Request, encode_address, encode_request, parse_address, parse_request

EVENT = {
    "eventId": "e1",
    "type": "task.created",
    "teamId": 1,
    "actorId": 9,
    "timestamp": "2026-11-23T10:00:00.000000Z",
    "data": {"taskId": 5},
}
REQUEST = Request("team:1", "p", 7, "creator", "Ops", None, EVENT)
ADDRESS = Address(7, "r", "ann@example.org", "ann")


def altered(value: bytes, **members: Any) -> bytes:
    return json.dumps({**json.loads(value), **members}).encode()


def test_a_request_comes_back_as_it_was() -> None:
    assert parse_request(b"user:7", encode_request(REQUEST, json.dumps(EVENT).encode())) == REQUEST


def test_an_address_comes_back_as_it_was() -> None:
    assert parse_address(b"user:7", encode_address(ADDRESS)) == ADDRESS


def test_members_of_later_versions_are_passed_over() -> None:
    assert parse_address(b"user:7", altered(encode_address(ADDRESS), language="de")) == ADDRESS


@pytest.mark.parametrize(
    ("key", "members"),
    [
        (b"user:8", {}),
        (None, {}),
        (b"user:7", {"v": 2}),
        (b"user:7", {"recipient": "7"}),
        (b"user:7", {"recipient": True}),
        (b"user:7", {"key": None}),
        (b"user:7", {"teamName": 5}),
        (b"user:7", {"event": None}),
        (b"user:7", {"event": {**EVENT, "eventId": 5}}),
        (b"user:7", {"event": {**EVENT, "data": []}}),
        (b"user:7", {"event": {**EVENT, "timestamp": "yesterday"}}),
    ],
)
def test_what_is_no_request_is_refused(key: bytes | None, members: dict[str, Any]) -> None:
    value = altered(encode_request(REQUEST, json.dumps(EVENT).encode()), **members)
    with pytest.raises(BadRecord):
        parse_request(key, value)


@pytest.mark.parametrize(
    ("key", "members"),
    [
        (b"team:7", {}),
        (b"user:x", {}),
        (b"user:0", {}),
        (b"user:" + b"9" * 5000, {}),
        (b"user:7", {"email": "a@example.org, b@example.org"}),
        (b"user:7", {"email": "a@example.org\r\nBcc: b@example.org"}),
        (b"user:7", {"rank": None}),
        (b"user:7", {"username": 5}),
    ],
)
def test_what_is_no_address_is_refused(key: bytes, members: dict[str, Any]) -> None:
    with pytest.raises(BadRecord):
        parse_address(key, altered(encode_address(ADDRESS), **members))


@pytest.mark.parametrize("value", [None, b"", b"[]", b"\xff", b"{}"])
def test_what_is_nothing_is_refused(value: bytes | None) -> None:
    with pytest.raises(BadRecord) as refused:
        parse_request(b"user:7", value)
    assert refused.value.code in set(Code)
