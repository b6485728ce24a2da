"""The scenarios of the fan-out benchmark, and who is in which team in them."""

from __future__ import annotations

from dataclasses import dataclass

SEQUENCE_DIGITS = 6


@dataclass(slots=True, frozen=True)
class Scenario:
    """How many listen, and how much is said."""

    name: str
    clients: int
    teams: int
    rate: float
    """Events a second over all teams, evenly paced; 0: a burst, as fast as it goes."""
    events: int = 0
    """Events of the burst."""
    what: str = ""

    @property
    def flood(self) -> bool:
        """Whether it is a burst, measured until everything has been delivered."""
        return not self.rate

    def total(self, seconds: float) -> int:
        """Events in so many seconds."""
        return self.events if self.flood else round(self.rate * seconds)


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("A", 1000, 20, 1000, what="1,000 clients, 20 teams, 1,000 events/s"),
        Scenario("B", 1000, 1000, 1000, what="1,000 clients, 1,000 teams, 1,000 events/s"),
        Scenario("C", 1000, 20, 0, 20_000, what="flood: 1,000 clients, 20 teams, 20,000 events"),
        Scenario("D", 100, 100, 0, 20_000, what="flood: 100 clients, 100 teams, 20,000 events"),
        Scenario("E", 5000, 100, 200, what="5,000 clients, 100 teams, 200 events/s"),
        Scenario("F", 1000, 100, 200, what="1,000 clients, 100 teams, 200 events/s"),
    )
}


@dataclass(slots=True, frozen=True)
class Roster:
    """The teams of a run: ids that no other run has. Each client is a user of its own, and in one team."""

    run: int
    """Stands in every event, so that one of another run is told apart."""
    first_team: int
    teams: int
    first_user: int
    clients: int

    def team_id(self, index: int) -> int:
        """Of the team with this index."""
        return self.first_team + index

    def team_of(self, client: int) -> int:
        """Index of a client's team."""
        return client % self.teams

    def user_id(self, client: int) -> int:
        """Of a client."""
        return self.first_user + self.teams + client

    def owner_id(self, index: int) -> int:
        """Of a team's owner, who has no client."""
        return self.first_user + index

    def listeners(self, index: int) -> int:
        """Clients of a team."""
        return len(range(index, self.clients, self.teams))
