"""Names of Faust, aiokafka and aiohttp that nobody promises, and that we rest on: one test each, so that an upgrade says what broke."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiokafka
import faust
import pytest
from aiohttp import web_protocol
from aiohttp.base_protocol import BaseProtocol
from aiohttp.web_runner import AppRunner
from aiokafka import conn
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer import consumer as consumer_module
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import Assignment, SubscriptionState
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition
from faust.assignor.partition_assignor import PartitionAssignor
from faust.cli.worker import worker as worker_command
from faust.stores import rocksdb
from faust.tables.base import Collection
from faust.tables.table import Table
from faust.transport import conductor
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.web.drivers import aiohttp as faust_web
from mode.services import Service
from mode.threads import QueueServiceThread, ServiceThread
from prometheus_client import Histogram

from app.kafka.connection import Connection

AIOKafkaConnection: Any = Connection.__mro__[1]
"""aiokafka's own, though ours is in its place by now."""


def parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def source(thing: Any) -> str:
    return inspect.getsource(thing)


@pytest.fixture
def app(tmp_path: Path) -> faust.App:
    return faust.App("unit", broker="kafka://127.0.0.1:1", datadir=str(tmp_path))


class Silent(driver.Consumer):
    """A consumer of nothing."""


@pytest.fixture
async def consumer(app: faust.App) -> AsyncIterator[driver.Consumer]:
    async def nothing(*_args: Any) -> None:
        """Not called."""

    transport = driver.Transport(app.conf.broker_consumer, app)
    silent = Silent(transport, callback=nothing, on_partitions_revoked=nothing, on_partitions_assigned=nothing)
    yield silent
    silent._thread.thread_loop.close()


# --- the consumer


def test_new_offset() -> None:
    assert parameters(faust_consumer.Consumer._new_offset) == ["self", "tp"]
    assert "self._new_offset(tp)" in source(faust_consumer.Consumer._filter_committable_offsets)


def test_add_gap() -> None:
    assert parameters(faust_consumer.Consumer._add_gap) == ["self", "tp", "offset_from", "offset_to"]
    assert inspect.iscoroutinefunction(faust_consumer.Consumer._add_gap)
    assert "self._add_gap(" in source(faust_consumer.Consumer._drain_messages)


def test_wait_first() -> None:
    """What handles a message comes first, a coroutine; and what comes of the wait is not looked at."""
    assert re.search(
        r"^\s+await self\.wait_first\(\s*callback\(message\), self\.suspend_flow\.wait\(\)\s*\)",
        source(faust_consumer.Consumer._drain_messages),
        re.M,
    )
    assert source(faust_consumer).count("self.wait_first(") == 1


async def test_acked(consumer: driver.Consumer) -> None:
    assert consumer._acked[TP("t", 0)] == []
    assert "_acked[tp]" in source(faust_consumer.Consumer.ack)


async def test_acked_index(consumer: driver.Consumer) -> None:
    assert consumer._acked_index[TP("t", 0)] == set()
    assert "acked_index.add(offset)" in source(faust_consumer.Consumer.ack)


def test_filter_tps_with_pending_acks() -> None:
    assert parameters(faust_consumer.Consumer._filter_tps_with_pending_acks) == ["self", "topics"]
    assert "self._filter_tps_with_pending_acks(topics)" in source(faust_consumer.Consumer.force_commit)


def test_wait_next_records() -> None:
    assert parameters(faust_consumer.Consumer._wait_next_records) == ["self", "timeout"]
    assert inspect.iscoroutinefunction(faust_consumer.Consumer._wait_next_records)
    assert "records, active_partitions = await self._wait_next_records(timeout)" in source(faust_consumer.Consumer.getmany)


async def test_buffered_partitions(consumer: driver.Consumer) -> None:
    assert consumer._buffered_partitions == set()
    assert "in self._buffered_partitions" in source(faust_consumer.Consumer.getmany)


async def test_unacked_messages(consumer: driver.Consumer) -> None:
    assert len(consumer._unacked_messages) == 0
    assert callable(consumer._unacked_messages.discard)
    assert "self._unacked_messages" in source(faust_consumer.Consumer.wait_empty)


async def test_read_offset(consumer: driver.Consumer) -> None:
    assert consumer._read_offset[TP("t", 0)] is None


async def test_committed_offset(consumer: driver.Consumer) -> None:
    assert consumer._committed_offset[TP("t", 0)] is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("getmany", ["self", "timeout"]),
        ("ack", ["self", "message"]),
        ("perform_seek", ["self"]),
        ("seek", ["self", "partition", "offset"]),
        ("on_partitions_revoked", ["self", "revoked"]),
        ("wait_empty", ["self"]),
        ("seek_to_committed", ["self"]),
        ("highwater", ["self", "tp"]),
        ("assignment", ["self"]),
    ],
)
def test_what_our_consumer_overrides_or_calls(name: str, expected: list[str]) -> None:
    assert parameters(getattr(driver.Consumer, name)) == expected


def test_perform_seek_goes_by_seek_to_committed() -> None:
    assert "seek_to_committed" in source(faust_consumer.Consumer.perform_seek)


async def test_flow_active_and_suspend_flow(consumer: driver.Consumer) -> None:
    assert consumer.flow_active is True
    assert not consumer.suspend_flow.is_set()


async def test_new_consumer_thread(consumer: driver.Consumer) -> None:
    assert parameters(driver.Consumer._new_consumer_thread) == ["self"]
    assert isinstance(consumer._thread, driver.AIOKafkaConsumerThread)


def test_create_worker_consumer() -> None:
    assert parameters(driver.AIOKafkaConsumerThread._create_worker_consumer) == ["self", "transport"]
    assert "self._create_worker_consumer(" in source(driver.AIOKafkaConsumerThread._create_consumer)


@pytest.mark.parametrize("name", ["fetch_max_wait_ms", "fetch_max_bytes"])
async def test_what_a_consumer_fetches_with_is_read_when_it_starts(name: str) -> None:
    options: dict[str, Any] = {name: 77}
    client = aiokafka.AIOKafkaConsumer(**options)
    try:
        assert getattr(client, f"_{name}") == 77
    finally:
        await client.stop()
    assert f"{name}=self._{name}" in source(aiokafka.AIOKafkaConsumer.start)
    assert name in parameters(fetcher.Fetcher.__init__)


def test_topic_name_index(app: faust.App) -> None:
    """Agents' channels by topic; it is made anew while others run."""
    assert vars(app.topics)["_topic_name_index"] == {}
    assert "self._topic_name_index[topic].add(channel)" in source(conductor.Conductor._update_indices)


def test_acks_enabled_for(app: faust.App) -> None:
    assert app.topics.acks_enabled_for("unknown") is False


# --- the consumer without a thread


@pytest.mark.parametrize("name", ["start", "stop", "_stopped_set", "_stop_children", "_stop_futures", "_stop_exit_stacks"])
def test_what_a_service_of_a_thread_does_another_way(name: str) -> None:
    assert name in vars(ServiceThread)
    assert parameters(getattr(ServiceThread, name)) == ["self"]
    assert hasattr(Service, name)


@pytest.mark.parametrize("name", ["_default_start", "_default_stop_children", "_default_stop_futures", "_default_stop_exit_stacks"])
def test_what_a_service_does_by_itself(name: str) -> None:
    assert inspect.iscoroutinefunction(vars(Service)[name])


def test_maybe_start() -> None:
    assert "_thread_started" in source(ServiceThread.maybe_start)
    assert "self._started" in source(Service.maybe_start)


def test_crash() -> None:
    assert "_thread_running" in source(ServiceThread.crash)
    assert inspect.iscoroutinefunction(vars(Service)["crash"])


def test_wait_for_shutdown() -> None:
    assert ServiceThread.wait_for_shutdown is True
    assert "if self.wait_for_shutdown:" in source(Service.stop)


def test_the_order_in_which_a_service_stops() -> None:
    calls = ["self._stopped_set()", "self.on_stop()", "self._stop_children()", "self._stop_futures()", "self._stop_exit_stacks()"]
    places = [source(Service.stop).index(call) for call in calls]
    assert places == sorted(places)


def test_call_thread() -> None:
    assert parameters(QueueServiceThread.call_thread) == ["self", "fun", "args", "kwargs"]
    assert "self.call_thread(" in source(driver.AIOKafkaConsumerThread.getmany)
    assert "cast_thread" not in source(driver.AIOKafkaConsumerThread), "what is left to the queue nobody would do"


async def test_a_consumers_thread_takes_a_loop_of_ours(consumer: driver.Consumer) -> None:
    loop = asyncio.get_running_loop()
    made = driver.AIOKafkaConsumerThread(consumer, loop=loop, thread_loop=loop)
    assert made.thread_loop is made.parent_loop is made.loop is loop


def test_a_consumers_thread_makes_its_consumer_as_it_starts() -> None:
    assert "self._consumer = self._create_consumer(loop=self.thread_loop)" in source(driver.AIOKafkaConsumerThread.on_start)
    assert "await self._consumer.stop()" in source(driver.AIOKafkaConsumerThread.on_thread_stop), "our on_stop does that"


def test_fetch_records() -> None:
    assert parameters(driver.AIOKafkaConsumerThread._fetch_records) == ["self", "consumer", "active_partitions", "timeout", "max_records"]
    assert "fetcher.fetched_records(" in source(driver.AIOKafkaConsumerThread._fetch_records)


def test_verify_event_path() -> None:
    assert parameters(driver.AIOKafkaConsumerThread.verify_event_path) == ["self", "now", "tp"]
    assert "self._thread.verify_event_path(now, tp)" in source(driver.Consumer.verify_event_path)


def test_faust_looks_when_a_partition_was_fetched() -> None:
    assert "aiotp_state.timestamp" in source(driver.AIOKafkaConsumerThread._verify_aiokafka_event_path)


def test_a_topic_partition_of_aiokafka_has_what_ours_is_made_of() -> None:
    assert (TopicPartition("t", 1).topic, TopicPartition("t", 1).partition) == ("t", 1)


# --- the producer


def test_settings_extra() -> None:
    assert parameters(driver.Producer._settings_extra) == ["self"]
    assert "**self._settings_extra()" in source(driver.Producer._new_producer)


def test_ensure_producer(app: faust.App) -> None:
    assert parameters(driver.Producer._ensure_producer) == ["self"]
    with pytest.raises(faust.exceptions.NotReady):
        driver.Producer(driver.Transport(app.conf.broker_producer, app))._ensure_producer()


def test_idempotence_is_an_option_of_the_client() -> None:
    assert {"acks", "enable_idempotence"} <= set(parameters(aiokafka.AIOKafkaProducer.__init__))


def test_a_transport_names_its_consumer_and_producer() -> None:
    assert driver.Transport.Consumer is driver.Consumer
    assert driver.Transport.Producer is driver.Producer


# --- tables


def test_db_for_partition() -> None:
    assert parameters(rocksdb.Store._db_for_partition) == ["self", "partition"]
    assert "self._open_for_partition(partition)" in source(rocksdb.Store._db_for_partition)
    assert "self._dbs[partition]" in source(rocksdb.Store._db_for_partition)


def test_open_for_partition() -> None:
    assert parameters(rocksdb.Store._open_for_partition) == ["self", "partition"]


def test_partition_path() -> None:
    assert parameters(rocksdb.Store.partition_path) == ["self", "partition"]


def test_offset_key() -> None:
    assert rocksdb.Store.offset_key == b"__faust\0offset__"
    assert "self.offset_key" in source(rocksdb.Store.persisted_offset)


def test_apply_changelog_batch() -> None:
    assert parameters(rocksdb.Store.apply_changelog_batch) == ["self", "batch", "to_key", "to_value"]


def test_revoke_partitions() -> None:
    assert parameters(rocksdb.Store.revoke_partitions) == ["self", "table", "tps"]
    assert "self.revoke_partitions(" in source(rocksdb.Store.on_rebalance)


def test_new_store() -> None:
    assert parameters(Collection._new_store) == ["self"]
    assert "self._new_store()" in source(Collection)


def test_a_tables_on_rebalance() -> None:
    assert parameters(Table.on_rebalance) == ["self", "assigned", "revoked", "newly_assigned", "generation_id"]


def test_what_a_table_reads_of_the_application(app: faust.App) -> None:
    assert app.tables.actives_ready is False
    assert app.rebalancing is False
    assert app.assignor.assigned_actives() == set()
    assert app.assignor.is_active(TP("x", 0)) is False
    assert isinstance(app.assignor, PartitionAssignor)


def test_external_topics_metadata(app: faust.App) -> None:
    assert isinstance(app.assignor, PartitionAssignor)
    assert app.assignor.external_topics_metadata() == {}


# --- the web server


def test_the_web_driver(app: faust.App) -> None:
    web = faust_web.Web(app)
    assert isinstance(web._runner, AppRunner)
    assert hasattr(web.web_app, "router")
    assert "self._runner" in source(faust_web.Web.start_server)
    assert "self._runner" in source(faust_web.Web.stop_server)
    assert inspect.iscoroutinefunction(faust_web.Web.start_server)
    assert parameters(faust_web.Web.add_view)[:2] == ["self", "view_cls"]


@pytest.mark.parametrize("name", ["default_blueprints", "production_blueprints", "debug_blueprints"])
def test_the_built_in_routes_stand_in_lists_that_can_be_emptied(name: str) -> None:
    assert hasattr(faust_web.Web, name)


def test_drain_helper() -> None:
    assert parameters(BaseProtocol._drain_helper) == ["self"]
    assert inspect.iscoroutinefunction(BaseProtocol._drain_helper)
    assert issubclass(web_protocol.RequestHandler, BaseProtocol)


# --- what the worker tells of itself


def test_the_assignor_decides_in_assign() -> None:
    assert parameters(PartitionAssignor.assign) == ["self", "cluster", "member_metadata"]


def test_the_worker_lets_us_shape_its_log() -> None:
    assert parameters(faust.Worker.on_setup_root_logger) == ["self", "logger", "level"]
    assert "self.on_setup_root_logger(" in source(faust.Worker._setup_logging)


def test_the_worker_command_says_its_banner_in_a_hook() -> None:
    assert "self.banner(worker)" in source(worker_command.on_worker_created)


def test_an_admin_client_sends_requests_of_ours() -> None:
    assert parameters(AIOKafkaAdminClient._send_request) == ["self", "request", "node_id"]
    assert parameters(OffsetFetchRequest.__init__) == ["self", "consumer_group", "partitions"]


# --- aiokafka's fetcher


def test_a_consumer_makes_its_fetcher_of_a_name_in_its_module() -> None:
    assert isinstance(consumer_module.Fetcher, type)
    assert "self._fetcher = Fetcher(" in source(consumer_module.AIOKafkaConsumer)


def test_get_actions_per_node() -> None:
    assert parameters(fetcher.Fetcher._get_actions_per_node) == ["self", "assignment"]
    given = r"fetch_requests,\s+reset_requests,\s+timeout,\s+invalid_metadata,\s+resume_futures,\s+"
    assert re.search(given + r"\) = self\._get_actions_per_node\(assignment\)", source(fetcher.Fetcher._fetch_requests_routine))


def test_proc_fetch_request() -> None:
    assert parameters(fetcher.Fetcher._proc_fetch_request) == ["self", "assignment", "node_id", "request"]
    assert "self._proc_fetch_request(assignment, node_id, request)" in source(fetcher.Fetcher._fetch_requests_routine)


def test_in_flight() -> None:
    """Nodes of which something is under way, a fetch or a look for an offset."""
    routine = source(fetcher.Fetcher._fetch_requests_routine)
    assert "self._in_flight.add(node_id)" in routine
    assert "self._in_flight.discard(node_id)" in routine
    assert "elif node_id in self._in_flight:" in source(fetcher.Fetcher._get_actions_per_node)


def test_fetch_waiters() -> None:
    assert "self._fetch_waiters.add(fut)" in source(fetcher.Fetcher._create_fetch_waiter)
    assert "register_fetch_waiters(self._fetch_waiters)" in source(fetcher.Fetcher.__init__)


def test_wait_consume_future() -> None:
    assert "self._wait_consume_future = create_future()" in source(fetcher.Fetcher._fetch_requests_routine)
    for name in ("seek_to", "request_offset_reset"):
        assert "self._notify(self._wait_consume_future)" in source(getattr(fetcher.Fetcher, name))
    assert parameters(fetcher.Fetcher._notify) == ["self", "future"]


def test_fetch_task_and_pending_tasks() -> None:
    assert "self._fetch_task = create_task(self._fetch_requests_routine())" in source(fetcher.Fetcher.__init__)
    assert "self._pending_tasks.add(task)" in source(fetcher.Fetcher._fetch_requests_routine)


def test_select_read_replica() -> None:
    assert parameters(fetcher.Fetcher._select_read_replica) == ["self", "tp"]
    assert "leader_for_partition(tp)" in source(fetcher.Fetcher._select_read_replica)


def test_set_error() -> None:
    assert parameters(fetcher.Fetcher._set_error) == ["self", "tp", "error"]
    assert "self._records[tp] = FetchError(" in source(fetcher.Fetcher._set_error)
    assert parameters(fetcher.FetchError.check_raise) == ["self"]
    assert parameters(fetcher.FetchError.calculate_backoff) == ["self"]


@pytest.mark.parametrize(
    "name",
    [
        "_check_crcs",
        "_client",
        "_closed",
        "_default_reset_strategy",
        "_fetch_max_bytes",
        "_fetch_min_bytes",
        "_isolation_level",
        "_key_deserializer",
        "_loop",
        "_max_partition_fetch_bytes",
        "_prefetch_backoff",
        "_records",
        "_retry_backoff",
        "_subscriptions",
        "_value_deserializer",
    ],
)
def test_what_a_fetcher_has(name: str) -> None:
    assert f"self.{name} = " in source(fetcher.Fetcher.__init__)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fetched_records", ["self", "partitions", "timeout", "max_records"]),
        ("next_record", ["self", "partitions"]),
        ("seek_to", ["self", "tp", "offset"]),
        ("request_offset_reset", ["self", "tps", "strategy"]),
        ("close", ["self"]),
    ],
)
def test_what_a_consumer_asks_of_its_fetcher(name: str, expected: list[str]) -> None:
    assert parameters(getattr(fetcher.Fetcher, name)) == expected
    assert f"self._fetcher.{name}(" in source(consumer_module.AIOKafkaConsumer)


def test_what_a_fetch_result_is() -> None:
    made = fetcher.FetchResult("tp", assignment="assignment", partition_records="records", backoff=7)
    assert (made._topic_partition, made._partition_records, made._assignment, made._backoff) == ("tp", "records", "assignment", 7)
    assert made.has_more()
    assert parameters(fetcher.FetchResult.check_assignment) == ["self", "tp"]
    assert parameters(fetcher.FetchResult.getall) == ["self", "max_records"]
    assert "self._partition_records.next_fetch_offset" in source(fetcher.FetchResult._update_position)
    assert parameters(fetcher.FetchResult.calculate_backoff) == ["self"]


def test_what_the_records_of_a_partition_are() -> None:
    made = fetcher.PartitionRecords("tp", "records", None, 5, None, None, True, fetcher.READ_UNCOMMITTED)
    assert (made._tp, made._records, made._check_crcs, made._isolation_level, made.next_fetch_offset) == ("tp", "records", True, 0, 5)


def test_what_a_batch_of_records_tells() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 1000)
    builder.append(0, 1500, b"k", b"v", [("h", b"1")])
    records = MemoryRecords(bytes(builder.build()))
    assert records.has_next()
    assert records.size_in_bytes() > 0
    batch = records.next_batch()
    assert batch.validate_crc()
    assert (batch.is_control_batch, batch.timestamp_type, batch.next_offset) == (False, 0, 1)
    [record] = batch
    assert (record.offset, record.timestamp, record.key, record.value, record.headers) == (0, 1500, b"k", b"v", [("h", b"1")])


# --- aiokafka's subscriptions


async def test_the_state_of_a_partition() -> None:
    assigned = Assignment([TopicPartition("t", 0)])
    state = assigned.state_value(TopicPartition("t", 0))
    assert (state._position, state._paused, state.highwater, state.lso, state.timestamp) == (None, False, None, None, None)
    state.seek(5)
    state.consumed_to(7)
    state.pause()
    assert (state._position, state._paused) == (7, True)
    state.await_reset(-2)
    assert state._position is None


async def test_an_assignment() -> None:
    assigned = Assignment([TopicPartition("t", 0)])
    assert (assigned.active, assigned.tps, assigned.state_value(TopicPartition("t", 1))) == (True, {TopicPartition("t", 0)}, None)


async def test_the_subscriptions() -> None:
    found = SubscriptionState()
    assert found.subscription is None
    found.subscribe({"t"})
    assert found.reassignment_in_progress
    waiting = found.wait_for_assignment()
    found.assign_from_subscribed({TopicPartition("t", 0)})
    await waiting
    assert not found.reassignment_in_progress
    assert found.is_assigned(TopicPartition("t", 0))


# --- aiokafka's client


def test_get_conn() -> None:
    assert parameters(AIOKafkaClient._get_conn) == ["self", "node_id", "group", "no_hint"]
    assert "conn_id = (node_id, group)" in source(AIOKafkaClient._get_conn)
    assert "self._conns[conn_id] = await create_conn(" in source(AIOKafkaClient._get_conn)


def test_a_client_that_cannot_connect_gives_none() -> None:
    assert "return None" in source(AIOKafkaClient._get_conn)


def test_wait_on_metadata() -> None:
    assert parameters(AIOKafkaClient._wait_on_metadata) == ["self", "topic"]
    assert inspect.iscoroutinefunction(AIOKafkaClient._wait_on_metadata)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("force_metadata_update", ["self"]), ("get_random_node", ["self"]), ("add_topic", ["self", "topic"])],
)
def test_what_is_called_of_a_client(name: str, expected: list[str]) -> None:
    assert parameters(getattr(AIOKafkaClient, name)) == expected
    assert not inspect.iscoroutinefunction(getattr(AIOKafkaClient, name)), "called, and not waited for"


def test_a_client_that_was_told_of_topics_asks_for_no_others() -> None:
    assert "MetadataRequest(list(topics) if topics else None)" in source(AIOKafkaClient._metadata_update)
    assert "self._partitions = _new_partitions" in source(ClusterMetadata.update_metadata)


def test_last_successful_refresh_ms() -> None:
    assert ClusterMetadata()._last_successful_refresh_ms == 0
    assert "self._last_successful_refresh_ms = now" in source(ClusterMetadata.update_metadata)


def test_where_a_partition_is_led() -> None:
    cluster = ClusterMetadata()
    assert cluster.leader_for_partition(TopicPartition("t", 0)) is None
    assert cluster.partitions_for_topic("t") is None


def test_a_producers_client() -> None:
    assert "self.client = AIOKafkaClient(" in source(aiokafka.AIOKafkaProducer.__init__)


def test_how_a_producers_id_is_asked_for() -> None:
    wire = InitProducerIdRequest(None, 0).build(InitProducerIdRequest.CLASSES[0])
    assert (wire.transactional_id, wire.transaction_timeout_ms) == (None, 0)
    assert {"error_code", "producer_id", "producer_epoch"} <= set(wire.RESPONSE_TYPE.SCHEMA.names)


# --- aiokafka's connection


def test_a_client_looks_the_connections_class_up_when_it_connects() -> None:
    assert "conn = AIOKafkaConnection(" in source(conn.create_conn)


def test_create_reader_task() -> None:
    """Behind the connecting, and before anything is asked."""
    connect = source(AIOKafkaConnection.connect)
    places = [
        connect.index(step)
        for step in (
            "self._reader, self._writer, self._protocol = reader, writer, protocol",
            "self._create_reader_task()",
            "self._do_version_lookup()",
        )
    ]
    assert places == sorted(places)
    assert parameters(AIOKafkaConnection._create_reader_task) == ["self"]


def test_requests() -> None:
    """Correlation id, request and future of what waits for an answer, in the order asked; closing fails them."""
    assert "self._requests.append(" in source(AIOKafkaConnection.send)
    assert "for _, _, fut in self._requests:" in source(AIOKafkaConnection.close)


def test_handle_frame() -> None:
    frame = source(AIOKafkaConnection._handle_frame)
    assert parameters(AIOKafkaConnection._handle_frame) == ["self", "resp"]
    assert "correlation_id, request, fut = self._requests[0]" in frame
    assert "self._requests.popleft()" in frame
    assert "self._last_action = time.monotonic()" in frame


def test_next_correlation_id() -> None:
    assert parameters(AIOKafkaConnection._next_correlation_id) == ["self"]


def test_send_sasl_token() -> None:
    assert parameters(AIOKafkaConnection._send_sasl_token) == ["self", "payload", "expect_response"]
    assert "except OSError as err:" in source(AIOKafkaConnection._send_sasl_token), "and no RuntimeError"


def test_a_connection_closes_with_a_reason() -> None:
    assert parameters(AIOKafkaConnection.close) == ["self", "reason", "exc"]
    assert {"CONNECTION_BROKEN", "CONNECTION_TIMEOUT"} <= set(conn.CloseReason.__members__)


async def test_what_a_connection_has() -> None:
    made = AIOKafkaConnection("host", 1, client_id="us", request_timeout_ms=7000)
    assert (made._host, made._port, made._client_id, made._request_timeout) == ("host", 1, "us", 7.0)
    assert (made._writer, made._versions, made._loop) == (None, {}, asyncio.get_running_loop())
    assert not made.connected()


# --- aiokafka's record batches


def test_a_batch_of_records_is_ours_to_fill() -> None:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 100)
    assert builder.append(0, 1500, b"k", b"x" * 200, []) is not None, "the first always"
    assert builder.append(1, 1500, b"k", b"x", []) is None


def test_a_batch_gets_its_producer_and_number_before_it_is_built() -> None:
    builder = DefaultRecordBatchBuilder(
        2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=100
    )
    builder.append(0, 1500, None, None, [])
    builder.set_producer_state(7, 3, 2**31 - 1)
    batch = DefaultRecordBatch(bytes(builder.build()))
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.is_transactional) == (7, 3, 2**31 - 1, False)


# --- the client of Prometheus


def test_what_a_histogram_is_made_of() -> None:
    observe = source(Histogram.observe)
    assert "self._sum.inc(amount)" in observe
    assert "self._upper_bounds" in observe
    assert "self._buckets[i].inc(" in observe
