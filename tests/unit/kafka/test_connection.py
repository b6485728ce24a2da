"""A connection: answers are told apart however they come, and whatever goes wrong fails all that wait for one."""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias, cast

import pytest
import uvloop
from aiokafka.conn import AIOKafkaConnection
from aiokafka.errors import KafkaConnectionError, RequestTimedOutError
from aiokafka.protocol.admin import ApiVersionRequest, ApiVersionResponse_v0

from app.kafka.connection import Connection

LIMIT_SECONDS = 5
KEY, VERSION = 1, 11
"""Of what is asked; the server looks at neither."""


Scenario: TypeAlias = Callable[..., Coroutine[Any, Any, None]]


def on_both_loops(scenario: Scenario) -> Callable[..., None]:
    """A test of a ``server`` and a ``connection`` to it, on each loop: they differ where a peer resets."""
    named = inspect.signature(scenario).parameters

    def test(loop: str, **given: Any) -> None:
        async def run() -> None:
            async with served() as server:
                connection = await connected(server)
                made = {"server": server, "connection": connection}
                try:
                    await scenario(**{name: one for name, one in made.items() if name in named}, **given)
                finally:
                    await closed(connection)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop) as runner:
            runner.run(run())

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    fixtures = [one for name, one in named.items() if name not in {"server", "connection"}]
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    test.__signature__ = inspect.Signature([loop, *fixtures])  # type: ignore[attr-defined]
    marks = getattr(scenario, "pytestmark", [])
    test.pytestmark = [*marks, pytest.mark.parametrize("loop", ["asyncio", "uvloop"]).mark]  # type: ignore[attr-defined]
    return test


class Asked:
    """A request as the server got it."""

    def __init__(self, frame: bytes) -> None:
        self.api_key, self.version, self.correlation_id, length = struct.unpack_from(">hhih", frame)
        self.client = frame[10 : 10 + length]
        self.body = frame[10 + length :]

    def answer(self, body: bytes) -> bytes:
        """An answer to it, on the wire."""
        return struct.pack(">ii", 4 + len(body), self.correlation_id) + body


class Server:
    """A broker that says what it speaks, and beyond that what the test has it say."""

    port: int

    def __init__(self) -> None:
        self.asked: asyncio.Queue[Asked] = asyncio.Queue()
        self.writers: list[asyncio.StreamWriter] = []
        self.serving: list[asyncio.Task[Any]] = []
        self.pieces = False
        """Whether what it speaks is told a byte at a time."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        self.serving.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        answer = (await self._read(reader)).answer(versions())
        for piece in [answer[at : at + 1] for at in range(len(answer))] if self.pieces else [answer]:
            writer.write(piece)
            await asyncio.sleep(0)
        with suppress(OSError, EOFError):
            while True:
                self.asked.put_nowait(await self._read(reader))

    async def _read(self, reader: asyncio.StreamReader) -> Asked:
        return Asked(await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0]))

    def write(self, *pieces: bytes) -> None:
        """Send bytes over the newest connection, all at once."""
        self.writers[-1].write(b"".join(pieces))

    async def next(self) -> Asked:
        """The next request."""
        async with asyncio.timeout(LIMIT_SECONDS):
            return await self.asked.get()

    def reset(self) -> None:
        """End the connection as a host does that lost it: without a word more."""
        transport = self.writers[-1].transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


def versions() -> bytes:
    encoded: bytes = ApiVersionResponse_v0(0, [(0, 0, 9), (KEY, 4, VERSION), (18, 0, 0)]).encode()
    return encoded


@asynccontextmanager
async def served() -> AsyncIterator[Server]:
    made = Server()
    listening = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()
        for writer in made.writers:
            writer.transport.abort()
        await asyncio.gather(*made.serving, return_exceptions=True)
        await listening.wait_closed()


async def connected(server: Server, request_timeout_ms: int = 60_000) -> Connection:
    connection = Connection("127.0.0.1", server.port, client_id="us", request_timeout_ms=request_timeout_ms)
    async with asyncio.timeout(LIMIT_SECONDS):
        await connection.connect()
    return connection


async def closed(connection: Connection) -> None:
    async with asyncio.timeout(LIMIT_SECONDS):
        await connection.close()


async def until(holds: Callable[[], object]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not holds():  # noqa: ASYNC110  (what comes over the socket sets no event)
            await asyncio.sleep(0.001)


def held(connection: Connection) -> int:
    """How many bytes have come of what is not whole."""
    return sum(map(len, connection._writer.transport.get_protocol()._pieces))


async def holds(connection: Connection, count: int) -> None:
    """Wait until so many bytes have come of what is not whole."""
    await until(lambda: held(connection) == count)


async def within(future: asyncio.Future[Any]) -> Any:
    """What comes of a future, in time."""
    async with asyncio.timeout(LIMIT_SECONDS):
        return await future


# --- what is asked


@on_both_loops
async def test_what_is_asked_comes_with_its_key_its_version_and_who_asks(server: Server, connection: Connection) -> None:
    connection.ask(KEY, VERSION, b"body")
    asked = await server.next()
    assert (asked.api_key, asked.version, asked.client, asked.body) == (KEY, VERSION, b"us", b"body")


@on_both_loops
async def test_the_answer_is_what_stands_behind_its_correlation_id(server: Server, connection: Connection) -> None:
    future = connection.ask(KEY, VERSION, b"")
    server.write((await server.next()).answer(b"said"))
    assert await within(future) == b"said"


@on_both_loops
@pytest.mark.parametrize(("key", "version", "spoken"), [(KEY, 3, False), (KEY, 4, True), (KEY, 11, True), (KEY, 12, False), (99, 0, False)])
async def test_it_knows_which_versions_the_broker_speaks(connection: Connection, key: int, version: int, spoken: bool) -> None:
    assert connection.speaks(key, version) is spoken


# --- answers in pieces


@on_both_loops
async def test_an_answer_may_be_cut_anywhere(server: Server, connection: Connection) -> None:
    for cut in range(1, 4 + 4 + 3):
        future = connection.ask(KEY, VERSION, b"")
        whole = (await server.next()).answer(b"abc")
        server.write(whole[:cut])
        await holds(connection, cut)
        assert not future.done()
        server.write(whole[cut:])
        assert await within(future) == b"abc"
        assert held(connection) == 0


@on_both_loops
async def test_an_answer_may_come_byte_by_byte(server: Server, connection: Connection) -> None:
    future = connection.ask(KEY, VERSION, b"")
    whole = (await server.next()).answer(b"abc")
    for at in range(len(whole) - 1):
        server.write(whole[at : at + 1])
        await holds(connection, at + 1)
    server.write(whole[-1:])
    assert await within(future) == b"abc"


@on_both_loops
async def test_several_answers_may_come_in_one_piece(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"%d" % n) for n in range(5)]
    asked = [await server.next() for _ in futures]
    server.write(*(one.answer(b"to " + one.body) for one in asked))
    assert [await within(future) for future in futures] == [b"to %d" % n for n in range(5)]


@on_both_loops
async def test_a_piece_may_end_in_the_middle_of_an_answer_behind_a_whole_one(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(3)]
    first, second, third = [(await server.next()).answer(b"abc") for _ in futures]
    for cut in range(1, len(second)):
        server.write(first, second[:cut])
        assert await within(futures[0]) == b"abc"
        await holds(connection, cut)
        assert not futures[1].done()
        server.write(second[cut:], third)
        assert [await within(future) for future in futures[1:]] == [b"abc", b"abc"]
        futures = [connection.ask(KEY, VERSION, b"") for _ in range(3)]
        first, second, third = [(await server.next()).answer(b"abc") for _ in futures]


@on_both_loops
async def test_a_large_answer_comes_in_many_pieces(server: Server, connection: Connection) -> None:
    large = bytes(range(256)) * 4 * 4096
    before, future, behind = (connection.ask(KEY, VERSION, b"") for _ in range(3))
    server.write((await server.next()).answer(b"before"), (await server.next()).answer(large), (await server.next()).answer(b"behind"))
    assert [await within(one) for one in (before, future, behind)] == [b"before", large, b"behind"]


@on_both_loops
async def test_an_empty_answer_is_one(server: Server, connection: Connection) -> None:
    future = connection.ask(KEY, VERSION, b"")
    server.write((await server.next()).answer(b""))
    assert await within(future) == b""


# --- beside aiokafka's own requests


@on_both_loops
async def test_requests_of_aiokafka_and_ours_go_one_behind_the_other(server: Server, connection: Connection) -> None:
    async def versions_of() -> list[tuple[int, int, int]]:
        found: list[tuple[int, int, int]] = (await connection.send(ApiVersionRequest())).api_versions
        return found

    first, theirs = connection.ask(KEY, VERSION, b"1"), asyncio.ensure_future(versions_of())
    one, two = await server.next(), await server.next()
    last = connection.ask(KEY, VERSION, b"3")
    three = await server.next()
    server.write(one.answer(b"one"), two.answer(versions()), three.answer(b"three"))
    assert [await within(future) for future in (first, theirs, last)] == [b"one", [(0, 0, 9), (KEY, 4, VERSION), (18, 0, 0)], b"three"]


@on_both_loops
async def test_an_answer_to_aiokafka_may_be_cut_too(server: Server) -> None:
    server.pieces = True
    connection = await connected(server)
    assert connection.speaks(KEY, VERSION)
    await closed(connection)


@on_both_loops
async def test_one_who_gave_up_waiting_does_not_disturb_the_next(server: Server, connection: Connection) -> None:
    given_up, next_one = connection.ask(KEY, VERSION, b""), connection.ask(KEY, VERSION, b"")
    given_up.cancel()
    server.write((await server.next()).answer(b"to nobody"), (await server.next()).answer(b"to us"))
    assert await within(next_one) == b"to us"
    assert connection.connected()


# --- what goes wrong


async def fail(futures: Sequence[asyncio.Future[Any]], connection: Connection) -> None:
    """All that wait fail, and the connection is closed."""
    for future in futures:
        with pytest.raises(KafkaConnectionError):
            await within(future)
    assert not connection.connected()


@on_both_loops
async def test_an_answer_to_another_request_fails_all_that_wait(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    asked = await server.next()
    asked.correlation_id += 1
    server.write(asked.answer(b"said"))
    await fail(futures, connection)


@on_both_loops
@pytest.mark.parametrize(
    "garbage",
    [struct.pack(">i", 0), struct.pack(">i", -1), struct.pack(">i", -(2**31)), struct.pack(">ih", 2, 5), b"HTTP/1.1 400"],
    ids=["nothing", "less than nothing", "far less", "no correlation id", "another protocol"],
)
async def test_garbage_fails_all_that_wait(server: Server, connection: Connection, garbage: bytes) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    await server.next()
    server.write(garbage)
    if garbage.startswith(b"HTTP"):  # its length says that more is to come
        server.writers[0].close()
    await fail(futures, connection)


@on_both_loops
async def test_garbage_fails_what_aiokafka_waits_for_too(server: Server, connection: Connection) -> None:
    ours = connection.ask(KEY, VERSION, b"")
    theirs = asyncio.ensure_future(connection.send(ApiVersionRequest()))
    await server.next()
    server.write(struct.pack(">ih", 2, 5))
    await fail([ours, theirs], connection)


@on_both_loops
async def test_what_stands_behind_garbage_is_not_looked_at(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    first, second = [await server.next() for _ in futures]
    server.write(struct.pack(">ii", 4, first.correlation_id + 7), second.answer(b"said"))
    await fail(futures, connection)


@on_both_loops
async def test_an_answer_that_nobody_asked_for_closes_the_connection(server: Server, connection: Connection) -> None:
    server.write(struct.pack(">ii", 4, 1))
    await until(lambda: not connection.connected())


@on_both_loops
async def test_what_comes_behind_the_end_is_left(connection: Connection, caplog: pytest.LogCaptureFixture) -> None:
    frames = connection._writer.transport.get_protocol()
    await closed(connection)
    frames.data_received(struct.pack(">ii", 4, 1))
    assert not caplog.records


@on_both_loops
async def test_the_end_of_the_stream_fails_all_that_wait(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    await server.next()
    server.writers[0].close()
    await fail(futures, connection)


@on_both_loops
async def test_the_end_of_the_stream_within_an_answer_fails_all_that_wait(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    server.write((await server.next()).answer(b"abc")[:-1])
    server.writers[0].close()
    await fail(futures, connection)


@on_both_loops
async def test_what_was_answered_right_before_the_end_is_answered(server: Server, connection: Connection) -> None:
    answered, not_answered = connection.ask(KEY, VERSION, b""), connection.ask(KEY, VERSION, b"")
    server.write((await server.next()).answer(b"said"))
    server.writers[0].close()
    assert await within(answered) == b"said"
    await fail([not_answered], connection)


@on_both_loops
async def test_a_reset_fails_all_that_wait(server: Server, connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    await server.next()
    server.reset()
    await fail(futures, connection)


@on_both_loops
async def test_closing_fails_all_that_wait(connection: Connection) -> None:
    futures = [connection.ask(KEY, VERSION, b"") for _ in range(2)]
    await closed(connection)
    await fail(futures, connection)


@on_both_loops
async def test_a_closed_connection_takes_nothing(connection: Connection) -> None:
    await closed(connection)
    with pytest.raises(KafkaConnectionError):
        connection.ask(KEY, VERSION, b"")


WRITES: dict[str, Callable[[Connection], Any]] = {
    "ask": lambda connection: connection.ask(KEY, VERSION, b""),
    "send": lambda connection: connection.send(ApiVersionRequest()),
    "sasl": lambda connection: connection._send_sasl_token(b"token"),
}


@on_both_loops
@pytest.mark.parametrize("how", WRITES)
async def test_a_write_to_a_transport_that_is_closed_already_is_a_broken_connection(
    server: Server, connection: Connection, how: str
) -> None:
    """Between the reset and word of it: uvloop raises RuntimeError there, asyncio takes the write and drops it."""
    connection.ask(KEY, VERSION, b"")
    await server.next()
    server.reset()
    waiting: list[asyncio.Future[Any]] = []
    with suppress(KafkaConnectionError):
        async with asyncio.timeout(LIMIT_SECONDS):
            while True:
                waiting.append(asyncio.ensure_future(WRITES[how](connection)))
                await asyncio.sleep(0)
    await fail(waiting, connection)


@on_both_loops
async def test_an_answer_that_is_late_is_one_that_timed_out(server: Server) -> None:
    connection = await connected(server, request_timeout_ms=30)
    late = connection.ask(KEY, VERSION, b"")
    await asyncio.sleep(0)
    with pytest.raises(RequestTimedOutError):
        await within(late)
    assert not connection.connected()


@on_both_loops
async def test_who_waits_behind_a_late_answer_fails_with_the_connection(server: Server) -> None:
    connection = await connected(server, request_timeout_ms=300)
    late = connection.ask(KEY, VERSION, b"")
    await server.next()
    behind = connection.ask(KEY, VERSION, b"")
    with pytest.raises(RequestTimedOutError):
        await within(late)
    await fail([behind], connection)


@on_both_loops
async def test_an_answer_in_time_stops_the_clock(server: Server) -> None:
    connection, loop = await connected(server, request_timeout_ms=200), asyncio.get_running_loop()
    future, late = connection.ask(KEY, VERSION, b""), loop.time() + 0.2
    server.write((await server.next()).answer(b""))
    await within(future)
    await until(lambda: loop.time() > late)
    assert connection.connected()
    await closed(connection)


def test_every_client_of_the_process_uses_it() -> None:
    import aiokafka.conn

    import app.kafka.client

    assert app.kafka.client
    assert aiokafka.conn.AIOKafkaConnection is Connection
    assert issubclass(Connection, AIOKafkaConnection)
