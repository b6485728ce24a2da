"""What a value must be before its fields are looked at."""

from __future__ import annotations

import json
import sys
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.decode import MAX_VALUE_BYTES, decode, faults
from app.domain.errors import BadRecord, Code
from app.domain.events import Source, encode
from app.domain.timestamps import is_canonical
from app.domain.topics import SOURCE_TOPICS
from app.domain.unified import headers_for, parse

SOURCE = Source("task.updated", 2, 15, 1_795_428_000_000)
TASK = b'{"taskId":5,"teamId":42,"actorId":7,"payload":{"x":%b}}'


def code_of(value: bytes | None) -> str:
    with pytest.raises(BadRecord) as refused:
        decode(value, [], SOURCE)
    assert len(refused.value.message.encode()) <= 1024
    assert len(refused.value.message.splitlines()) == 1
    assert [fault.code for fault in faults("task.updated", value)] == [refused.value.code]
    return refused.value.code.value


def x_of(literal: bytes) -> Any:
    return decode(TASK % literal, [], SOURCE).event.data["x"]


def nested(levels: int, inner: bytes = b"", opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    """JSON whose ``levels`` of lists (or objects) stand below the value and its payload."""
    return opening * levels + inner + closing * levels


def test_null() -> None:
    assert code_of(None) == "null-value"


def test_512_kib_are_taken_and_one_byte_more_is_too_large() -> None:
    value = TASK % b'""'
    assert decode(value.ljust(MAX_VALUE_BYTES), [], SOURCE).event.team_id == 42
    assert code_of(value.ljust(MAX_VALUE_BYTES + 1)) == "too-large"
    assert MAX_VALUE_BYTES == 524_288


@pytest.mark.parametrize(
    "value", [b"\xff", TASK % b'"\xff"', TASK % b'"\xed\xa0\x80"', TASK % b'"\xc0\x80"', b'{"a":"\xe4"}', "{}".encode("utf-16")]
)
def test_not_utf8(value: bytes) -> None:
    assert code_of(value) == "not-utf8"


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"  \n",
        b"\xef\xbb\xbf{}",
        b"{",
        b"{}}",
        b"{} {}",
        b"{'a':1}",
        b'{"a":1,}',
        b'{"a":01}',
        b'{"a":.5}',
        b'{"a":+1}',
        b'{"a":0x1}',
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b"{}\0",
        b"text",
        "{}".encode("utf-16-le"),
        TASK % b"NaN",
        TASK % b"Infinity",
        TASK % b"-Infinity",
        TASK % b"1e400 NaN",
        TASK % (b"9" * 30 + b" oops"),
        TASK % (b"9" * 5000 + b" oops"),
        (TASK % b'"\\ud800"')[:-1],
    ],
)
def test_not_json(value: bytes) -> None:
    assert code_of(value) == "not-json"


@pytest.mark.parametrize("value", [b"[]", b"[{}]", b'"text"', b"5", b"null", b"true", nested(100)])
def test_not_an_object(value: bytes) -> None:
    assert code_of(value) == "not-an-object"


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_32_levels_are_taken_and_33_are_too_deep(opening: bytes, closing: bytes) -> None:
    levels = 30 // opening.replace(b"{", b"[").count(b"[")  # the value and its payload are the first two
    assert x_of(nested(levels, b"1", opening, closing))
    assert code_of(TASK % nested(levels, b"[]", opening, closing)) == "too-deep"


def test_many_objects_beside_each_other_are_not_deep() -> None:
    assert len(x_of(b"[" + b",".join([b"{}"] * 1000) + b"]")) == 1000


def test_brackets_in_a_text_are_not_deep() -> None:
    assert x_of(b'"' + b"[{" * 1000 + b'"') == "[{" * 1000


@pytest.mark.parametrize("levels", [900, 990, 1000, 1020, 1022, 1023, 1100, 5000, 100_000])
@pytest.mark.parametrize("inner", [b"1", b'"\\ud800"', b"1e400", b"99999999999999999999"])
def test_what_no_parser_can_read_is_too_deep_and_no_crash(levels: int, inner: bytes) -> None:
    # With something unencodable inside, either answer is right as long as the text can be read.
    expected = {"too-deep"} if inner == b"1" or levels > 1023 else {"too-deep", "unencodable"}
    assert code_of(TASK % nested(levels, inner)) in expected


def test_depth_outside_the_payload_counts_too() -> None:
    assert code_of(b'{"extra":' + nested(32) + b"}") == "too-deep"


@pytest.mark.parametrize(
    "literal",
    [
        b'"\\ud800"',
        b'"\\udc00"',
        b'"\\ud800x"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b"1e400",
        b"-1E400",
        b"1.8e308",
        b"9" * 400 + b".5",
        b"18446744073709551616",
        b"-9223372036854775809",
        b"-9999999999999999999",
        b"9" * 25,
        b"9" * 400,
        b"9" * 5000,
        b"[[1],[{}, 99999999999999999999]]",
    ],
)
def test_what_cannot_be_written_again_is_unencodable(literal: bytes) -> None:
    assert code_of(TASK % literal) == "unencodable"
    assert code_of(b'{"ignored":%b}' % literal) == "unencodable"


@pytest.mark.parametrize(
    "literal",
    [
        b'"\\ud83d\\ude00"',
        b"18446744073709551615",
        b"-9223372036854775808",
        b"9223372036854775807",
        b"1e308",
        b"1.7976931348623157e308",
        b"1e-400",
        b"0.1234567890123456789012345",
        b"100000000000000000000.0",
        b'"99999999999999999999999999"',
        b'["\\"", "99999999999999999999999999"]',
        b'{"99999999999999999999999999":1}',
    ],
)
def test_64_bit_integers_finite_doubles_and_all_characters_are_taken(literal: bytes) -> None:
    assert orjson.dumps(x_of(literal)) == orjson.dumps(orjson.loads(literal))


def test_of_members_with_the_same_name_the_last_counts() -> None:
    assert decode(b'{"taskId":1,"taskId":5,"teamId":42,"actorId":7}', [], SOURCE).event.data["taskId"] == 5


@pytest.mark.parametrize(
    ("literal", "word"), [(b'"\\ud800"', "surrogate"), (b"1e400", "double"), (b"9" * 20, "64 bits"), (b"9" * 400, "64 bits")]
)
def test_the_message_says_what_is_unencodable(literal: bytes, word: str) -> None:
    assert word in faults("task.updated", TASK % literal)[0].message


def test_messages_do_not_repeat_the_value() -> None:
    secret = "s3cret" * 1000
    for value in ({"eventType": secret}, {"timestamp": secret}, {"taskId": secret}, {"payload": secret}, {"eventId": secret}):
        for fault in faults("task.updated", orjson.dumps(value)):
            assert "s3cret" not in fault.message


def test_a_message_is_one_line_of_at_most_1_kib() -> None:
    message = BadRecord(Code.NOT_JSON, "ü\r\n\u2028\x85\ud800" * 1000).message
    assert 1000 < len(message.encode()) <= 1024
    assert len(message.splitlines()) == 1


# Anything at all

IDS = st.one_of(st.none(), st.integers(-1, 3), st.integers(), st.booleans(), st.floats(), st.text(max_size=3))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=8
)
NAMES = ["title", "description", "completed", "priority", "due", "name", "email", "username", "role", "taskId", "teamId", "userId"]
NAMES += ["creatorId", "assigneeId", "ownerId", "__proto__", "constructor", "x"]
GOOD = st.fixed_dictionaries(
    {"taskId": st.integers(1, 9), "teamId": st.integers(0, 9), "userId": st.integers(1, 9), "actorId": st.integers(1, 9)},
    optional={
        "creatorId": st.integers(1, 9),
        "assigneeId": st.integers(0, 9),
        "ownerId": st.none() | st.integers(0, 9),
        "role": st.just("admin"),
        "eventId": st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1),
        "timestamp": st.datetimes().map(lambda at: at.isoformat() + "Z"),
        "payload": st.dictionaries(st.sampled_from(["title", "name", "username", "due", "x", "__proto__"]), st.text() | st.none())
        | st.dictionaries(st.text(), ANYTHING, max_size=5),
    },
)
WILD = st.dictionaries(
    st.sampled_from(
        ["eventType", "eventId", "taskId", "teamId", "userId", "actorId", "role", "timestamp", "payload", "creatorId", "assigneeId"]
    ),
    IDS | ANYTHING | st.dictionaries(st.sampled_from(NAMES), IDS | ANYTHING),
)
SOURCES = st.builds(Source, st.sampled_from(SOURCE_TOPICS), st.integers(0, 99), st.integers(0, 2**63 - 1), st.integers(-1, 2**63 - 1))
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "ce_specversion", "ce_id", "CE_source", "ce_type", "ce_time", "traceparent"]) | st.text(),
        st.none() | st.sampled_from([b"application/cloudevents+json", b"1.0", b"x.task.updated", b"task.updated"]) | st.binary(),
    )
)


@given(st.binary() | st.text().map(str.encode) | st.none(), HEADERS, SOURCES)
def test_arbitrary_bytes_are_an_event_or_a_bad_record(value: bytes | None, headers: list[tuple[str, bytes | None]], source: Source) -> None:
    bad = attempt(value, headers, source)
    assert bad is None or (bad.code in Code and len(bad.message.encode()) <= 1024)


@given(WILD | ANYTHING, HEADERS, SOURCES)
def test_arbitrary_json_is_an_event_or_a_bad_record_with_the_same_faults(
    value: object, headers: list[tuple[str, bytes | None]], source: Source
) -> None:
    raw = json.dumps(value).encode()
    found = faults(source.topic, raw)
    assert len({(fault.field, fault.code) for fault in found}) == len(found)
    bad = attempt(raw, [], source)
    first = [(fault.code, fault.field, fault.message) for fault in found[:1]]
    assert first == ([] if bad is None else [(bad.code, bad.field, bad.message)])
    attempt(raw, headers, source)


def attempt(value: bytes | None, headers: list[tuple[str, bytes | None]], source: Source) -> BadRecord | None:
    try:
        decode(value, headers, source)
    except BadRecord as bad:
        return bad
    return None


@given(GOOD | WILD, SOURCES)
def test_every_event_can_be_written_and_read_back_equal(value: dict[str, Any], source: Source) -> None:
    try:
        event = decode(json.dumps(value).encode(), [], source).event
    except BadRecord:
        return
    assert is_canonical(event.timestamp)
    record = parse(encode(event), [*headers_for(source)], event.key.encode())
    assert record.event == event
    assert record.source == source
    assert record.own_event_id == (value.get("eventId") is not None)


def test_the_recursion_limit_of_the_interpreter_does_not_matter() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(20_000)
    try:
        assert code_of(TASK % nested(5000, b"1")) == "too-deep"
    finally:
        sys.setrecursionlimit(limit)
