"""A feed folds each record once and moves its cursors on; a cursor is a place in the ring, and nothing is queued."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app import metrics
from delivery.cursor import Cursor
from delivery.rounds import AT_ONCE, PASS, Rounds
from delivery.run import RUN_BYTES
from tables.seed import Seed
from tests.unit.delivery.fakes import Client, FakeSink, Log, entry_of, feed_of, listener_of, record, rows_of, turns
from tests.unit.domain.naive_model import Record
from tests.unit.domain.worlds import histories

ME, OTHER = 1, 2
BEGINNING = [record("team.created", 0, ownerId=ME), record("team.member_added", 1, userId=OTHER, role="member")]


def tasks(count: int) -> list[Record]:
    return [record("task.updated", 10 + number // 10, offset=number, taskId=1, creatorId=ME, title=str(number)) for number in range(count)]


class World:
    """A feed of team 1 whose view was seeded when the log held some records."""

    def __init__(self, before: list[Record], ring_bytes: int = 10_000_000) -> None:
        self.log = Log(ring_bytes)
        for one in before:
            self.log.append(one)
        self.feed = feed_of(self.log.held, Seed(len(before) - 1, rows_of(before, "team:1")))

    def listener(self, sink: FakeSink, user: int = ME, after: int | None = None) -> Cursor:
        cursor = Cursor(self.feed, listener_of(user, sink), self.feed.head if after is None else after)
        self.feed.settle(self.log.held.after("team:1", cursor.position) or [])
        self.feed.place(cursor)
        return cursor

    def append(self, *records: Record, together: bool = False) -> None:
        for one in records:
            entry = self.log.append(one)
            if one.event.key != "team:1":
                continue
            change = self.feed.fold(entry)
            assert change is not None
            self.feed.deliver(entry, change)
            if not together:
                self.feed.flush()
        self.feed.flush()


def test_what_is_at_the_head_is_written_at_once() -> None:
    world, sink = World(BEGINNING), FakeSink()
    cursor = world.listener(sink)
    world.append(*tasks(3))
    assert sink.offsets("team:1") == [2, 3, 4]
    assert (cursor.position, cursor.lagging) == (4, False)


def test_what_the_ring_holds_behind_the_seed_is_folded_when_the_feed_begins() -> None:
    log = Log()
    for one in [*BEGINNING, *tasks(2)]:
        log.append(one)
    log.append_unreadable()
    feed = feed_of(log.held, Seed(1, rows_of(BEGINNING, "team:1")))
    assert feed.head == 4
    assert [task["title"] for task in feed.view.tasks()] == ["1"]


def test_a_slow_socket_leaves_what_it_does_not_take_in_the_ring_and_catches_up_in_order() -> None:
    world, sink = World(BEGINNING), FakeSink(room=1)
    cursor = world.listener(sink)
    world.append(*tasks(200))
    assert sink.offsets("team:1") == [2]
    assert cursor.lagging
    for room in (1, 5, 70, 3):
        sink.room = room
        cursor.catch_up()
    assert sink.offsets("team:1") == list(range(2, 2 + 80))
    sink.room = None
    cursor.catch_up()
    assert sink.offsets("team:1") == list(range(2, 202))
    assert not cursor.lagging


def test_a_new_record_does_not_overtake_those_that_wait() -> None:
    world, sink = World(BEGINNING), FakeSink(room=0)
    cursor = world.listener(sink)
    world.append(*tasks(2))
    sink.room = None
    world.append(record("task.updated", 20, taskId=1, creatorId=ME, title="new"))
    assert not sink.entries
    cursor.catch_up()
    assert sink.offsets("team:1") == [2, 3, 4]


def test_a_socket_that_the_ring_went_past_is_told_so_and_gets_nothing_with_a_hole() -> None:
    world, sink = World(BEGINNING, ring_bytes=4000), FakeSink(room=0)
    cursor = world.listener(sink)
    world.append(*tasks(40))
    sink.room = None
    cursor.catch_up()
    assert (sink.behind, sink.entries, sink.told) == (1, [], [])


def test_a_client_that_takes_snapshots_gets_one_in_place_of_what_the_ring_dropped() -> None:
    world, sink = World(BEGINNING, ring_bytes=4000), FakeSink(room=0, rich=True)
    cursor = world.listener(sink)
    world.append(*tasks(40))
    sink.room = None
    cursor.catch_up()
    world.append(*tasks(1))
    assert sink.told == ["gap team:1 overflow", "snapshot team:1@41", "event team:1@42"]


def test_nothing_comes_between_a_gap_and_its_snapshot() -> None:
    world, sink = World(BEGINNING, ring_bytes=4000), FakeSink(room=0, rich=True)
    cursor = world.listener(sink)
    world.append(*tasks(40))
    cursor._overflow()  # the gap is told, and fills the socket
    world.append(*tasks(2))
    sink.room = None
    cursor.catch_up()
    assert sink.told == ["gap team:1 overflow", "snapshot team:1@43"]


def test_who_was_removed_before_their_snapshot_was_taken_gets_none() -> None:
    world, sink = World(BEGINNING), FakeSink(room=0, rich=True)
    cursor = Cursor(world.feed, listener_of(OTHER, sink), world.feed.head, snapshot_after=0)
    world.feed.place(cursor)
    world.append(record("team.member_removed", 20, userId=OTHER), *tasks(2))
    sink.room = None
    cursor.catch_up()
    assert not [told for told in sink.told if told.startswith("snapshot")], "it would show what came after the removal"
    assert sink.told[-1] == "left 1 removed"


def test_what_changed_more_than_it_tells_is_followed_by_a_snapshot_where_one_is_taken() -> None:
    world, rich, plain = World([record("team.created", 5, ownerId=ME), BEGINNING[1]]), FakeSink(rich=True), FakeSink()
    world.listener(rich)
    world.listener(plain)
    world.append(record("team.deleted", 3), *tasks(1))
    assert rich.told == ["event team:1@2", "gap team:1 reset", "snapshot team:1@2", "event team:1@3"]
    assert plain.told == ["event team:1@2", "event team:1@3"]


def test_a_snapshot_is_encoded_once_for_all_who_ask_before_it_changes() -> None:
    world = World(BEGINNING)
    assert world.feed.snapshot() is world.feed.snapshot()
    before = world.feed.snapshot()
    world.append(*tasks(1))
    assert world.feed.snapshot() != before


def test_records_read_from_the_log_come_before_those_of_the_ring() -> None:
    world, sink = World(BEGINNING), FakeSink(room=1)
    older = [entry_of(one, offset) for offset, one in enumerate(tasks(2), -2)]
    world.feed.settle(older)
    cursor = Cursor(world.feed, listener_of(ME, sink), -1, older)
    world.feed.settle(world.log.held.after("team:1", -1) or [])
    world.feed.place(cursor)
    sink.room = None
    cursor.catch_up()
    assert sink.offsets("team:1") == [-2, -1, 0, 1]


def test_a_listener_of_a_quiet_team_is_not_behind_when_the_ring_has_moved_on() -> None:
    world, sink = World(BEGINNING, ring_bytes=4000), FakeSink()
    cursor = world.listener(sink)
    world.log.append_other(40)
    sink.room = 0  # busy for a moment, with another team's events
    world.append(*tasks(1))
    sink.room = None
    cursor.catch_up()
    assert sink.behind == 0, "nothing of this team was missed: the one record that waits is in the ring"
    assert len(sink.entries) == 1


def test_the_removal_is_the_last_event_of_the_removed() -> None:
    world, mine, others = World(BEGINNING), FakeSink(), FakeSink()
    world.listener(mine)
    world.listener(others, OTHER)
    world.append(*tasks(1), record("team.member_removed", 20, userId=OTHER), *tasks(1))
    assert others.offsets("team:1") == [2, 3]
    assert mine.offsets("team:1") == [2, 3, 4]
    assert len(world.feed.cursors) == 1


def test_a_removal_that_is_outranked_ends_nothing() -> None:
    world, sink = World(BEGINNING), FakeSink()
    world.listener(sink, OTHER)
    world.append(record("team.member_removed", 0, userId=OTHER, offset=99), *tasks(1))
    assert sink.offsets("team:1") == [2, 3]


def test_a_removal_while_lagging_is_still_the_last_and_ends_the_place_when_it_is_taken() -> None:
    world, sink = World(BEGINNING), FakeSink(room=0)
    cursor = world.listener(sink, OTHER)
    world.append(*tasks(2), record("team.member_removed", 20, userId=OTHER), *tasks(2))
    assert cursor in world.feed.cursors
    sink.room = None
    cursor.catch_up()
    assert sink.offsets("team:1") == [2, 3, 4]
    assert not world.feed.cursors
    assert not cursor.listener.cursors


def test_who_is_removed_and_comes_back_while_lagging_gets_nothing_of_the_time_between() -> None:
    world, sink = World(BEGINNING), FakeSink(room=0)
    cursor = world.listener(sink, OTHER)
    world.append(*tasks(1), record("team.member_removed", 20, userId=OTHER), *tasks(2))
    world.append(record("team.member_added", 21, userId=OTHER, role="member"))
    cursor.come_back(5)
    world.append(*tasks(1), record("team.member_removed", 22, userId=OTHER), *tasks(2))
    world.append(record("team.member_added", 23, userId=OTHER, role="member"))
    cursor.come_back(10)
    world.append(*tasks(1))
    sink.room = None
    cursor.catch_up()
    assert sink.offsets("team:1") == [2, 3, 6, 7, 8, 11, 12]
    assert cursor in world.feed.cursors


def test_what_is_no_unified_record_is_passed_over_by_those_at_the_head_and_those_behind() -> None:
    world, ahead, behind = World(BEGINNING), FakeSink(), FakeSink(room=0)
    world.listener(ahead)
    cursor = world.listener(behind)
    entry = world.log.append_unreadable()
    assert world.feed.fold(entry) is None
    world.append(*tasks(1))
    behind.room = None
    cursor.catch_up()
    assert ahead.offsets("team:1") == behind.offsets("team:1") == [3]


# --- records older than the view


def test_what_is_older_than_the_view_carries_the_state_as_it_is_now() -> None:
    world, sink = World([*BEGINNING, *tasks(3)]), FakeSink()
    world.listener(sink, after=1)
    titles = [(message["data"]["title"], message["state"]["title"]) for message in sink.messages()]
    assert titles == [("0", "2"), ("1", "2"), ("2", "2")]


def test_what_a_view_has_settled_keeps_what_it_said() -> None:
    world, early, late = World(BEGINNING), FakeSink(), FakeSink()
    world.listener(early)
    world.append(*tasks(2))
    world.listener(late, after=1)
    assert late.messages() == early.messages()
    assert all("state" not in message for message in early.messages()[1:])


def test_what_is_no_unified_record_and_older_than_the_view_is_passed_over() -> None:
    log = Log()
    for one in BEGINNING:
        log.append(one)
    log.append_unreadable()
    log.append(tasks(1)[0])
    feed = feed_of(log.held, Seed(3, rows_of(log.before(4), "team:1")))
    feed.settle(log.held.after("team:1", 1) or [])
    sink = FakeSink()
    feed.place(Cursor(feed, listener_of(ME, sink), 1))
    assert sink.offsets("team:1") == [3]


_plain_events = histories().map(
    lambda history: [one for one in history if one.event.key == "team:1" and one.event.type not in ("team.created", "team.deleted")]
)


@given(_plain_events, st.integers(0, 8), st.integers(0, 8))
def test_a_client_that_reads_settled_and_live_events_in_order_ends_with_the_servers_state(
    history: list[Record], before: int, settled: int
) -> None:
    begun = [*BEGINNING, *history[:before]]
    world = World([*begun, *history[before : before + settled]])
    client, then = Client(), World(begun).feed.view
    client.snapshot(then.team(), then.members(), then.tasks())
    sink = FakeSink()
    cursor = Cursor(world.feed, listener_of(ME, sink), len(begun) - 1)
    world.feed.settle(world.log.held.after("team:1", cursor.position) or [])
    world.feed.place(cursor)
    world.append(*history[before + settled :])
    for message in sink.messages():
        client.take(message)
    if world.feed.view.role(ME):
        assert client.holds() == (world.feed.view.team(), world.feed.view.members(), world.feed.view.tasks())


def test_what_is_read_together_leaves_together() -> None:
    world, plain, rich = World(BEGINNING), FakeSink(), FakeSink(rich=True)
    cursor, _other = world.listener(plain), world.listener(rich)
    world.append(*tasks(20), together=True)
    for sink in (plain, rich):
        assert (sink.offsets("team:1"), sink.writes) == (list(range(2, 22)), 1)
    assert (cursor.position, cursor.delivered, cursor.lagging) == (21, 21, False)


def test_until_it_is_written_nothing_says_that_it_was_delivered() -> None:
    world, sink = World(BEGINNING), FakeSink()
    cursor = world.listener(sink)
    entries = [world.log.append(one) for one in tasks(3)]
    for entry in entries:
        change = world.feed.fold(entry)
        assert change is not None
        world.feed.deliver(entry, change)
    assert (world.feed.has_unsent, cursor.delivered, world.feed.head, sink.entries) == (True, 1, 4, [])
    world.feed.flush()
    assert (world.feed.has_unsent, cursor.delivered) == (False, 4)


def test_a_removal_is_delivered_behind_what_came_before_it_and_nothing_after() -> None:
    world, leaves, stays = World(BEGINNING), FakeSink(rich=True), FakeSink(rich=True)
    world.append(record("team.member_added", 2, userId=3, role="member"))
    world.listener(leaves, 3)
    world.listener(stays)
    begin = len(world.log.records)
    world.append(*tasks(2), record("team.member_removed", 30, userId=3), *tasks(2), together=True)
    assert leaves.told == [f"event team:1@{begin}", f"event team:1@{begin + 1}", f"event team:1@{begin + 2}", "left 1 removed"]
    assert stays.offsets("team:1") == list(range(begin, begin + 5))


def test_a_run_ends_when_it_is_as_large_as_what_a_socket_may_hold() -> None:
    world, sink = World(BEGINNING), FakeSink()
    world.listener(sink)
    large = "x" * (RUN_BYTES // 4)
    events = [record("task.updated", 10 + n, offset=n, taskId=1, creatorId=ME, description=large) for n in range(12)]
    world.append(*events, together=True)
    assert (sink.writes, sink.offsets("team:1")) == (3, list(range(2, 14)))


def test_a_socket_that_takes_no_more_leaves_the_whole_run_in_the_ring() -> None:
    world, sink = World(BEGINNING), FakeSink(room=0)
    cursor = world.listener(sink)
    world.append(*tasks(5), together=True)
    assert (sink.entries, cursor.lagging, cursor.position, cursor.delivered) == ([], True, 1, 1)
    sink.room = None
    cursor.catch_up()
    assert sink.offsets("team:1") == [2, 3, 4, 5, 6]


def test_a_sink_of_its_own_kind_gets_event_by_event() -> None:
    world, sink = World(BEGINNING), FakeSink()
    sink.takes_runs = False
    cursor = world.listener(sink)
    world.append(*tasks(4), together=True)
    assert (sink.offsets("team:1"), sink.writes, cursor.lagging) == ([2, 3, 4, 5], 4, False)


async def test_a_large_team_gets_a_run_as_one_a_pass_in_a_turn_and_what_came_meanwhile_with_it() -> None:
    world, sinks = World(BEGINNING), [FakeSink() for _ in range(AT_ONCE + 10)]
    for sink in sinks:
        world.listener(sink)
    world.append(*tasks(5), together=True)
    await turns(1)
    assert [len(sink.entries) for sink in (sinks[0], sinks[PASS - 1], sinks[PASS], sinks[-1])] == [5, 5, 0, 0]
    world.append(*tasks(3), together=True)
    await turns(40)
    assert all(sink.offsets("team:1") == list(range(2, 10)) for sink in sinks)
    assert {sink.writes for sink in sinks[:PASS]} == {2}
    assert {sink.writes for sink in sinks[PASS:]} == {1}


async def test_two_large_teams_take_turns() -> None:
    rounds, worlds = Rounds(lambda: 0.0), [World(BEGINNING) for _ in range(2)]
    sinks = [[FakeSink() for _ in range(AT_ONCE + 1)] for _ in worlds]
    for world, of_it in zip(worlds, sinks, strict=True):
        world.feed._rounds = rounds
        for sink in of_it:
            world.listener(sink)
        world.append(*tasks(1), together=True)
    reached: list[tuple[int, ...]] = []
    while not reached or min(reached[-1]) <= AT_ONCE:
        await turns(1)
        reached.append(tuple(sum(bool(sink.entries) for sink in of_it) for of_it in sinks))
    assert reached[:4] == [(PASS, 0), (PASS, PASS), (2 * PASS, PASS), (2 * PASS, 2 * PASS)]


async def test_the_longer_the_turns_of_the_loop_take_the_more_passes_one_makes() -> None:
    world, sinks, clock = World(BEGINNING), [FakeSink() for _ in range(AT_ONCE + 1)], iter([0.0, 0.02, 0.0215, 0.023, 0.0245, 0.03])
    world.feed._rounds = Rounds(lambda: next(clock))
    for sink in sinks:
        world.listener(sink)
    world.append(*tasks(1), together=True)
    await turns(1)
    assert sum(bool(sink.entries) for sink in sinks) == 3 * PASS


async def test_an_event_that_came_while_nobody_was_left_is_read_from_the_ring_by_who_came_back_before_it() -> None:
    world, sinks = World(BEGINNING), [FakeSink() for _ in range(AT_ONCE + 1)]
    cursors = [world.listener(sink) for sink in sinks]
    begin = world.feed.head
    world.append(*tasks(1), together=True)
    for cursor in cursors:
        world.feed.remove(cursor)
    world.append(*tasks(1), together=True)
    back = FakeSink(room=0)
    world.listener(back, after=begin)
    world.append(*tasks(1), together=True)
    back.room = None
    await turns(3)
    assert back.offsets("team:1") == [begin + 1, begin + 2, begin + 3]


async def test_what_is_more_than_an_event_goes_through_a_large_team_in_its_place() -> None:
    world, sinks = World(BEGINNING), [FakeSink() for _ in range(AT_ONCE + 10)]
    leaver = FakeSink()
    for sink in sinks:
        world.listener(sink)
    world.listener(leaver, user=OTHER)
    world.append(*tasks(2), together=True)
    world.append(record("team.member_removed", 50, userId=OTHER), together=True)
    world.append(*tasks(2), together=True)
    await turns(40)
    assert all(sink.offsets("team:1") == [2, 3, 4, 5, 6] for sink in sinks)
    assert leaver.offsets("team:1") == [2, 3, 4]


async def test_who_leaves_while_a_round_is_under_way_gets_nothing_more() -> None:
    world, sinks = World(BEGINNING), [FakeSink() for _ in range(AT_ONCE + 10)]
    cursors = [world.listener(sink) for sink in sinks]
    world.append(*tasks(1), together=True)
    for cursor in cursors[PASS // 2 :]:
        world.feed.remove(cursor)
    await turns(40)
    assert sum(bool(sink.entries) for sink in sinks) == PASS // 2


async def test_a_socket_that_takes_nothing_finds_what_the_round_no_longer_holds_in_the_ring() -> None:
    world, sinks = World(BEGINNING), [FakeSink() for _ in range(AT_ONCE)]
    slow = FakeSink(room=0)
    for sink in sinks:
        world.listener(sink)
    cursor = world.listener(slow)
    for _ in range(20):
        world.append(*(record("task.updated", 50, taskId=1, creatorId=1, title="x" * 9000) for _ in range(2)), together=True)
    await turns(40)
    slow.room = None
    world.append(*tasks(1), together=True)
    cursor.catch_up()
    await turns(40)
    assert all(sink.offsets("team:1") == sinks[0].offsets("team:1") for sink in [*sinks, slow])
    assert len(slow.entries) == 41


def test_deliveries_are_counted_by_socket_and_event() -> None:
    before = metrics.REGISTRY.get_sample_value("teamcast_deliveries_total") or 0.0
    seconds = metrics.REGISTRY.get_sample_value("teamcast_delivery_seconds_count") or 0.0
    world = World(BEGINNING)
    for _ in range(3):
        world.listener(FakeSink())
    world.append(*tasks(4), together=True)
    assert metrics.REGISTRY.get_sample_value("teamcast_deliveries_total") == before + 12
    assert metrics.REGISTRY.get_sample_value("teamcast_delivery_seconds_count") == seconds + 12
