"""POST /api/events/{topic}: writing an event over HTTP."""

from __future__ import annotations

from time import time

from aiohttp import web

from app.domain.decode import decode, faults
from app.domain.events import Source
from app.domain.topics import SOURCE_TOPICS
from app.errors import SendFailed
from app.kafka.outgoing import Outgoing
from app.kafka.partitioner import partition_of
from web.problems import Problem, unavailable
from web.views.base import View, answer, json_body

PRODUCE_SECONDS = 10.0
"""How long a request waits for the log. A record whose request gave up may be written all the same."""


LOG_APPEND_TIME = 1
"""A record's timestamp type, as Kafka numbers them."""


class Events(View):
    """Takes one event and answers once every in-sync replica has it."""

    path = "/api/events/{topic}"

    async def post(self, request: web.Request, topic: str) -> web.Response:
        """202 with where the event stands, and the id that clients will see."""
        if not (await self.caller(request)).produce:
            raise Problem(403, "this takes the scope produce")
        if topic not in SOURCE_TOPICS:
            raise Problem(404, f"there is no such topic; there are {', '.join(SOURCE_TOPICS)}")
        body = await json_body(request)
        found = faults(topic, body)
        if found:
            errors = [{"field": fault.field, "code": fault.code.value, "message": fault.message} for fault in found]
            raise Problem(400, "the event is not valid", errors=errors)
        return await self._send(topic, body)

    async def _send(self, topic: str, body: bytes) -> web.Response:
        event = decode(body, (), Source(topic, 0, 0, 2**53)).event
        key = f"task:{event.data['taskId']}" if topic.startswith("task.") else event.key
        partition = partition_of(event.key.encode(), self.context.topics[topic])
        now = int(time() * 1000)
        try:
            [sent] = await self.context.sender.send(
                [Outgoing(topic, key.encode(), body, partition=partition, timestamp=now)], PRODUCE_SECONDS
            )
        except SendFailed:
            raise unavailable("the log does not take the event now") from None
        if sent.offset < 0:  # the brokers had it already, from a try whose answer was lost, and do not say where
            raise unavailable("the event is in the log, but its place is not known; to be sure, send it again with an eventId")
        # aiokafka tells the time of the first record of a batch, where the time is not the broker's.
        timestamp = sent.timestamp if sent.timestamp_type == LOG_APPEND_TIME else now
        event_id = decode(body, (), Source(topic, sent.partition, sent.offset, timestamp)).event.event_id
        return answer({"topic": topic, "partition": sent.partition, "offset": sent.offset, "eventId": event_id}, 202)


VIEWS = (Events,)
