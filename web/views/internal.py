"""/internal: what workers ask each other. 404 without the secret, as if there were nothing."""

from __future__ import annotations

from aiohttp import web

from app.errors import Unavailable
from app.kafka.partitioner import partition_of
from tables.inspect import TABLES
from tables.seed import candidates, seed
from web.identity import bearer_of, same, user_id_of
from web.peers import dump_seed
from web.problems import Problem, unavailable
from web.views.base import View, answer
from web.views.tables import own_counts, own_rows


class InternalView(View):
    """A view for workers of this cluster."""

    def peer(self, request: web.Request) -> None:
        """Let a worker pass.

        Raises:
            Problem: 404.
        """
        if not same(bearer_of(request) or "", self.teamcast.cluster_secret):
            raise Problem(404, "there is nothing here")

    @property
    def partitions(self) -> int:
        """Partitions of the unified stream."""
        return self.context.topics["team.events"]


class Seeds(InternalView):
    """The rows of one key."""

    path = "/internal/seeds/{key}"

    async def get(self, request: web.Request, key: str) -> web.Response:
        """Their offset, then a row a line."""
        self.peer(request)
        kind, _, number = key.partition(":")
        if kind not in ("team", "user") or user_id_of(number) is None:
            raise Problem(404, "there is nothing here")
        try:
            found = seed(self.context.table, key, partition_of(key.encode(), self.partitions))
        except Unavailable as error:
            raise unavailable(str(error)) from None
        return web.Response(body=dump_seed(found))


class Candidates(InternalView):
    """Teams in which a user may be a member."""

    path = "/internal/candidates/{user}"

    async def get(self, request: web.Request, user: str) -> web.Response:
        """Their ids."""
        self.peer(request)
        user_id = user_id_of(user)
        if user_id is None:
            raise Problem(404, "there is nothing here")
        return answer(await candidates(self.context.table, user_id, self.partitions, int(request.query["upto"])))


class Counts(InternalView):
    """Rows of this worker, by table."""

    path = "/internal/tables"

    async def get(self, request: web.Request) -> web.Response:
        """Their numbers, and of which partitions they are."""
        self.peer(request)
        return answer(await own_counts(self))


class Rows(InternalView):
    """Rows of this worker, of one table."""

    path = "/internal/tables/{name}"

    async def get(self, request: web.Request, name: str) -> web.Response:
        """A page, and of which partitions it is."""
        self.peer(request)
        if name not in TABLES:
            raise Problem(404, "there is nothing here")
        query = request.query
        return answer(own_rows(self, name, query["prefix"], query["after"], int(query["limit"])))


class UserConnections(InternalView):
    """A user's connections to this worker."""

    path = "/internal/connections/{user}"

    async def delete(self, request: web.Request, user: str) -> web.Response:
        """End them; how many there were."""
        self.peer(request)
        user_id = user_id_of(user)
        if user_id is None:
            raise Problem(404, "there is nothing here")
        return answer({"closed": self.context.hub.disconnect(user_id)})


class Lag(InternalView):
    """The busy teams that this worker owns."""

    path = "/internal/lag"

    async def get(self, request: web.Request) -> web.Response:
        """How far each is folded."""
        self.peer(request)
        return answer(await self.context.measures.progress())


class Flow(InternalView):
    """What this worker reads and delivers."""

    path = "/internal/flow"

    async def get(self, request: web.Request) -> web.Response:
        """Rates."""
        self.peer(request)
        return answer(self.context.measures.flow().as_json())


class Connections(InternalView):
    """Open sockets of this worker."""

    path = "/internal/connections"

    async def get(self, request: web.Request) -> web.Response:
        """How many, and by team."""
        self.peer(request)
        count, teams = self.context.measures.connections()
        return answer({"connections": count, "teams": {str(team_id): number for team_id, number in teams.items()}})


class Cluster(InternalView):
    """This worker."""

    path = "/internal/cluster"

    async def get(self, request: web.Request) -> web.Response:
        """What it is, and what it has."""
        self.peer(request)
        return answer(self.context.measures.worker())


VIEWS = (Seeds, Candidates, Counts, Rows, Lag, Flow, Connections, UserConnections, Cluster)
