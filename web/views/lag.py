"""GET /api/lag, /api/connections, /api/cluster: the group and its workers, as one."""

from __future__ import annotations

from collections import Counter
from time import time
from typing import Any

from aiohttp import web

from app.kafka.lag import GroupLag
from web.views.base import View, answer

TEAMS_MAX = 1000
"""Teams that an answer lists."""


def whole(body: dict[str, Any], unreachable: list[str]) -> web.Response:
    """An answer of all workers; those that are missing from it are named."""
    return answer(body | ({"unreachable": sorted(set(unreachable))} if unreachable else {}))


def as_json(group: GroupLag, now: float) -> dict[str, Any]:
    """A group as the API tells it."""
    partitions = [
        {
            "topic": one.topic,
            "partition": one.partition,
            "committed": one.committed,
            "end": one.end,
            "lag": one.lag,
            "seconds": one.seconds(now),
        }
        for one in group.partitions
    ]
    return {"group": group.group, "members": group.members, "partitions": partitions}


class Lag(View):
    """How far the consumer groups are behind, and the busy teams."""

    path = "/api/lag"

    async def get(self, request: web.Request) -> web.Response:
        """Partitions as the brokers know them now, and teams as their owners do, those that are longest behind first."""
        await self.admin(request)
        context = self.context
        lag = await context.measures.lag()
        found, unreachable = await context.peers.ask_all(context.peers.others(), "/internal/lag")
        teams: dict[int, dict[str, Any]] = {}
        for one in (await context.measures.progress(), *found.values()):
            # Two may tell of a team whose partition moves; that of the one who has folded further counts.
            teams |= {team["teamId"]: team for team in one if team["position"] >= teams.get(team["teamId"], team)["position"]}
        slowest = sorted(teams.values(), key=lambda team: (-team["ageSeconds"], team["teamId"]))[:TEAMS_MAX]
        for team in slowest:
            team["position"] = team["position"] or None
        now = time()
        return whole({"groups": [as_json(group, now) for group in lag.groups], "teams": slowest}, unreachable)


class Connections(View):
    """Open sockets."""

    path = "/api/connections"

    async def get(self, request: web.Request) -> web.Response:
        """By worker, and by team, those with most first; a socket that gets several teams counts for each."""
        await self.admin(request)
        context = self.context
        count, here = context.measures.connections()
        found, unreachable = await context.peers.ask_all(context.peers.everyone(), "/internal/connections")
        teams = Counter(here)
        workers = [{"worker": context.settings.url, "connections": count}]
        for url, one in found.items():
            workers.append({"worker": url, "connections": one["connections"]})
            teams.update({int(team_id): number for team_id, number in one["teams"].items()})
        workers.sort(key=lambda worker: str(worker["worker"]))
        most = sorted(teams.items(), key=lambda team: (-team[1], team[0]))[:TEAMS_MAX]
        return whole({"workers": workers, "teams": [{"teamId": team_id, "connections": number} for team_id, number in most]}, unreachable)


class Cluster(View):
    """The workers."""

    path = "/api/cluster"

    async def get(self, request: web.Request) -> web.Response:
        """Each as it tells itself now, or as it told last when it does not answer."""
        await self.admin(request)
        context = self.context
        said = context.cluster.workers()
        found, unreachable = await context.peers.ask_all(context.peers.everyone(), "/internal/cluster")
        workers = {
            url: {"url": url, "version": one.version, "partitions": sorted(one.partitions), "standbys": sorted(one.standbys)}
            for url, one in said.items()
        }
        workers |= found | {context.settings.url: self.context.measures.worker()}
        return whole({"workers": [workers[url] for url in sorted(workers)]}, unreachable + context.cluster.silent())


VIEWS = (Lag, Connections, Cluster)
