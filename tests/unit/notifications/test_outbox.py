"""The outbox of one partition: what is mailed, in which order, and what becomes of what is not."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notifications.outbox import DISTURBED_MS, FIRST_PAUSE_MS, FORGET_MS, LONGEST_PAUSE_MS, Limits, Outcome, Taken
from notifications.rows import MAIL, STATE
from tests.unit.notifications.world import HOUR, LIMITS, World, event_of

ANN, BOB = 1, 2


@pytest.fixture
def world() -> World:
    """Ann's and Bob's addresses are known."""
    made = World()
    made.tell(ANN)
    made.tell(BOB)
    return made


def live(world: World) -> int:
    return sum(key.startswith(MAIL) for key in world.rows.held)


def test_what_is_asked_for_is_sent_once_in_its_order(world: World) -> None:
    for number in range(5):
        world.ask(ANN, f"e{number}")
    world.run()
    assert world.sent == [(ANN, f"e{number}") for number in range(5)]
    assert live(world) == 0


def test_one_mail_of_a_user_is_under_way_at_a_time_and_many_users_are(world: World) -> None:
    for event in "xy":
        world.ask(ANN, event)
        world.ask(BOB, event)
    first, second = world.begin(), world.begin()
    assert first is not None
    assert second is not None
    assert {first.mail.user_id, second.mail.user_id} == {ANN, BOB}
    assert world.begin() is None
    world.end(first, Outcome.SENT)
    assert world.begin() is not None


def test_a_repeated_event_of_one_team_is_mailed_once(world: World) -> None:
    assert world.ask(ANN, "e") is Taken.QUEUED
    assert world.ask(ANN, "e") is Taken.DUPLICATE
    world.run()
    assert world.ask(ANN, "e") is Taken.DUPLICATE
    assert world.ask(ANN, "e", team=2) is Taken.QUEUED
    assert world.ask(BOB, "e") is Taken.QUEUED
    world.run()
    assert sorted(world.sent) == [(ANN, "e"), (ANN, "e"), (BOB, "e")]


def test_the_same_record_read_again_is_no_duplicate(world: World) -> None:
    world.ask(ANN, "e", offset=7)
    assert world.ask(ANN, "e", offset=7) is Taken.AGAIN


def test_old_events_are_not_mailed(world: World) -> None:
    assert world.ask(ANN, "old", at=world.now - LIMITS.max_age - 1) is Taken.EXPIRED
    assert world.ask(ANN, "young", at=world.now - LIMITS.max_age + 1000) is Taken.QUEUED


def test_a_replay_is_mailed_whatever_its_age_and_once(world: World) -> None:
    old = world.now - 3 * LIMITS.max_age
    assert world.ask(ANN, "e", at=old, replay="0-5") is Taken.QUEUED
    assert world.ask(ANN, "e", at=old, replay="0-5") is Taken.DUPLICATE
    world.run()
    assert world.sent == [(ANN, "e")]


def test_a_repeat_that_is_no_longer_remembered_is_too_old_to_be_mailed(world: World) -> None:
    born = world.now
    world.ask(ANN, "e")
    world.run()
    world.later(LIMITS.max_age + FORGET_MS + 1)
    world.sweep()
    assert not [key for key in world.rows.held if key.startswith(STATE)]
    assert world.ask(ANN, "e", at=born) is Taken.EXPIRED


def test_what_waits_is_not_forgotten() -> None:
    world = World(Limits(HOUR, 24 * HOUR, 240 * HOUR, 1000))
    world.ask(ANN, "e")
    world.later(100 * HOUR)
    world.sweep()
    assert world.ask(ANN, "e") is Taken.DUPLICATE
    assert live(world) == 1


def test_an_unknown_address_is_waited_for() -> None:
    world = World()
    world.ask(ANN, "a")
    world.ask(ANN, "b")
    world.run()
    assert world.sent == []
    world.later(LIMITS.address_wait - 1)
    world.run()
    world.tell(ANN)
    world.run()
    assert world.sent == [(ANN, "a"), (ANN, "b")]


def test_an_address_that_never_comes_makes_a_dead_letter() -> None:
    world = World()
    world.ask(ANN, "e")
    world.later(LIMITS.address_wait)
    world.sweep()
    world.run()
    assert world.dead == [(ANN, "e", "no-address")]
    assert live(world) == 0


def test_the_newest_address_counts_and_an_older_one_is_put_right(world: World) -> None:
    assert world.tell(ANN, email="new@example.org", rank="3") is None
    newer = world.tell(ANN, email="old@example.org", rank="2")
    assert newer is not None
    assert b"new@example.org" in newer
    world.ask(ANN, "e")
    attempt = world.begin()
    assert attempt is not None
    assert attempt.address.email == "new@example.org"


def test_a_refused_mail_is_a_dead_letter_at_once_and_the_next_goes_on(world: World) -> None:
    world.ask(ANN, "a")
    world.ask(ANN, "b")
    attempt = world.begin()
    assert attempt is not None
    world.end(attempt, Outcome.REFUSED)
    world.run()
    assert world.dead == [(ANN, "a", "smtp-550")]
    assert world.sent == [(ANN, "b")]


def test_a_mail_whose_dead_letter_is_under_way_is_not_looked_at_again(world: World) -> None:
    world.ask(ANN, "a")
    attempt = world.begin()
    assert attempt is not None
    ending = world.outbox.finish(attempt, Outcome.REFUSED, "no", "smtp-550", world.now)
    world.ask(ANN, "b")
    world.sweep()
    assert world.begin() is None
    world.settle(ending)
    world.run()
    assert world.sent == [(ANN, "b")]


@pytest.mark.parametrize("outcome", [Outcome.DEFERRED, Outcome.LOST])
def test_what_is_not_taken_for_now_comes_again_and_holds_back_its_recipient_alone(world: World, outcome: Outcome) -> None:
    for event in "ab":
        world.ask(ANN, event)
        world.ask(BOB, event)
    attempt = world.begin()
    assert attempt is not None
    assert attempt.mail.user_id == ANN
    world.end(attempt, outcome)
    world.run()
    assert world.sent == [(BOB, "a"), (BOB, "b")]
    world.later(FIRST_PAUSE_MS)
    world.run()
    assert world.sent[2:] == [(ANN, "a"), (ANN, "b")]


def test_pauses_grow_from_one_second_to_one_minute(world: World) -> None:
    pauses = [world.outbox.pause(attempts) for attempts in range(1, 12)]
    assert pauses[0] == FIRST_PAUSE_MS
    assert all(FIRST_PAUSE_MS <= pause <= LONGEST_PAUSE_MS for pause in pauses)
    assert min(pauses[6:]) >= LONGEST_PAUSE_MS / 2
    assert len({world.outbox.pause(10) for _ in range(10)}) > 1


def test_a_mail_is_given_up_after_the_retry_time(world: World) -> None:
    world.ask(ANN, "a")
    end = world.now + LIMITS.retry + LONGEST_PAUSE_MS
    tries = 0
    while world.now < end and not world.dead:
        while (attempt := world.begin()) is not None:
            tries += 1
            world.end(attempt, Outcome.DEFERRED)
        world.later(LONGEST_PAUSE_MS)
    assert world.dead == [(ANN, "a", "smtp-550")]
    assert world.now >= end - 2 * LONGEST_PAUSE_MS
    assert tries > LIMITS.retry / LONGEST_PAUSE_MS - 2


def test_a_server_out_of_reach_for_the_retry_time_makes_dead_letters(world: World) -> None:
    world.ask(ANN, "a")

    def look() -> None:
        for ending in world.outbox.unreachable(world.outbox.waiting(), "no route", world.now):
            world.settle(ending)

    look()
    world.later(LIMITS.retry - 1)
    look()
    assert world.dead == []
    world.later(1)
    look()
    assert world.dead == [(ANN, "a", "unreachable")]


def test_a_try_whose_end_nobody_knows_is_made_again_and_counted(world: World) -> None:
    world.ask(ANN, "a")
    assert world.begin() is not None
    world.restart()
    world.run()
    assert (world.sent, world.unsure) == ([(ANN, "a")], 1)


def test_a_mail_that_another_worker_may_send_waits_for_the_group_to_settle(world: World) -> None:
    world.ask(ANN, "a")
    attempt = world.begin()
    assert attempt is not None
    world.end(attempt, Outcome.DISTURBED)
    assert world.begin() is None
    world.later(DISTURBED_MS)
    world.run()
    assert (world.sent, world.unsure) == ([(ANN, "a")], 0)


def test_a_mail_that_another_worker_has_sent_is_not_sent_again(world: World) -> None:
    world.ask(ANN, "a")
    world.ask(ANN, "b")
    mine = world.begin()
    assert mine is not None
    theirs = World()
    theirs.rows = world.rows
    theirs.restart()
    theirs.run()
    world.end(mine, Outcome.DISTURBED)
    world.later(DISTURBED_MS)
    world.run()
    assert (theirs.sent, world.sent) == ([(ANN, "a"), (ANN, "b")], [])
    assert live(world) == 0


def test_a_mail_whose_row_a_late_writer_brings_back_is_not_sent_again(world: World) -> None:
    world.ask(ANN, "a")
    held = dict(world.rows.held)
    world.run()
    world.rows.held |= {key: value for key, value in held.items() if key.startswith(MAIL)}
    world.restart()
    world.run()
    assert world.sent == [(ANN, "a")]
    assert live(world) == 0


def test_a_cancelled_mail_goes_and_the_next_comes(world: World) -> None:
    world.ask(ANN, "a")
    world.ask(ANN, "b")
    attempt = world.begin()
    assert attempt is not None
    assert world.outbox.order(ANN, attempt.mail.identity, "cancel", world.now).rows == {}, "it is being sent"
    world.end(attempt, Outcome.DEFERRED)
    world.settle(world.outbox.order(ANN, attempt.mail.identity, "cancel", world.now))
    world.run()
    assert world.sent == [(ANN, "b")]


def test_a_retry_waits_no_longer(world: World) -> None:
    world.ask(ANN, "a")
    attempt = world.begin()
    assert attempt is not None
    world.end(attempt, Outcome.DEFERRED)
    world.settle(world.outbox.order(ANN, attempt.mail.identity, "retry", world.now))
    world.run()
    assert world.sent == [(ANN, "a")]


def test_more_users_than_are_kept_in_memory_get_their_mail_all_the_same() -> None:
    world = World(Limits(24 * HOUR, 24 * HOUR, 24 * HOUR, users=10))
    for user in range(1, 101):
        world.tell(user)
        world.ask(user, "a")
        world.ask(user, "b")
        assert len(world.outbox.waiting()) <= 10
    for _ in range(40):
        world.run()
        world.outbox.sweep(world.now)
    assert sorted(world.sent) == [(user, event) for user in range(1, 101) for event in "ab"]


def test_users_whose_server_defers_do_not_take_the_place_of_others() -> None:
    world = World(Limits(24 * HOUR, 24 * HOUR, 24 * HOUR, users=10))
    for user in range(1, 41):
        world.tell(user)
        world.ask(user, "a")
    failing = set(range(1, 31))
    for _ in range(20):
        while (attempt := world.begin()) is not None:
            world.end(attempt, Outcome.DEFERRED if attempt.mail.user_id in failing else Outcome.SENT)
        world.outbox.sweep(world.now)
    assert {user for user, _event in world.sent} == set(range(31, 41))


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(1, 3), st.integers(0, 6)),
        st.tuples(st.just("tell"), st.integers(1, 3), st.just(0)),
        st.tuples(st.just("begin"), st.just(0), st.just(0)),
        st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(list(Outcome))),
        st.tuples(st.just("later"), st.integers(0, 120_000), st.just(0)),
        st.tuples(st.just("restart"), st.just(0), st.just(0)),
        st.tuples(st.just("sweep"), st.just(0), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=300)
@given(OPERATIONS, st.integers(1, 4))
def test_whatever_happens_every_mail_is_sent_or_dead_in_order_and_repeated_only_where_an_end_was_not_known(
    operations: list[tuple[str, int, object]], users: int
) -> None:
    """The naive model: per user a list of events, each once, from which those that were refused are missing."""
    world = World(Limits(24 * HOUR, 24 * HOUR, 24 * HOUR, users=users))
    wanted: dict[int, list[str]] = defaultdict(list)
    refused: set[tuple[int, str]] = set()
    repeatable: set[tuple[int, str]] = set()
    under_way = []
    for name, number, more in operations:
        if name == "ask":
            taken = world.ask(number, f"e{more}")
            assert (taken is Taken.DUPLICATE) == (f"e{more}" in wanted[number])
            if taken is Taken.QUEUED:
                wanted[number].append(f"e{more}")
        elif name == "tell":
            world.tell(number)
        elif name == "begin" and (attempt := world.begin()) is not None:
            under_way.append(attempt)
        elif name == "end" and under_way:
            attempt = under_way.pop(number % len(under_way))
            assert isinstance(more, Outcome)
            before = len(world.dead)
            world.end(attempt, more)
            if len(world.dead) > before:
                refused.add(world.dead[-1][:2])
        elif name == "later":
            world.later(number)
        elif name == "restart":
            # The server has taken all that was under way, and nobody has written it down.
            for attempt in under_way:
                one = (attempt.mail.user_id, event_of(attempt.mail.request))
                world.sent.append(one)
                repeatable.add(one)
            under_way.clear()
            world.restart()
        elif name == "sweep":
            world.sweep()
    for attempt in under_way:
        world.end(attempt, Outcome.SENT)
    for user in list(wanted):
        world.tell(user)
    for _ in range(10):
        world.later(LONGEST_PAUSE_MS)
        world.sweep()
        world.run()
    for user, events in wanted.items():
        got = [event for one, event in world.sent if one == user]
        once = list(dict.fromkeys(got))
        assert [event for event in events if (user, event) not in refused or event in once] == once
        assert all(got.count(event) == 1 or (user, event) in repeatable for event in once)
    assert live(world) == 0
