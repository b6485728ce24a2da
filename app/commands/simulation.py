"""What the simulator does, as a pure sequence of events: the same for the same seed and clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

from app.commands import words
from app.commands.bad_records import bad_record
from app.producing import fields
from app.producing.values import ABSENT, Stamps, value_of

FIRST_TEAM = 101
FEWEST_OPEN, MOST_OPEN = 6, 25
"""Open tasks of a team: fewer look dead, more cannot be taken in at a glance."""
MOST_DONE = 8
SLOTS = MOST_OPEN + MOST_DONE + 3
"""Tasks of a team at one time; one that is deleted leaves its id to a later one. So what a team shows stays bounded however often the
simulator is started, and it needs no memory of its last run."""
TASKS_PER_TEAM = 1000
"""Ids of the tasks of team 101 are 101001 and up: they can be told by sight."""
FEWEST_MEMBERS, MOST_MEMBERS = 3, 8


class Planned(NamedTuple):
    """A record to be written: an event's value, or bytes that are none."""

    topic: str
    value: dict[str, Any] | bytes | None


@dataclass(slots=True, frozen=True)
class Scenario:
    """How much goes on.

    Attributes:
        skew: exponent of Zipf's law: the team of rank r has a weight of r to the power of -skew; 0 makes all alike.
        bad_share: part of the records that are no events, 0 to 1.
    """

    teams: int = 4
    users: int = 12
    skew: float = 1.0
    bad_share: float = 0.0


@dataclass(slots=True)
class _Team:
    team_id: int
    owner: int
    members: list[int]
    away: list[int] = field(default_factory=list)
    open: list[int] = field(default_factory=list)
    done: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)


class Simulation:
    """A few teams at work."""

    def __init__(self, scenario: Scenario, seed: int | str, clock: Callable[[], datetime]) -> None:
        """Choose who is in which team; ``clock`` gives aware moments."""
        self._scenario = scenario
        self._rng = random.Random(seed)  # noqa: S311  (a play, no secret)  # nosec B311
        self._clock = clock
        self._stamps = Stamps()
        self._teams = [self._found(number) for number in range(scenario.teams)]
        self._weights = list(accumulate((rank + 1) ** -scenario.skew for rank in range(scenario.teams)))
        # What happens in a team, how often, and whether it can at the moment.
        self._acts: tuple[tuple[Callable[[_Team], Planned], Callable[[_Team], float]], ...] = (
            (self._create, lambda team: 40 * (MOST_OPEN - len(team.open)) / MOST_OPEN if team.free else 0),
            (self._update, lambda team: 40 if team.open else 0),
            (self._complete, lambda team: 1.5 * (len(team.open) - FEWEST_OPEN)),
            (self._reopen, lambda team: 3 if team.done and len(team.open) < MOST_OPEN else 0),
            (self._delete_done, lambda team: 5 * len(team.done)),
            (self._delete_open, lambda team: 3 if len(team.open) > FEWEST_OPEN else 0),
            (self._change_role, lambda team: 1.5 if len(team.members) > 1 else 0),
            (self._leave, lambda team: 1 if len(team.members) > FEWEST_MEMBERS else 0),
            (self._come_back, lambda team: 2 if team.away else 0),
            (self._describe_team, lambda team: 0.5),
        )

    def set_up(self) -> Iterator[Planned]:
        """Users, teams, members and some tasks: what must be there first. To be sent in any order, and again at every start.

        The ids of these events are always the same, so that nobody is mailed twice about them.
        """
        for number in range(self._scenario.users):
            name = words.user_name(number)
            payload = {"username": name, "email": words.email_of(name)}
            yield self._event("user.created", {"userId": number + 1}, payload, f"sim-user-{number + 1}")
        for number, team in enumerate(self._teams):
            members = fields.team(team.team_id, team.owner, team.owner)
            payload = {"name": words.team_name(number), "description": words.team_purpose(number)}
            yield self._event("team.created", members, payload, f"sim-team-{team.team_id}")
            for user in team.members:
                role = "owner" if user == team.owner else self._rng.choice(words.ROLES)
                member = fields.member(team.team_id, user, team.owner, role)
                yield self._event("team.member_added", member, {}, f"sim-member-{team.team_id}-{user}")
            for _ in range(self._rng.randint(FEWEST_OPEN + 2, 12)):
                yield self._create(team)
            # An earlier run may have left tasks in the other places.
            for task in team.free:
                yield self._event("task.deleted", fields.task(task, team.team_id, team.owner, None), {})

    def __iter__(self) -> Iterator[Planned]:
        """What goes on after the set-up, without end."""
        while True:
            yield self._next()

    def _next(self) -> Planned:
        if self._rng.random() < self._scenario.bad_share:
            return Planned(*bad_record(self._rng))
        [team] = self._rng.choices(self._teams, cum_weights=self._weights)
        [(act, _)] = self._rng.choices(self._acts, [max(0.0, weight(team)) for _, weight in self._acts])
        return act(team)

    def _found(self, number: int) -> _Team:
        team_id = FIRST_TEAM + number
        everyone = range(1, self._scenario.users + 1)
        most = min(MOST_MEMBERS, len(everyone))
        members = self._rng.sample(everyone, self._rng.randint(min(FEWEST_MEMBERS + 1, most), most))
        # User 1 is the one whom a visitor looks at first, and so has something to see.
        if number < 3 and 1 not in members:
            members[-1] = 1
        tasks = [team_id * TASKS_PER_TEAM + slot for slot in range(1, SLOTS + 1)]
        return _Team(team_id, members[0], members, free=tasks)

    def _event(self, topic: str, members: Mapping[str, object], payload: Mapping[str, object], event_id: str | None = None) -> Planned:
        return Planned(topic, value_of(topic, members, payload, timestamp=self._stamps.next(self._clock()), event_id=event_id))

    def _task_event(self, topic: str, team: _Team, task: int, payload: Mapping[str, object], assignee: Any = ABSENT) -> Planned:
        return self._event(topic, fields.task(task, team.team_id, self._rng.choice(team.members), None, assignee), payload)

    def _due(self) -> str | None:
        if self._rng.random() < 0.2:
            return None
        return (self._clock() + timedelta(days=self._rng.randint(0, 20))).date().isoformat()

    def _assignee(self, team: _Team) -> int | None:
        return None if self._rng.random() < 0.2 else self._rng.choice(team.members)

    def _create(self, team: _Team) -> Planned:
        task = team.free.pop(0)
        team.open.append(task)
        creator = self._rng.choice(team.members)
        # Every field: another task may have had this id.
        payload = fields.task_payload(words.title(self._rng), words.note(self._rng), False, self._rng.choice(words.PRIORITIES), self._due())
        return self._event("task.created", fields.task(task, team.team_id, creator, creator, self._assignee(team)), payload)

    def _update(self, team: _Team) -> Planned:
        task = self._rng.choice(team.open)
        change = self._rng.randrange(5)
        if change == 0:
            return self._task_event("task.updated", team, task, {}, self._assignee(team))
        payload: tuple[str, object] = (
            ("title", words.title(self._rng)),
            ("priority", self._rng.choice(words.PRIORITIES)),
            ("due", self._due()),
            ("description", words.note(self._rng)),
        )[change - 1]
        return self._task_event("task.updated", team, task, dict([payload]))

    def _complete(self, team: _Team) -> Planned:
        task = _take(team.open, self._rng)
        team.done.append(task)
        return self._task_event("task.completed", team, task, {"completed": True})

    def _reopen(self, team: _Team) -> Planned:
        task = _take(team.done, self._rng)
        team.open.append(task)
        return self._task_event("task.completed", team, task, {"completed": False})

    def _delete_done(self, team: _Team) -> Planned:
        task = team.done.pop(0)
        team.free.append(task)
        return self._task_event("task.deleted", team, task, {})

    def _delete_open(self, team: _Team) -> Planned:
        task = _take(team.open, self._rng)
        team.free.append(task)
        return self._task_event("task.deleted", team, task, {})

    def _change_role(self, team: _Team) -> Planned:
        user = self._rng.choice([member for member in team.members if member != team.owner])
        member = fields.member(team.team_id, user, team.owner, self._rng.choice(words.ROLES))
        return self._event("team.member_role_updated", member, {})

    def _leave(self, team: _Team) -> Planned:
        user = self._rng.choice([member for member in team.members if member != team.owner])
        team.members.remove(user)
        team.away.append(user)
        return self._event("team.member_removed", fields.member(team.team_id, user, team.owner, None), {})

    def _come_back(self, team: _Team) -> Planned:
        user = team.away.pop(0)
        team.members.append(user)
        return self._event("team.member_added", fields.member(team.team_id, user, team.owner, self._rng.choice(words.ROLES)), {})

    def _describe_team(self, team: _Team) -> Planned:
        purpose = words.team_purpose(self._rng.randrange(100))
        return self._event("team.updated", fields.team(team.team_id, team.owner, None), {"description": purpose})


def _take(tasks: list[int], rng: random.Random) -> int:
    return tasks.pop(rng.randrange(len(tasks)))
