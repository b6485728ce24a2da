"""Writing events from a service: ``async with Events("kafka:9092") as events: await events.task_created(...)``.

Needs aiokafka and orjson, nothing else of this project's dependencies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, Self, TypedDict, TypeVar, Unpack, cast, overload

from app.errors import SendFailed, Unavailable
from app.producing import fields
from app.producing.values import (
    ABSENT,
    Absent,
    InvalidEvent,
    Priority,
    Stamps,
    Text,
    encode_checked,
    record_key,
    routing_key,
    timestamp_text,
    value_of,
)
from app.producing.writer import Acks, Codec, Delivered, Headers, OnDelivery, Record, Writer

if TYPE_CHECKING:
    from app.settings import Settings

__all__ = ["ABSENT", "About", "Absent", "Delivered", "Events", "InvalidEvent", "Options", "SendFailed", "Unavailable"]


class About(TypedDict, total=False):
    """What every event may say besides its own fields."""

    timestamp: datetime | str | None
    """When it happened: an aware datetime or RFC 3339. Default now."""
    event_id: str | None
    """Your own id, 1 to 200 printable ASCII characters. To send an event again after ``SendFailed`` without doubling it, give this and
    ``timestamp`` both times."""
    extra: Mapping[str, object] | None
    """Further members of the payload, at most 64; clients get them in ``data``."""
    headers: Headers
    """Record headers; ``traceparent`` is passed on."""


class Options(TypedDict, total=False):
    """How events are written."""

    acks: Acks
    """``"all"`` (default): an event is delivered when every in-sync replica has it; 1: when the leader has it, which is quicker, and loses
    the event when the leader dies right then."""
    idempotent: bool | None
    """Whether what is sent again inside the client is written once. Default: with ``acks="all"``, without which Kafka lacks it."""
    linger_ms: int
    """How long a batch waits for more, milliseconds. Default 0."""
    compression: Codec | None
    """Of batches. Default none."""
    max_in_flight: int
    """Most events that are not acknowledged yet. Default 10,000."""
    timeout_seconds: float
    """Longest wait for one event, or for a flush. Default 120."""
    client_id: str
    """What the brokers' logs and quotas know this producer by. Default ``teamcast-events``."""
    on_delivery: OnDelivery | None
    """Called with each report, or with the failure."""


Report = TypeVar("Report")


class Events(Generic[Report]):
    """Writes events: checks them, routes them by team, and says where they went.

    One method an event type. A field that is not given stays as it is, ``None`` clears it. Each method raises:

    - ``InvalidEvent``: it is no valid event; nothing was sent.
    - ``SendFailed``: the broker did not acknowledge it; it may be in the log all the same.

    With ``wait=True`` a method returns once the broker has the event. With ``wait=False`` it returns a future of the report as soon as the
    event is buffered, waiting only while ``max_in_flight`` events are under way; ``flush()`` and the end of the block wait for all of
    them, and raise ``SendFailed`` when one failed.
    """

    @overload
    def __init__(
        self: Events[Delivered], brokers: str | Sequence[str] | Settings = ..., *, wait: Literal[True] = ..., **options: Unpack[Options]
    ) -> None: ...

    @overload
    def __init__(
        self: Events[asyncio.Future[Delivered]],
        brokers: str | Sequence[str] | Settings = ...,
        *,
        wait: Literal[False],
        **options: Unpack[Options],
    ) -> None: ...

    def __init__(
        self, brokers: str | Sequence[str] | Settings = "127.0.0.1:9092", *, wait: bool = True, **options: Unpack[Options]
    ) -> None:
        """Say how to write; nothing is connected before the block begins (or ``start()``).

        Args:
            brokers: ``host:port``, comma separated or as a sequence; or the settings, where credentials are needed.
            wait: whether methods wait for the broker.
            options: how to write.

        Raises:
            ValueError: ``idempotent`` without ``acks="all"``, which Kafka does not have; or another ``acks``.
        """
        self._wait = wait
        self._writer = Writer(brokers, keep_failures=not wait, **options)
        self._stamps = Stamps()

    async def start(self) -> None:
        """Connect.

        Raises:
            Unavailable: No broker answers.
        """
        await self._writer.start()

    async def stop(self) -> None:
        """Wait for everything that is under way, and disconnect.

        Raises:
            SendFailed: An event was not acknowledged (``wait=False``).
        """
        try:
            await self.flush()
        finally:
            await self._writer.stop()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            await self.stop()
        else:
            await self._writer.stop()

    async def flush(self) -> None:
        """Wait until the broker has everything that was sent so far.

        Raises:
            SendFailed: It did not acknowledge some of it in time, or (``wait=False``) at all. Each failure is raised once.
        """
        await self._writer.flush()

    @property
    def in_flight(self) -> int:
        """Events that are not acknowledged yet."""
        return self._writer.in_flight

    async def task_created(
        self,
        *,
        task_id: int,
        actor_id: int,
        team_id: int | None = None,
        creator_id: int | None = None,
        assignee_id: int | Absent | None = ABSENT,
        title: Text = ABSENT,
        description: Text = ABSENT,
        completed: bool | Absent = ABSENT,
        priority: Priority = ABSENT,
        due: Text = ABSENT,
        **about: Unpack[About],
    ) -> Report:
        """A task was made. Without ``team_id`` it is ``creator_id``'s own, and reaches that user alone."""
        members = fields.task(task_id, team_id, actor_id, creator_id, assignee_id)
        return await self._event("task.created", members, fields.task_payload(title, description, completed, priority, due), **about)

    async def task_updated(
        self,
        *,
        task_id: int,
        actor_id: int,
        team_id: int | None = None,
        creator_id: int | None = None,
        assignee_id: int | Absent | None = ABSENT,
        title: Text = ABSENT,
        description: Text = ABSENT,
        completed: bool | Absent = ABSENT,
        priority: Priority = ABSENT,
        due: Text = ABSENT,
        **about: Unpack[About],
    ) -> Report:
        """Fields of a task changed. Another ``team_id`` is another task: a move is a deletion and a creation."""
        members = fields.task(task_id, team_id, actor_id, creator_id, assignee_id)
        return await self._event("task.updated", members, fields.task_payload(title, description, completed, priority, due), **about)

    async def task_completed(
        self,
        *,
        task_id: int,
        actor_id: int,
        team_id: int | None = None,
        creator_id: int | None = None,
        completed: bool = True,
        **about: Unpack[About],
    ) -> Report:
        """A task was done, or opened again with ``completed=False``."""
        return await self._event("task.completed", fields.task(task_id, team_id, actor_id, creator_id), {"completed": completed}, **about)

    async def task_deleted(
        self, *, task_id: int, actor_id: int, team_id: int | None = None, creator_id: int | None = None, **about: Unpack[About]
    ) -> Report:
        """A task is gone."""
        return await self._event("task.deleted", fields.task(task_id, team_id, actor_id, creator_id), {}, **about)

    async def team_created(
        self,
        *,
        team_id: int,
        actor_id: int,
        owner_id: int | None = None,
        name: Text = ABSENT,
        description: Text = ABSENT,
        **about: Unpack[About],
    ) -> Report:
        """A team was made; its owner (else the actor) is its first member."""
        return await self._event(
            "team.created", fields.team(team_id, actor_id, owner_id), {"name": name, "description": description}, **about
        )

    async def team_updated(
        self,
        *,
        team_id: int,
        actor_id: int,
        owner_id: int | None = None,
        name: Text = ABSENT,
        description: Text = ABSENT,
        **about: Unpack[About],
    ) -> Report:
        """Fields of a team changed."""
        return await self._event(
            "team.updated", fields.team(team_id, actor_id, owner_id), {"name": name, "description": description}, **about
        )

    async def team_deleted(self, *, team_id: int, actor_id: int, **about: Unpack[About]) -> Report:
        """A team is gone, and with it its tasks and members."""
        return await self._event("team.deleted", fields.team(team_id, actor_id, None), {}, **about)

    async def member_added(self, *, team_id: int, user_id: int, actor_id: int, role: str | None = None, **about: Unpack[About]) -> Report:
        """A user joined a team, by default as ``member``."""
        return await self._event("team.member_added", fields.member(team_id, user_id, actor_id, role), {}, **about)

    async def member_removed(self, *, team_id: int, user_id: int, actor_id: int, **about: Unpack[About]) -> Report:
        """A user left a team."""
        return await self._event("team.member_removed", fields.member(team_id, user_id, actor_id, None), {}, **about)

    async def member_role_updated(self, *, team_id: int, user_id: int, actor_id: int, role: str, **about: Unpack[About]) -> Report:
        """A member has another role."""
        return await self._event("team.member_role_updated", fields.member(team_id, user_id, actor_id, role), {}, **about)

    async def user_created(self, *, user_id: int, email: Text = ABSENT, username: Text = ABSENT, **about: Unpack[About]) -> Report:
        """A user is there."""
        return await self._event("user.created", {"userId": user_id}, {"email": email, "username": username}, **about)

    async def send(self, topic: str, value: Mapping[str, Any], *, headers: Headers = ()) -> Report:
        """Send a value as the topic has it (camelCase); without a timestamp it gets the record's.

        Raises:
            InvalidEvent: every fault; nothing was sent.
            SendFailed: the broker did not acknowledge it.
            ValueError: ``topic`` is no source topic.
        """
        encoded = encode_checked(topic, value)
        key, routing = record_key(topic, value).encode(), routing_key(topic, value).encode()
        return await self._write(Record(topic, key, encoded, headers, routing, value.get("eventId")))

    async def send_value(self, topic: str, value: bytes | None, *, key: bytes | None = None, headers: Headers = ()) -> Report:
        """Send bytes as they are, unchecked, to the partition that Kafka's default partitioner chooses.

        The report's ``event_id`` is the name of the record, whatever the bytes say.

        Raises:
            SendFailed: the broker did not acknowledge them.
            ValueError: neither key nor value.
        """
        if value is None and key is None:
            raise ValueError("a record needs a key or a value")
        return await self._write(Record(topic, key, value, headers))

    async def _event(
        self,
        topic: str,
        members: Mapping[str, object],
        payload: Mapping[str, object],
        *,
        timestamp: datetime | str | None = None,
        event_id: str | None = None,
        extra: Mapping[str, object] | None = None,
        headers: Headers = (),
    ) -> Report:
        if timestamp is None:
            timestamp = self._stamps.next(datetime.now(UTC))
        elif isinstance(timestamp, datetime):
            timestamp = timestamp_text(timestamp)
        value = value_of(topic, members, payload, timestamp=timestamp, event_id=event_id, extra=extra)
        return await self.send(topic, value, headers=headers)

    async def _write(self, record: Record) -> Report:
        report = await self._writer.write(record)
        if not self._wait:
            return cast("Report", report)  # the overloads of __init__ tie Report to ``wait``
        try:
            async with asyncio.timeout(self._writer.timeout_seconds):
                return cast("Report", await report)
        except TimeoutError:
            raise SendFailed(f"{record.topic}: not acknowledged within {self._writer.timeout_seconds:g} s") from None
