"""Source topics, re-keyed by team, into a table and to the team's WebSockets: after Faust's documentation, with its own defaults.

Agents that loop over events, `topic.send`, a RocksDB table, aiohttp's `send_str`. It loses what the documentation's way loses, checks no
membership and resumes nothing.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from typing import Any

import faust
from aiohttp import WSMsgType, web

SOURCES = os.environ["PLAIN_SOURCES"].split(",")
PORT = int(os.environ["PORT"])


class App(faust.App):
    """Faust's own, with what its pages cannot be: a WebSocket."""

    def on_webserver_init(self, web_server: Any) -> None:
        """Add the routes; called twice."""
        router = web_server.web_app.router
        if not any(route.resource and route.resource.canonical == "/ws" for route in router.routes()):
            router.add_get("/ws", listen)
            router.add_get("/ready", ready)


app = App(
    os.environ["PLAIN_ID"],
    broker=f"kafka://{os.environ['KAFKA_BROKERS']}",
    store="rocksdb://",
    datadir=os.environ["DATA_DIR"],
    table_standby_replicas=0,
    topic_partitions=8,
    topic_replication_factor=1,
    broker_commit_interval=0.5,
    web_bind="127.0.0.1",
    web_host="127.0.0.1",
    web_port=PORT,
)
sources = app.topic(*SOURCES, value_serializer="json")
unified = app.topic(f"{os.environ['PLAIN_ID']}.events", key_serializer="raw", value_serializer="json")
tasks = app.Table("tasks", partitions=8, options={"driver": "rocksdict"})
sockets: defaultdict[int, set[web.WebSocketResponse]] = defaultdict(set)


@app.agent(sources)
async def route(stream: Any) -> None:
    """Send each event to its team's partition."""
    async for event in stream:
        await unified.send(key=b"team:%d" % event["teamId"], value=event)


@app.agent(unified)
async def fold(stream: Any) -> None:
    """Put each event into the table, and send it to the team's sockets."""
    async for event in stream:
        if "taskId" in event:
            key = f"{event['teamId']}/{event['taskId']}"
            tasks[key] = {**(tasks.get(key) or {}), **event["payload"]}
        text = json.dumps(event)
        for socket in list(sockets[event["teamId"]]):
            await socket.send_str(text)


async def listen(request: web.Request) -> web.WebSocketResponse:
    """GET /ws?teamId=N."""
    socket = web.WebSocketResponse(compress=False)
    await socket.prepare(request)
    listeners = sockets[int(request.query["teamId"])]
    listeners.add(socket)
    try:
        async for message in socket:
            if message.type is WSMsgType.ERROR:
                break
    finally:
        listeners.discard(socket)
    return socket


async def ready(_request: web.Request) -> web.Response:
    """GET /ready: 200 once the table is recovered and events are read."""
    return web.Response(status=200 if app.tables.actives_ready and not app.rebalancing else 503)
