"""Names of Faust, aiokafka and aiohttp that nobody promises, and that we rest on: one test each, so that an upgrade says what broke."""

from __future__ import annotations

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
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer import consumer as consumer_module
from aiokafka.consumer import fetcher
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition
from faust.assignor.partition_assignor import PartitionAssignor
from faust.cli.worker import worker as worker_command
from faust.stores import rocksdb
from faust.tables.base import Collection
from faust.tables.table import Table
from faust.transport import consumer as faust_consumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.web.drivers import aiohttp as faust_web
from prometheus_client import Histogram


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


async def test_fetch_max_wait_ms() -> None:
    client = aiokafka.AIOKafkaConsumer(fetch_max_wait_ms=77)
    try:
        assert client._fetch_max_wait_ms == 77
    finally:
        await client.stop()
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source(aiokafka.AIOKafkaConsumer.start), "it is read when the client starts"
    assert "fetch_max_wait_ms" in parameters(fetcher.Fetcher.__init__)


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


# --- aiokafka's fetcher and producer


def test_a_consumer_makes_its_fetcher_of_a_name_in_its_module() -> None:
    assert isinstance(consumer_module.Fetcher, type)
    assert "= Fetcher(" in source(consumer_module.AIOKafkaConsumer)


@pytest.mark.parametrize("name", ["_fetch_min_bytes", "_fetch_max_wait_ms"])
def test_a_fetch_is_written_with_what_the_fetcher_says_then(name: str) -> None:
    assert f"self.{name}" in source(fetcher.Fetcher._get_actions_per_node)


def test_what_the_fetcher_has_under_way() -> None:
    routine = source(fetcher.Fetcher._fetch_requests_routine)
    assert "self._in_flight.add(node_id)" in routine
    assert "self._get_actions_per_node(assignment)" in routine
    assert "self._proc_fetch_request(assignment, node_id, request)" in routine
    assert parameters(fetcher.FetchResult.calculate_backoff) == ["self"]
    assert "self._fetcher_timeout" in source(fetcher.Fetcher._get_actions_per_node)
    assert "self._records[tp]" in source(fetcher.Fetcher._get_actions_per_node)


def test_a_fetch_is_sent_by_the_client_and_answered_for_what_the_request_names() -> None:
    process = source(fetcher.Fetcher._proc_fetch_request)
    assert "await self._client.send(node_id, request)" in process
    assert "in request.topics" in process
    assert "tp_state.timestamp" in process


@pytest.mark.parametrize("name", ["_max_wait_ms", "_min_bytes", "_max_bytes", "_isolation_level", "_topics", "_rack_id"])
def test_what_a_fetch_request_holds(name: str) -> None:
    assert name in FetchRequest(1, 1, 1, 0, []).__dict__


def test_a_batch_of_records_is_ours_to_fill() -> None:
    builder = BatchBuilder(100, 0)
    assert builder.append(timestamp=None, key=b"k", value=b"v", headers=[]) is not None
    assert builder.append(timestamp=None, key=b"k", value=b"x" * 100, headers=[]) is None
    assert (builder.record_count(), builder.closed()) == (1, True)
    assert parameters(aiokafka.AIOKafkaProducer.send_batch) == ["self", "batch", "topic", "partition"]


def test_what_a_histogram_is_made_of() -> None:
    observe = source(Histogram.observe)
    assert "self._sum.inc(amount)" in observe
    assert "self._upper_bounds" in observe
    assert "self._buckets[i].inc(" in observe
