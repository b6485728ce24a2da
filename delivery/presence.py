"""Presence: who of a team is online, told to those who watch. Pure: who comes and goes in, messages out; the caller passes the time."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

MAX_ONLINE = 1_000
"""With more online than this, only their number is told."""
INTERVAL_SECONDS = 1.0
"""A team is told of at most so often."""


@dataclass(slots=True, frozen=True)
class Online:
    """Everyone of a team who is online, sorted; takes the place of all that was told before."""

    team_id: int
    users: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Changed:
    """Who came online and who went since the message before, each sorted."""

    team_id: int
    joined: tuple[int, ...]
    left: tuple[int, ...]


@dataclass(slots=True, frozen=True)
class Count:
    """How many of a team are online, when they are many."""

    team_id: int
    number: int


Message = Online | Changed | Count
W = TypeVar("W", bound=Hashable)


class _Team(Generic[W]):
    """A team that somebody watches."""

    __slots__ = ("begun", "came", "due", "fresh", "listed", "members", "number", "online", "team_id", "told", "went")

    def __init__(self, team_id: int) -> None:
        self.team_id = team_id
        self.begun = 0
        """How often it was begun anew, for the first watcher."""
        self.members: set[int] = set()
        self.online: set[int] = set()
        self.came: set[int] = set()
        self.went: set[int] = set()
        self.fresh: dict[W, int] = {}
        """Watchers that get the whole next, and their users."""
        self.told: dict[W, int] = {}
        """Watchers that know what was told last, and their users."""
        self.listed = True
        """Whether what was told last was a list, or led on from one."""
        self.number = 0
        """How many were online then."""
        self.due = 0.0

    def come(self, user_id: int) -> None:
        self.online.add(user_id)
        if user_id in self.went:
            self.went.remove(user_id)
        else:
            self.came.add(user_id)

    def go(self, user_id: int) -> None:
        self.online.remove(user_id)
        if user_id in self.came:
            self.came.remove(user_id)
        else:
            self.went.add(user_id)

    def whole(self) -> Message:
        if len(self.online) > MAX_ONLINE:
            return Count(self.team_id, len(self.online))
        return Online(self.team_id, tuple(sorted(self.online)))

    def change(self) -> Message | None:
        """What leads from what was told last to what is true now, which from here on is what was told."""
        came, went, listed, number = self.came, self.went, self.listed, self.number
        self.came, self.went = set(), set()
        self.number = len(self.online)
        self.listed = self.number <= MAX_ONLINE
        if listed and self.listed:
            return Changed(self.team_id, tuple(sorted(came)), tuple(sorted(went))) if came or went else None
        return self.whole() if listed or self.listed or number != self.number else None


class Presence(Generic[W]):
    """Everyone who is online, and the teams that somebody here watches.

    A watcher is whatever can be told something: one subscription of one connection.
    """

    def __init__(self) -> None:
        self._here: set[int] = set()
        self._elsewhere: set[int] = set()
        self._teams: dict[int, _Team[W]] = {}
        self._teams_of: dict[int, set[int]] = {}
        """Watched teams by member."""
        self._unsaid: dict[int, None] = {}
        """Teams of which something is to be told, or that nobody watches any more."""

    # --- who is online

    def here(self, user_id: int, online: bool) -> None:
        """A user is online on this worker, or not any more."""
        self._say(user_id, self._here, self._elsewhere, online)

    def elsewhere(self, user_id: int, online: bool) -> None:
        """A user is online on other workers, or not any more."""
        self._say(user_id, self._elsewhere, self._here, online)

    def _say(self, user_id: int, said: set[int], other: set[int], online: bool) -> None:
        if online == (user_id in said):
            return
        if online:
            said.add(user_id)
        else:
            said.remove(user_id)
        if user_id in other:
            return
        for team_id in self._teams_of.get(user_id, ()):
            team = self._teams[team_id]
            if online:
                team.come(user_id)
            else:
                team.go(user_id)
            self._unsaid[team_id] = None

    def is_online(self, user_id: int) -> bool:
        """Whether a user has a connection anywhere."""
        return user_id in self._here or user_id in self._elsewhere

    # --- who is a member

    def member_joined(self, team_id: int, user_id: int) -> None:
        """A user is a member of a team from now on."""
        team = self._teams.get(team_id)
        if team is not None and user_id not in team.members:
            self._add(team, user_id)
            if self.is_online(user_id):
                team.come(user_id)
                self._unsaid[team_id] = None

    def member_left(self, team_id: int, user_id: int) -> None:
        """A user is no member of a team any more: the team sees them no more, and they see nothing more of it."""
        team = self._teams.get(team_id)
        if team is None or user_id not in team.members:
            return
        for watchers in (team.fresh, team.told):
            for watcher in [one for one, watching in watchers.items() if watching == user_id]:
                del watchers[watcher]
        self._remove(team, user_id)
        if user_id in team.online:
            team.go(user_id)
        self._unsaid[team_id] = None

    def _add(self, team: _Team[W], user_id: int) -> None:
        team.members.add(user_id)
        self._teams_of.setdefault(user_id, set()).add(team.team_id)

    def _remove(self, team: _Team[W], user_id: int) -> None:
        team.members.remove(user_id)
        teams = self._teams_of[user_id]
        teams.remove(team.team_id)
        if not teams:
            del self._teams_of[user_id]

    # --- who watches

    def watch(self, team_id: int, watcher: W, user_id: int, members: Callable[[], Iterable[int]]) -> None:
        """Tell a watcher of a team from now on, beginning with the whole.

        Args:
            team_id: The team.
            watcher: Whom to tell.
            user_id: Whose watcher it is; a member.
            members: Gives the team's members; asked for the first watcher.
        """
        team = self._teams.get(team_id)
        if team is None:
            team = self._teams[team_id] = _Team(team_id)
        if not team.fresh and not team.told:
            self._begin(team, members())
        team.told.pop(watcher, None)
        team.fresh[watcher] = user_id
        self._unsaid[team_id] = None

    def _begin(self, team: _Team[W], members: Iterable[int]) -> None:
        """Know a team's members; what was known of them before may be old, since nobody watched."""
        for user_id in list(team.members):
            self._remove(team, user_id)
        for user_id in members:
            self._add(team, user_id)
        team.online = {user_id for user_id in team.members if self.is_online(user_id)}
        team.came, team.went = set(), set()
        team.begun += 1

    def unwatch(self, team_id: int, watcher: W) -> None:
        """Tell a watcher nothing more of a team."""
        team = self._teams.get(team_id)
        if team is not None:
            team.fresh.pop(watcher, None)
            team.told.pop(watcher, None)
            if not team.fresh and not team.told:
                self._unsaid[team_id] = None

    # --- telling

    def due(self, now: float, ready: Callable[[W], bool]) -> Iterator[tuple[W, Message]]:
        """What is to be told now, and to whom.

        Others may have their turn between two messages: who stops watching meanwhile gets none.

        Args:
            now: Seconds, on a clock that only goes on.
            ready: Whether a watcher takes a message now; one that does not gets the whole once it does.
        """
        for team in [team for team_id in self._unsaid if (team := self._teams[team_id]).due <= now]:
            del self._unsaid[team.team_id]
            if not team.fresh and not team.told:
                self._begin(team, ())
                del self._teams[team.team_id]
                continue
            team.due = now + INTERVAL_SECONDS
            yield from self._round(team, ready)
            if team.fresh:
                self._unsaid[team.team_id] = None

    def _round(self, team: _Team[W], ready: Callable[[W], bool]) -> Iterator[tuple[W, Message]]:
        fresh, told, begun = list(team.fresh), list(team.told), team.begun
        change = team.change()
        whole = team.whole()
        if change is not None:
            for watcher in told:
                if watcher not in team.told:
                    continue
                if ready(watcher):
                    yield watcher, change
                else:
                    team.fresh[watcher] = team.told.pop(watcher)
        for watcher in fresh:
            # Where all went and others came while somebody was told, the whole is another one by now.
            if begun == team.begun and watcher in team.fresh and ready(watcher):
                team.told[watcher] = team.fresh.pop(watcher)
                yield watcher, whole
