"""The simulator's plan: valid, lively, bounded, and the same for the same seed."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice

import orjson
import pytest

from app.commands import words
from app.commands.bad_records import _BAD, bad_record
from app.commands.simulation import FEWEST_OPEN, MOST_OPEN, SLOTS, Planned, Scenario, Simulation
from app.domain.decode import faults
from app.domain.topics import SOURCE_TOPICS

BEGIN = datetime(2026, 11, 23, 10, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = BEGIN

    def __call__(self) -> datetime:
        self.now += timedelta(milliseconds=200)
        return self.now


def played(count: int, scenario: Scenario | None = None, seed: int = 1) -> list[Planned]:
    """The set-up, and the first events after it."""
    simulation = Simulation(scenario or Scenario(), seed, Clock())
    return [*simulation.set_up(), *islice(simulation, count)]


def bodies(planned: list[Planned]) -> list[tuple[str, dict[str, object]]]:
    return [(p.topic, p.value) for p in planned if isinstance(p.value, dict)]


def test_every_event_is_valid() -> None:
    for planned in played(3000):
        assert faults(planned.topic, orjson.dumps(planned.value)) == [], planned


def test_the_same_seed_plays_the_same() -> None:
    assert played(500) == played(500)


def test_another_seed_plays_another_game() -> None:
    assert played(500, seed=1) != played(500, seed=2)


def test_everything_that_can_happen_happens() -> None:
    topics = {planned.topic for planned in played(3000)}
    assert topics == set(SOURCE_TOPICS) - {"team.deleted"}


def test_each_team_stays_busy_and_readable() -> None:
    scenario = Scenario(teams=2, skew=0)
    simulation = Simulation(scenario, 3, Clock())
    open_tasks: dict[object, set[object]] = {101: set(), 102: set()}
    done: dict[object, set[object]] = {101: set(), 102: set()}
    for planned in [*simulation.set_up(), *islice(simulation, 5000)]:
        value = planned.value
        if not isinstance(value, dict) or not planned.topic.startswith("task."):
            continue
        team, task = value["teamId"], value["taskId"]
        if planned.topic == "task.completed":
            (done if value["payload"]["completed"] else open_tasks)[team].add(task)
            (open_tasks if value["payload"]["completed"] else done)[team].discard(task)
        elif planned.topic == "task.created":
            open_tasks[team].add(task)
        elif planned.topic == "task.deleted":
            open_tasks[team].discard(task)
            done[team].discard(task)
        assert len(open_tasks[team]) <= MOST_OPEN
        assert len(open_tasks[team] | done[team]) <= SLOTS
    assert all(len(tasks) >= FEWEST_OPEN for tasks in open_tasks.values())


def test_a_task_is_only_spoken_of_while_it_exists() -> None:
    alive: set[object] = set()
    simulation = Simulation(Scenario(), 5, Clock())
    for planned in simulation.set_up():
        if planned.topic == "task.created" and isinstance(planned.value, dict):
            alive.add(planned.value["taskId"])
    for topic, value in bodies(list(islice(simulation, 3000))):
        if topic == "task.created":
            assert value["taskId"] not in alive
            alive.add(value["taskId"])
        elif topic.startswith("task."):
            assert value["taskId"] in alive
            if topic == "task.deleted":
                alive.remove(value["taskId"])


def test_only_members_act_and_the_owner_never_leaves() -> None:
    members: dict[object, set[object]] = {}
    owners: dict[object, object] = {}
    for topic, value in bodies(played(5000)):
        team = value.get("teamId")
        if topic == "team.created":
            owners[team] = value["ownerId"]
            members[team] = {value["ownerId"]}
        elif topic == "team.member_added":
            members[team].add(value["userId"])
        elif topic == "team.member_removed":
            assert value["userId"] != owners[team]
            members[team].remove(value["userId"])
        elif topic.startswith("task."):
            assert value["actorId"] in members[team]


def test_a_new_start_clears_the_tasks_of_the_last_one() -> None:
    simulation = Simulation(Scenario(teams=1), 1, Clock())
    set_up = bodies(list(simulation.set_up()))
    named = {value["taskId"] for topic, value in set_up if topic.startswith("task.")}
    later = {value["taskId"] for topic, value in bodies(list(islice(simulation, 3000))) if topic.startswith("task.")}
    assert later <= named
    assert len(named) == SLOTS


def test_users_teams_and_members_keep_their_event_ids_from_start_to_start() -> None:
    def own_ids(seed: int) -> set[object]:
        return {value.get("eventId") for topic, value in bodies(played(0, seed=seed)) if topic in ("user.created", "team.created")}

    assert own_ids(1) == own_ids(2)
    assert None not in own_ids(1)


def test_times_go_up_even_when_the_clock_stands() -> None:
    simulation = Simulation(Scenario(), 1, lambda: BEGIN)
    times = [str(value["timestamp"]) for _, value in bodies([*simulation.set_up(), *islice(simulation, 500)])]
    assert times == sorted(set(times))


def test_skew_makes_the_first_team_hot() -> None:
    def share(skew: float) -> float:
        teams = Counter(value.get("teamId") for _, value in bodies(played(4000, Scenario(teams=10, skew=skew)))[-4000:])
        return teams[101] / 4000

    assert share(0) == pytest.approx(0.1, abs=0.03)
    assert share(1) == pytest.approx(1 / sum(1 / rank for rank in range(1, 11)), abs=0.04)  # Zipf: 0.34


def test_the_bad_share_is_bad() -> None:
    planned = played(2000, Scenario(bad_share=0.25))[-2000:]
    bad = [p for p in planned if not isinstance(p.value, dict)]
    assert len(bad) / 2000 == pytest.approx(0.25, abs=0.04)


def test_each_bad_record_is_bad() -> None:
    rng = random.Random(1)
    seen = {bad_record(rng) for _ in range(3000)}
    assert {value for _, value in seen} == set(_BAD)
    for topic, value in seen:
        assert faults(topic, value), (topic, value)


@pytest.mark.parametrize("scenario", [Scenario(teams=1, users=1), Scenario(teams=50, users=3), Scenario(teams=3, users=2000)])
def test_any_size_plays(scenario: Scenario) -> None:
    assert len(played(500, scenario)) > 500


def test_no_two_users_share_a_name_or_an_address() -> None:
    names = [words.user_name(number) for number in range(2000)]
    assert len(set(names)) == 2000
    assert len({words.email_of(name) for name in names}) == 2000
    assert len({words.team_name(number) for number in range(200)}) == 200
