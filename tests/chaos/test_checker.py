"""The checker turns red: each test spoils one thing of a round in which everything was right."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.chaos.checker import check
from tests.chaos.history import ClientHistory, Evidence, Message, Session
from tests.chaos.replica import Replica
from tests.chaos.staged import MEMBER, OTHER, OWNER, TEAM, evidence, message_of, position_of, snapshot_of, story
from tests.chaos.unified import Log, end_state, state_at


@pytest.fixture
def right() -> Evidence:
    """A round in which nothing went wrong."""
    return copy.deepcopy(evidence(story()))


def client(round_: Evidence, name: str) -> ClientHistory:
    return next(one for one in round_.clients if one.name == name)


def messages(round_: Evidence, name: str) -> list[Message]:
    return client(round_, name).sessions[-1].messages


def find(found: list[Message], wanted: Callable[[Message], object]) -> int:
    return next(index for index, message in enumerate(found) if wanted(message))


def titled(title: str) -> Callable[[Message], object]:
    return lambda message: "." in message["type"] and message["data"].get("title") == title


def red(round_: Evidence, **wanted: int) -> None:
    verdict = check(round_)
    assert {kind: count for kind, count in verdict.numbers().items() if count} == wanted, verdict.findings


def stream_of(round_: Evidence, team: int = TEAM) -> tuple[Log, int]:
    log = Log(round_.log, 100_000)
    return log, len(log.stream(f"team:{team}").events)


def test_a_round_without_fault_is_clean(right: Evidence) -> None:
    verdict = check(right)

    assert verdict.clean, verdict.findings
    assert verdict.delivered > 10
    assert verdict.snapshots == 4


@pytest.mark.parametrize("name", ["plain", "rich", "owner"])
def test_an_event_that_is_missing_is_lost(right: Evidence, name: str) -> None:
    found = messages(right, name)
    del found[find(found, titled("Task 3"))]

    # The owner's replica lacks the task ever after; the member left the team meanwhile and got a snapshot on coming back.
    red(right, lost=1, **({"wrong_state": 1} if name == "owner" else {}))


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_the_last_event_that_is_missing_is_lost(right: Evidence, name: str) -> None:
    found = messages(right, name)
    del found[find(found, titled("Last"))]

    red(right, lost=1, **({"wrong_state": 1} if name == "rich" else {}))


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_the_event_before_a_removal_that_is_missing_is_lost(right: Evidence, name: str) -> None:
    found = messages(right, name)
    del found[find(found, lambda message: message["type"] == "team.member_removed")]

    red(right, lost=1)


@pytest.mark.parametrize("name", ["plain", "rich", "owner"])
def test_an_event_that_comes_twice_is_repeated(right: Evidence, name: str) -> None:
    found = messages(right, name)
    at = find(found, titled("Task 3"))
    found.insert(at, found[at])

    red(right, repeated=1)


@pytest.mark.parametrize("name", ["plain", "owner"])
def test_a_repeat_in_the_log_that_is_delivered_is_repeated(right: Evidence, name: str) -> None:
    found = messages(right, name)
    [offset] = Log(right.log, 100_000).stream(f"team:{TEAM}").repeats
    at = find(found, titled("Task 3"))
    found.insert(at + 1, found[at] | {"position": position_of(offset)})

    red(right, repeated=1)


def test_with_the_duplicate_window_off_every_repeat_of_the_log_is_owed(right: Evidence) -> None:
    assert check(right, window=0).counts["lost"] == 3


def test_events_in_another_order_are_misordered(right: Evidence) -> None:
    found = messages(right, "plain")
    at = find(found, titled("Task 2"))
    found[at], found[at + 1] = found[at + 1], found[at]

    red(right, misordered=1)


def test_a_rich_client_that_is_given_another_order_has_lost_one_until_then(right: Evidence) -> None:
    found = messages(right, "owner")
    at = find(found, titled("Task 2"))
    found[at], found[at + 1] = found[at + 1], found[at]

    assert check(right).counts["misordered"] == 1


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_an_event_of_a_team_that_is_none_of_theirs_is_leaked(right: Evidence, name: str) -> None:
    log, count = stream_of(right, OTHER)
    messages(right, name).append(message_of(log.stream(f"team:{OTHER}"), count - 1))

    assert check(right).counts["leaked"] == 1


@pytest.mark.parametrize("name", ["plain", "rich"])
def test_an_event_after_the_removal_is_leaked(right: Evidence, name: str) -> None:
    log, _ = stream_of(right)
    stream, found = log.stream(f"team:{TEAM}"), messages(right, name)
    away = next(index for index, event in enumerate(stream.events) if event.event.data.get("title") == "While away")
    at = find(found, lambda message: message["type"] == "team.member_removed")
    found.insert(at + 1, message_of(stream, away))

    assert check(right).counts["leaked"] == 1


def test_a_snapshot_after_the_removal_is_leaked(right: Evidence) -> None:
    log, _ = stream_of(right)
    stream, found = log.stream(f"team:{TEAM}"), messages(right, "rich")
    at = find(found, lambda message: message["type"] == "left")
    removed = next(index for index in range(len(stream.events)) if stream.ends_member(MEMBER, index))
    found.insert(at, snapshot_of(stream, removed + 1))

    assert check(right).counts["leaked"] == 1


def test_a_removal_that_is_not_told_is_lost(right: Evidence) -> None:
    found = messages(right, "rich")
    del found[find(found, lambda message: message["type"] == "joined") :]
    del found[find(found, lambda message: message["type"] == "left") :]

    assert check(right).counts["lost"] == 2  # what made them a member again, and what followed


def test_an_overwritten_row_is_a_wrong_state(right: Evidence) -> None:
    row = next(row for row in right.tables["one"]["tasks"] if row["key"] == f"{TEAM}/1")
    row["value"] = row["value"] | {"title": "Task 1"}

    red(right, wrong_state=1)


@pytest.mark.parametrize("table", ["teams", "members", "tasks", "users"])
def test_a_row_that_is_missing_or_too_many_is_a_wrong_state(right: Evidence, table: str) -> None:
    missing = copy.deepcopy(right)
    missing.tables["one"][table].pop()
    red(missing, wrong_state=1)

    row = right.tables["one"][table][0]
    right.tables["one"][table].append(row | {"key": f"{row['key']}0"})
    red(right, wrong_state=1)


def test_a_team_that_a_worker_tells_differently_is_a_wrong_state(right: Evidence) -> None:
    right.teams["one"][TEAM] = None

    red(right, wrong_state=1)


def test_a_snapshot_that_is_not_the_fold_up_to_its_position_is_a_wrong_state(right: Evidence) -> None:
    found = messages(right, "rich")
    at = find(found, lambda message: message["type"] == "snapshot" and message.get("teamId") == TEAM)
    found[at] = found[at] | {"members": []}

    assert check(right).counts["wrong_state"] == 1


def test_an_event_with_other_content_than_the_log_is_a_wrong_state(right: Evidence) -> None:
    found = messages(right, "plain")
    at = find(found, titled("Last"))
    found[at] = found[at] | {"data": found[at]["data"] | {"title": "Forged"}}

    assert check(right).counts["wrong_state"] == 1


def test_an_acknowledged_source_record_without_a_unified_one_is_lost_at_the_source(right: Evidence) -> None:
    del right.log[-1]

    assert check(right).counts["source_lost"] == 1


def test_a_bad_record_without_a_dead_letter_is_lost_at_the_source(right: Evidence) -> None:
    right.dead.clear()

    red(right, source_lost=1)


def test_a_dead_letter_with_another_value_or_code_is_lost_at_the_source(right: Evidence) -> None:
    right.dead[0] = replace(right.dead[0], value=b"something else")

    red(right, source_lost=1)


def test_a_record_that_went_to_another_team_is_lost_at_the_source(right: Evidence) -> None:
    place = next(iter(right.acked))
    right.acked[place] = replace(right.acked[place], key="team:99")

    red(right, source_lost=1)


def test_a_source_partition_out_of_order_in_the_log_is_misordered(right: Evidence) -> None:
    first, second = (record for record in right.log if b"Not yours" in (record.value or b"") or b"Last" in (record.value or b""))
    later = next(record for record in right.log if b"While away" in (record.value or b""))
    assert first.offset < later.offset < second.offset
    right.log[later.offset] = replace(later, headers=second.headers)
    right.log[second.offset] = replace(second, headers=later.headers)

    assert any("stands behind" in finding for finding in check(right).findings)


def test_a_client_that_is_not_connected_at_the_end_has_lost_what_follows(right: Evidence) -> None:
    client(right, "plain").sessions[-1].closed = 2_000_000.0

    red(right, lost=1)


# --- resuming


def resumed(right: Evidence, *between: Message, skip: int = 0) -> None:
    """Cut the owner's connection before "Last", and let it go on in another one."""
    owner = client(right, "owner")
    first = owner.sessions[0]
    at = find(first.messages, titled("Last"))
    rest = first.messages[at:]
    del first.messages[at:]
    first.closed = 1_500_000.0
    replica = Replica(OWNER)
    for message in first.messages:
        replica.take(message)
    since = replica.since()
    positions = {("me" if key.startswith("user:") else key.partition(":")[2]): position for key, position in since.items()}
    second = Session("two", 1_500_001.0, since, subscribed=True)
    second.messages = [{"type": "reply", "id": 1, "ok": True, "positions": positions, "refused": []}, *between, *rest[skip:]]
    owner.sessions.append(second)


def test_a_client_that_goes_on_from_its_position_has_lost_nothing(right: Evidence) -> None:
    resumed(right)

    red(right)


def test_a_silent_skip_at_a_resume_is_lost(right: Evidence) -> None:
    resumed(right, skip=1)

    red(right, lost=1, wrong_state=1)


def test_a_resume_that_repeats_is_repeated(right: Evidence) -> None:
    log, _ = stream_of(right)
    stream = log.stream(f"team:{TEAM}")
    resumed(right, message_of(stream, len(stream.events) - 2))

    red(right, repeated=1)


def test_a_gap_and_a_snapshot_take_the_place_of_events(right: Evidence) -> None:
    log, count = stream_of(right)
    gap = {"type": "gap", "teamId": TEAM, "reason": "far"}
    resumed(right, gap, snapshot_of(log.stream(f"team:{TEAM}"), count), skip=1)

    verdict = check(right)

    assert verdict.clean, verdict.findings
    assert verdict.gaps == {"far": 1}


def test_a_snapshot_without_a_gap_takes_the_place_of_nothing(right: Evidence) -> None:
    log, count = stream_of(right)
    resumed(right, snapshot_of(log.stream(f"team:{TEAM}"), count), skip=1)

    red(right, lost=1)


def test_a_gap_without_a_snapshot_is_lost(right: Evidence) -> None:
    resumed(right, {"type": "gap", "teamId": TEAM, "reason": "far"}, skip=1)

    assert check(right).counts["lost"] == 1


def test_the_reference_fold_and_the_naive_model_agree() -> None:
    log = Log(story().log, 100_000)
    for stream in log.streams.values():
        end = end_state(stream)
        end.pop("exists", None)
        assert state_at(stream, len(stream.events)) == end
