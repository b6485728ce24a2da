"""Writes the teams and members of a run, as team services do."""

from __future__ import annotations

import asyncio

from bench.scenarios import Roster
from tests.kafka.services import Services, member, team

AT_ONCE = 500


async def introduce(brokers: str, roster: Roster) -> None:
    """Write a team.created for each team and a team.member_added for each client; return once the broker has them."""
    async with Services(brokers, linger_ms=20) as services:
        made = [
            (team("team.created", roster.team_id(index), roster.owner_id(index), name=f"Team {index}"), "team.created")
            for index in range(roster.teams)
        ]
        made += [
            (
                member(
                    "team.member_added",
                    roster.team_id(roster.team_of(client)),
                    roster.user_id(client),
                    roster.owner_id(roster.team_of(client)),
                ),
                "team.member_added",
            )
            for client in range(roster.clients)
        ]
        for first in range(0, len(made), AT_ONCE):
            await asyncio.gather(*(services.send(topic, value) for value, topic in made[first : first + AT_ONCE]))
