from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from app.domain.events import MAX_ID
from tests.unit.web.sockets.document import COMMANDS, is_valid, schema_of
from web.sockets.close_codes import CloseCode
from web.sockets.commands import ALL, Auth, Command, Ping, Refresh, Subscribe, Unsubscribe
from web.sockets.messages import ErrorCode
from web.sockets.protocol import MAX_COMMAND_BYTES, Close, Fault, Protocol, Refusal

POSITION = "000000000000002a-0123456789abcdef-fedcba9876543210"


def core(*, authenticated: bool = True, max_teams: int = 1000) -> Protocol:
    protocol = Protocol(max_teams)
    if authenticated:
        protocol.authenticated(7)
    return protocol


def receive(message: object, *, authenticated: bool = True, max_teams: int = 1000) -> Command | Fault:
    return core(authenticated=authenticated, max_teams=max_teams).receive(orjson.dumps(message).decode())


def refusal(message: object, *, authenticated: bool = True, max_teams: int = 1000) -> tuple[int | str | None, ErrorCode]:
    found = receive(message, authenticated=authenticated, max_teams=max_teams)
    assert isinstance(found, Refusal), found
    return found.id, found.code


def bad_member(message: object) -> str:
    """The member that is said to be wrong."""
    found = receive(message)
    assert isinstance(found, Refusal), found
    assert found.code is ErrorCode.BAD_REQUEST
    return found.message.partition(":")[0]


def close_code(text: str | bytes) -> int:
    found = core().receive(text)
    assert isinstance(found, Close), found
    assert len(found.reason.encode()) <= 123
    return found.code


# --- commands


def test_auth() -> None:
    assert receive({"id": 1, "type": "auth", "token": "t"}, authenticated=False) == Auth(1, "t")


def test_refresh() -> None:
    assert receive({"id": 1, "type": "refresh", "token": "t"}) == Refresh(1, "t")


def test_ping() -> None:
    assert receive({"id": 5, "type": "ping"}) == Ping(5)


@pytest.mark.parametrize("command", [Auth(1, "secret"), Refresh(1, "secret")])
def test_a_token_is_not_in_what_a_log_would_show(command: Command) -> None:
    assert "secret" not in repr(command)


def test_subscribe_to_a_team_alone_asks_for_nothing_more() -> None:
    assert receive({"id": 2, "type": "subscribe", "teams": [42]}) == Subscribe(2, frozenset({42}), False, {}, False, False)


def test_subscribe_with_everything() -> None:
    message = {
        "id": "a",
        "type": "subscribe",
        "teams": [42, "me", 42, 43],
        "since": {"42": POSITION, "me": ""},
        "snapshot": True,
        "presence": True,
    }
    assert receive(message) == Subscribe("a", frozenset({42, 43}), True, {42: POSITION, "me": ""}, True, True)


def test_the_users_own_stream_may_stand_alone() -> None:
    assert receive({"id": 2, "type": "subscribe", "teams": ["me"]}) == Subscribe(2, frozenset(), True, {}, False, False)


def test_all_has_the_users_own_stream_and_takes_every_position() -> None:
    message = {"id": 2, "type": "subscribe", "teams": "all", "since": {"1": "a", "me": "b"}}
    assert receive(message) == Subscribe(2, ALL, True, {1: "a", "me": "b"}, False, False)


def test_positions_of_what_is_not_asked_for_are_left_out() -> None:
    found = receive({"id": 2, "type": "subscribe", "teams": [42], "since": {"42": "a", "43": "b", "me": "c"}})
    assert isinstance(found, Subscribe)
    assert found.since == {42: "a"}


@pytest.mark.parametrize(
    ("teams", "expected"), [([42, "me"], (frozenset({42}), True)), ([42], (frozenset({42}), False)), ("all", (ALL, True))]
)
def test_unsubscribe(teams: Any, expected: Any) -> None:
    assert receive({"id": 3, "type": "unsubscribe", "teams": teams}) == Unsubscribe(3, *expected)


def test_unknown_members_are_ignored() -> None:
    assert receive({"id": 5, "type": "ping", "teams": 3, "token": [], "new": {"a": [{}]}}) == Ping(5)


def test_of_members_with_one_name_the_last_counts() -> None:
    assert core().receive('{"id":1,"type":"auth","id":2,"type":"ping"}') == Ping(2)


@pytest.mark.parametrize("command_id", [0, 1, -1, MAX_ID, -MAX_ID, "", "a", "x" * 64, "\U0001f600" * 64])
def test_ids(command_id: int | str) -> None:
    assert receive({"id": command_id, "type": "ping"}) == Ping(command_id)


def test_bytes_are_taken_as_text_is() -> None:
    assert core().receive('{"id":"é","type":"ping"}'.encode()) == core().receive('{"id":"é","type":"ping"}') == Ping("é")


# --- who may


@pytest.mark.parametrize("name", ["subscribe", "unsubscribe", "refresh", "ping", "nonsense", ""])
def test_before_authentication_only_auth_is_taken(name: str) -> None:
    assert refusal({"id": 1, "type": name}, authenticated=False) == (1, ErrorCode.NOT_AUTHENTICATED)


def test_authentication_opens_the_other_commands() -> None:
    protocol = Protocol(10)
    protocol.authenticated(7)
    assert protocol.user_id == 7
    assert protocol.receive('{"id":1,"type":"ping"}') == Ping(1)


def test_before_authentication_there_is_no_user() -> None:
    assert Protocol(10).user_id is None


def test_a_second_auth_is_refused_whatever_it_holds() -> None:
    assert refusal({"id": 1, "type": "auth", "token": 5}) == (1, ErrorCode.ALREADY_AUTHENTICATED)


def test_a_refused_token_leaves_auth_open() -> None:
    protocol = core(authenticated=False)
    assert protocol.receive('{"id":1,"type":"auth","token":"a"}') == Auth(1, "a")
    assert protocol.receive('{"id":2,"type":"auth","token":"b"}') == Auth(2, "b")


def test_a_connection_never_changes_its_user() -> None:
    with pytest.raises(ValueError, match="once"):
        core().authenticated(8)


# --- refusals


def test_an_unknown_command_is_told_which_there_are() -> None:
    found = receive({"id": "x", "type": "Ping\r\n"})
    assert found == Refusal("x", ErrorCode.UNKNOWN_COMMAND, "type: the commands are auth, subscribe, unsubscribe, refresh, ping")


@pytest.mark.parametrize("command_id", [None, True, 1.5, 1.0, MAX_ID + 1, -MAX_ID - 1, 2**64, "x" * 65, [], {}, [1]])
def test_without_a_usable_id_there_is_an_error_and_no_reply(command_id: object) -> None:
    found = core().receive(b'{"type":"ping","id":%s}' % (str(command_id).encode() if type(command_id) is int else orjson.dumps(command_id)))
    assert isinstance(found, Refusal)
    assert (found.id, found.code) == (None, ErrorCode.BAD_REQUEST)
    assert schema_of(orjson.loads(found.json)) == "Error"


def test_a_missing_id_is_no_usable_id() -> None:
    assert refusal({"type": "ping"}) == (None, ErrorCode.BAD_REQUEST)
    assert refusal({"type": "ping"}, authenticated=False) == (None, ErrorCode.BAD_REQUEST)


def test_a_refusal_with_an_id_is_a_reply() -> None:
    found = Refusal("x", ErrorCode.LIMIT, "why")
    assert orjson.loads(found.json) == {"type": "reply", "id": "x", "ok": False, "error": {"code": "limit", "message": "why"}}


@pytest.mark.parametrize("name", ["auth", "refresh"])
@pytest.mark.parametrize("token", [{}, {"token": None}, {"token": 5}, {"token": ["t"]}])
def test_a_token_is_a_string(name: str, token: dict[str, object]) -> None:
    assert refusal({"id": 1, "type": name, **token}, authenticated=name == "refresh") == (1, ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
@pytest.mark.parametrize(
    "teams",
    [
        None,
        42,
        "42",
        "me",
        "ALL",
        {},
        {"42": 1},
        [],
        [0],
        [-1],
        [True],
        [42.0],
        ["42"],
        [None],
        [MAX_ID + 1],
        ["all"],
        [[42]],
        [{}],
        [42, "you"],
    ],
)
def test_teams_are_all_or_a_list_of_ids_and_me(name: str, teams: object) -> None:
    assert bad_member({"id": 1, "type": name, "teams": teams}) == "teams"


@pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
def test_teams_are_needed(name: str) -> None:
    assert bad_member({"id": 1, "type": name}) == "teams"


@pytest.mark.parametrize(
    "since",
    [
        None,
        [],
        "x",
        {"42": None},
        {"42": 5},
        {"42": "x" * 201},
        {"": "x"},
        {"0": "x"},
        {"042": "x"},
        {"+42": "x"},
        {"42 ": "x"},
        {"42\n": "x"},
        {"٤٢": "x"},
        {"all": "x"},
        {"4.2": "x"},
        {str(MAX_ID + 1): "x"},
        {"9" * 5000: "x"},
    ],
)
@pytest.mark.parametrize("teams", [[42, "me"], "all"])
def test_since_has_positions_by_id(teams: object, since: object) -> None:
    assert bad_member({"id": 1, "type": "subscribe", "teams": teams, "since": since}) == "since"


def test_any_short_text_may_be_a_position() -> None:
    found = receive({"id": 1, "type": "subscribe", "teams": [42], "since": {"42": "x" * 200}})
    assert isinstance(found, Subscribe)
    assert found.since == {42: "x" * 200}


@pytest.mark.parametrize("member", ["snapshot", "presence"])
@pytest.mark.parametrize("flag", [None, 0, 1, "true", []])
def test_flags_are_true_or_false(member: str, flag: object) -> None:
    assert bad_member({"id": 1, "type": "subscribe", "teams": [42], member: flag}) == member


@pytest.mark.parametrize("name", ["subscribe", "unsubscribe"])
def test_more_teams_than_the_limit_are_refused(name: str) -> None:
    assert refusal({"id": 1, "type": name, "teams": [1, 2, 3, 4]}, max_teams=3) == (1, ErrorCode.LIMIT)


def test_repeated_teams_and_the_users_own_stream_do_not_count() -> None:
    found = receive({"id": 1, "type": "subscribe", "teams": [1, 2, 3, 3, "me", 1]}, max_teams=3)
    assert isinstance(found, Subscribe)
    assert found.teams == frozenset({1, 2, 3})


def test_what_was_sent_is_not_said_back() -> None:
    texts = [
        '{"id":1,"type":"<script>"}',
        '{"id":1,"type":"subscribe","teams":["<script>"]}',
        '{"id":1,"type":"subscribe","teams":[1],"since":{"<script>":5}}',
        '{"id":1,"type":"refresh","token":{"<script>":1}}',
    ]
    for text in texts:
        found = core().receive(text)
        assert isinstance(found, Refusal)
        assert b"<script>" not in found.json


# --- messages that end the socket


@pytest.mark.parametrize("authenticated", [True, False])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "ping",
        "{",
        "[]",
        "1",
        "null",
        "true",
        '"ping"',
        "NaN",
        '{"id":NaN,"type":"ping"}',
        "{}",
        '{"id":1}',
        '{"id":1,"type":null}',
        '{"id":1,"type":5}',
        '{"id":1,"type":["ping"]}',
        '\ufeff{"id":1,"type":"ping"}',
        '{"id":"\\ud800","type":"ping"}',
        '{"id":1,"type":"ping"}{"id":2,"type":"ping"}',
        "[" * 60_000,
        '{"a":' * 5_000 + "1" + "}" * 5_000,
    ],
)
def test_no_json_object_or_no_type_violates_the_protocol(text: str, authenticated: bool) -> None:
    found = core(authenticated=authenticated).receive(text)
    assert isinstance(found, Close), found
    assert found.code == CloseCode.PROTOCOL_VIOLATION


@pytest.mark.parametrize("text", [b'{"id":1,"type":"ping\xff"}', b'{"id":1,"type":"\xed\xa0\x80"}', "\ud800", b"\xff"])
def test_what_is_no_utf8_ends_the_socket(text: str | bytes) -> None:
    assert close_code(text) == 1007


@pytest.mark.parametrize("character", ["x", "é", "\U0001f600"])
def test_a_command_may_be_as_long_as_the_limit_in_bytes(character: str) -> None:
    start, end = '{"id":1,"type":"ping","x":"', '"}'
    room = MAX_COMMAND_BYTES - len(start) - len(end)
    size = len(character.encode())
    longest = start + character * (room // size) + "y" * (room % size) + end
    assert core().receive(longest) == core().receive(longest.encode()) == Ping(1)
    assert close_code(longest + " ") == close_code((longest + " ").encode()) == 1009


# --- whatever comes


def check(found: Command | Fault) -> None:
    """A fault is something that can be sent."""
    if isinstance(found, Refusal):
        assert schema_of(orjson.loads(found.json)) == ("Error" if found.id is None else "Reply")
    elif isinstance(found, Close):
        assert found.code in (1007, 1009, CloseCode.PROTOCOL_VIOLATION)
        assert len(found.reason.encode()) <= 123


@settings(deadline=None)  # a busy machine is not what is tested
@given(st.text(st.characters(exclude_categories=())) | st.binary(), st.booleans())
def test_no_text_raises(text: str | bytes, authenticated: bool) -> None:
    check(core(authenticated=authenticated).receive(text))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=4),
    max_leaves=8,
)


@settings(deadline=None)  # a busy machine is not what is tested
@given(st.dictionaries(st.sampled_from(["id", "type", "teams", "since", "snapshot", "presence", "token", "x"]), JSON), st.booleans())
def test_no_object_raises(message: dict[str, Any], authenticated: bool) -> None:
    check(receive(message, authenticated=authenticated))


IDS = st.integers(1, MAX_ID)
COMMAND_IDS = st.integers(-MAX_ID, MAX_ID) | st.text(st.characters(codec="utf-8"), max_size=64)
TEAMS = st.just("all") | st.lists(IDS | st.just("me"), min_size=1, max_size=6)
POSITIONS = st.text(st.characters(codec="utf-8"), max_size=200)
SINCE = st.dictionaries(IDS.map(str) | st.just("me"), POSITIONS, max_size=4)
NEARLY = st.sampled_from(
    [None, True, 0, -1, MAX_ID + 1, 0.5, "", "all", "me", "x" * 65, [], [0], ["all"], [5, "me"], {}, {"5": 5}, {"x": "x"}]
)
"""Values that are right for some members and wrong for others."""


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """A command, most often a right one."""
    right = {
        "id": COMMAND_IDS,
        "teams": TEAMS,
        "since": SINCE,
        "snapshot": st.booleans(),
        "presence": st.booleans(),
        "token": st.text(st.characters(codec="utf-8"), max_size=9),
    }
    message: dict[str, Any] = {"type": draw(st.sampled_from([name.lower() for name in COMMANDS]))}
    wrong = draw(st.sampled_from([None, None, *right]))
    for name, values in right.items():
        if draw(st.integers(0, 9)):
            message[name] = draw(NEARLY if name == wrong else values)
    return message


@settings(deadline=None)  # a busy machine is not what is tested
@given(messages())
def test_the_core_takes_what_the_document_allows_and_nothing_else(message: dict[str, Any]) -> None:
    found = receive(message, authenticated=message["type"] != "auth")
    check(found)
    assert isinstance(found, Command) == is_valid(message["type"].capitalize(), message)


def as_message(command: Command) -> dict[str, Any]:
    """The message that a client would send."""
    message: dict[str, Any] = {"id": command.id, "type": type(command).__name__.lower()}
    if isinstance(command, Auth | Refresh):
        message["token"] = command.token
    if isinstance(command, Subscribe | Unsubscribe):
        message["teams"] = "all" if command.teams is ALL else [*command.teams, *(["me"] if command.me else [])]
    if isinstance(command, Subscribe):
        message["since"] = {str(name): position for name, position in command.since.items()}
        message |= {"snapshot": command.snapshot, "presence": command.presence}
    return message


@settings(deadline=None)  # a busy machine is not what is tested
@given(messages())
def test_a_command_sent_again_is_the_same(message: dict[str, Any]) -> None:
    authenticated = message["type"] != "auth"
    found = receive(message, authenticated=authenticated)
    if isinstance(found, Command):
        assert receive(as_message(found), authenticated=authenticated) == found


class Dialogue(RuleBasedStateMachine):
    """A client that sends anything in any order, while the server authenticates it, or does not."""

    def __init__(self) -> None:
        super().__init__()
        self.protocol = Protocol(3, max_command_bytes=4096)
        self.user: int | None = None

    @rule(text=st.text(st.characters(exclude_categories=()), max_size=300) | st.binary(max_size=300))
    def anything(self, text: str | bytes) -> None:
        check(self.protocol.receive(text))

    @rule(size=st.integers(4090, 4110), as_text=st.booleans())
    def about_the_limit(self, size: int, as_text: bool) -> None:
        data = b'{"id":1,"type":"ping","x":"' + b"x" * (size - 29) + b'"}'
        found = self.protocol.receive(data.decode() if as_text else data)
        assert len(data) == size
        assert (isinstance(found, Close) and found.code == 1009) is (size > 4096)

    @rule(message=messages())
    def a_command(self, message: dict[str, Any]) -> None:
        found = self.protocol.receive(orjson.dumps(message))
        check(found)
        if isinstance(found, Command):
            assert isinstance(found, Auth) is (self.user is None), "auth before all others, and never again"
            assert found.id == message["id"]
        if isinstance(found, Subscribe | Unsubscribe) and found.teams is not ALL:
            assert len(found.teams) <= 3
        if isinstance(found, Refusal) and "id" in message and type(message["id"]) is str and len(message["id"]) <= 64:
            assert found.id == message["id"], "the answer carries the id of its command"

    @rule(user=IDS)
    def a_token_is_good(self, user: int) -> None:
        if self.user is None:
            self.protocol.authenticated(user)
            self.user = user
        else:
            with pytest.raises(ValueError, match="once"):
                self.protocol.authenticated(user)

    @invariant()
    def the_user_is_the_first_one(self) -> None:
        assert self.protocol.user_id == self.user

    @invariant()
    def it_answers_a_ping_as_it_must(self) -> None:
        found = self.protocol.receive('{"id":"still there","type":"ping"}')
        assert found == (
            Ping("still there") if self.user is not None else Refusal("still there", ErrorCode.NOT_AUTHENTICATED, "auth comes first")
        )


TestDialogue = Dialogue.TestCase
