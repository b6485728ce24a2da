"""The quick way for what nearly everybody writes: it takes only what the rules take, and gives what they give."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from hypothesis import example, given
from hypothesis import strategies as st

from app.domain import decode as decoding
from app.domain import timestamps, unified, usual_task
from app.domain.decode import decode
from app.domain.errors import BadRecord
from app.domain.events import MAX_ID, Source, encode
from app.domain.topics import SOURCE_TOPICS, TASK_TOPICS
from app.domain.unified import headers_for, parse
from tests.unit.domain.test_decode_values import ANYTHING, GOOD, SOURCES, WILD

NOW_MS = 1_795_428_000_000
USUAL = {
    "eventType": "task.updated",
    "taskId": 5,
    "teamId": 42,
    "actorId": 7,
    "creatorId": 7,
    "assigneeId": 9,
    "timestamp": "2026-11-23T09:59:59.123456Z",
    "payload": {"title": "Write", "description": None, "completed": True, "priority": 1, "due": "soon"},
}
SOURCE = Source("task.updated", 3, 15, NOW_MS)

ids: st.SearchStrategy[Any] = st.sampled_from([None, 0, 1, 7, -1, MAX_ID, MAX_ID + 1, True, 7.0, "7", []]) | ANYTHING
texts: st.SearchStrategy[Any] = st.sampled_from([None, "", "x", "{", "[[[", 5, False, [], {}, {"x": {}}]) | ANYTHING
flags = st.sampled_from([None, True, False, 0, "true"])
stamps = st.sampled_from(
    [
        None,
        "",
        5,
        "now",
        "2026-11-23T09:59:59.1Z",
        "2026-11-23T09:59:59.123456789Z",
        "2026-11-23T09:59:59Z",
        "2026-11-23T10:05:00.000000Z",
        "2026-11-23T10:05:00.000001Z",
        "2026-11-23T10:04:59.999999999Z",
        "2026-13-23T09:59:59.123456Z",
        "1969-12-31T23:59:59.123456Z",
        "2099-11-23T09:59:59.123456Z",
        "2026-11-23T09:59:59.123456+01:00",
    ]
)
PAYLOAD = {
    "title": texts,
    "description": texts,
    "completed": flags,
    "priority": texts,
    "due": texts,
    "creatorId": ids,
    "assigneeId": ids,
    "taskId": ids,
    "teamId": ids,
    "__proto__": texts,
    "x": ANYTHING,
}
MEMBERS = {
    "eventType": st.sampled_from([None, "task.updated", "task.created", 5]),
    "eventId": st.sampled_from([None, "", "e", "é", 5]),
    "taskId": ids,
    "teamId": ids,
    "actorId": ids,
    "creatorId": ids,
    "assigneeId": ids,
    "timestamp": stamps,
    "payload": st.none()
    | st.fixed_dictionaries({}, optional=PAYLOAD)
    | st.integers(60, 70).map(lambda count: {f"x{number}": number for number in range(count)}),
}


@st.composite
def nearly_usual(draw: st.DrawFn) -> dict[str, Any]:
    """What is usual, with a few members left out, put in or made something else."""
    value = {**USUAL, "payload": {**USUAL["payload"]}}  # type: ignore[dict-item]
    for name in draw(st.sets(st.sampled_from(sorted(MEMBERS)), max_size=3)):
        if draw(st.booleans()):
            value.pop(name, None)
        else:
            value[name] = draw(MEMBERS[name])
    payload = value.get("payload")
    if isinstance(payload, dict):
        for name in draw(st.sets(st.sampled_from(sorted(PAYLOAD)), max_size=2)):
            payload[name] = draw(PAYLOAD[name])
    return value


@contextmanager
def by_the_rules() -> Iterator[None]:
    """Without the quick way."""
    with (
        patch.object(decoding, "_usual", return_value=None),
        patch.object(unified, "_usual_source", return_value=None),
        patch.object(usual_task, "TYPES", frozenset()),
    ):
        yield


def outcome(act: Callable[[], Any]) -> Any:
    try:
        return act()
    except BadRecord as bad:
        return bad.code, bad.field, bad.message


def decoded(value: bytes, source: Source) -> Any:
    found = decode(value, [], source)
    return found, encode(found.event), [type(part) for part in (found, found.event)]


@given(
    nearly_usual() | GOOD | WILD, st.just(SOURCE) | st.builds(SOURCE.__class__, st.sampled_from(TASK_TOPICS), *[st.just(3)] * 3) | SOURCES
)
@example(USUAL, SOURCE)
@example({**USUAL, "payload": {}}, SOURCE)
@example({**USUAL, "payload": {"labels": []}}, SOURCE)
@example({**USUAL, "assigneeId": None}, SOURCE)
@example({**USUAL, "assigneeId": 0}, SOURCE)
def test_a_source_record_is_decoded_alike(value: dict[str, Any], source: Source) -> None:
    raw = json.dumps(value).encode()
    quick = outcome(lambda: decoded(raw, source))
    with by_the_rules():
        assert quick == outcome(lambda: decoded(raw, source))


def test_the_usual_is_decoded_the_quick_way() -> None:
    with patch.object(decoding, "_route", side_effect=AssertionError("asked the rules")):
        assert decode(json.dumps(USUAL).encode(), [("x", b"y")], SOURCE).event.key == "team:42"


EVENT = {
    "eventId": "task.updated-3-15-1",
    "type": "task.updated",
    "teamId": 42,
    "actorId": 7,
    "timestamp": "2026-11-23T09:59:59.123456Z",
    "data": {"title": "x", "completed": False, "taskId": 5, "teamId": 42, "creatorId": 7, "assigneeId": None},
}
numbers = st.sampled_from(
    [b"0", b"3", b"-1", b"-2", b" 3", b"03", b"+3", b"1_0", b"", b"x", b"2147483648", b"9223372036854775808", b"9" * 5000]
)
HEADER_VALUES = {
    "source-topic": st.sampled_from([topic.encode() for topic in SOURCE_TOPICS] + [b"", b"other", b"a b", b"\xff"]),
    "source-partition": numbers,
    "source-offset": numbers,
    "source-timestamp": numbers,
    "v": st.sampled_from([b"1", b"2", b""]),
}


@st.composite
def nearly_ours(draw: st.DrawFn) -> list[tuple[str, bytes | None]]:
    """Headers as we write them, but for a few things."""
    headers: list[tuple[str, bytes | None]] = [*headers_for(SOURCE, draw(st.none() | st.just(b"00-trace-01")))]
    for place in draw(st.sets(st.integers(0, 4), max_size=2)):
        name = headers[place][0]
        headers[place] = (name, draw(st.none() | HEADER_VALUES[name]))
    what = draw(st.sampled_from(["as it is", "as it is", "as it is", "swapped", "doubled", "one more", "one less", "another name"]))
    place = draw(st.integers(0, len(headers) - 1))
    if what == "swapped":
        headers[0], headers[place] = headers[place], headers[0]
    elif what == "doubled":
        headers.append((headers[place][0], draw(HEADER_VALUES.get(headers[place][0], st.just(b"x")))))
    elif what == "one more":
        headers.insert(place, (draw(st.sampled_from(["traceparent", "x"])), None))
    elif what == "one less":
        del headers[place]
    elif what == "another name":
        headers[place] = ("Source-Topic", headers[place][1])
    return headers


@st.composite
def nearly_events(draw: st.DrawFn) -> dict[str, Any]:
    """A unified value, but for a few things."""
    value: dict[str, Any] = {**EVENT, "data": {**EVENT["data"]}}  # type: ignore[dict-item]
    members = {
        "eventId": st.sampled_from([None, "", "e", 5]),
        "type": st.sampled_from([None, *SOURCE_TOPICS, "_user.membership", "task.archived"]),
        "teamId": ids,
        "actorId": ids,
        "timestamp": stamps,
        "data": st.none() | st.lists(st.none(), max_size=1),
    }
    for name in draw(st.sets(st.sampled_from(sorted(members)), max_size=2)):
        value[name] = draw(members[name])
    if isinstance(value["data"], dict):
        for name in draw(st.sets(st.sampled_from(sorted(PAYLOAD)), max_size=2)):
            value["data"][name] = draw(PAYLOAD[name])
    return value


@given(
    nearly_events(), nearly_ours(), st.sampled_from([b"team:42"] * 5 + [b"team:7", b"user:7", b"user:42", b"team:042", b"\xff", b"", None])
)
@example(EVENT, headers_for(SOURCE), b"team:42")
@example({**EVENT, "teamId": None, "data": {"taskId": 5, "teamId": None, "creatorId": 7}}, headers_for(SOURCE), b"user:7")
@example({**EVENT, "teamId": None, "data": {"taskId": 5, "teamId": None}}, headers_for(SOURCE), b"team:None")
@example({**EVENT, "data": {"taskId": 5, "teamId": 42.0}}, headers_for(SOURCE), b"team:42")
def test_a_unified_record_is_parsed_alike(value: dict[str, Any], headers: list[tuple[str, bytes | None]], key: bytes | None) -> None:
    raw = json.dumps(value).encode()

    def parsed() -> Any:
        found = parse(raw, headers, key)
        return found, [type(part) for part in (found, found.event, found.source)]

    quick = outcome(parsed)
    with by_the_rules():
        assert quick == outcome(parsed)


def test_the_usual_is_parsed_the_quick_way() -> None:
    with (
        patch.object(unified, "_source", side_effect=AssertionError("asked the rules")),
        patch.object(unified, "check_data", side_effect=AssertionError("asked the rules")),
    ):
        for trace in (None, b"00-trace-01"):
            found = parse(json.dumps(EVENT).encode(), headers_for(SOURCE, trace), b"team:42")
            assert (found.source, found.event.team_id) == (SOURCE, 42)


@given(
    st.builds(
        "{}.{}Z".format,
        st.datetimes().map(lambda at: at.isoformat()[:19])
        | st.sampled_from(["2026-11-23T10:04:59", "2026-11-23T10:05:00", "1970-01-01T00:04:59"]),
        st.text("0123456789", min_size=1, max_size=10) | st.sampled_from(["0", "000000", "000001", "0000009", "999999"]),
    ),
    st.sampled_from([NOW_MS, NOW_MS - 1, NOW_MS + 999, 0, -1]) | st.integers(-1, 2**63),
)
def test_a_time_is_read_alike(text: str, record_ms: int) -> None:
    def read(by: Callable[[str, int], tuple[str, bool]]) -> tuple[str, bool] | str:
        try:
            return by(text, record_ms)
        except ValueError as error:
            return str(error)

    assert read(timestamps.normalise) == read(timestamps._normalise)
