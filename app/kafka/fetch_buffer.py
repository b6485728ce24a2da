"""The fetch buffer: what answers brought, in aiokafka's fetcher, until the consumer takes it."""

from __future__ import annotations

import logging
from collections.abc import Collection
from typing import Any

from aiokafka import errors
from aiokafka.consumer import fetcher as theirs
from aiokafka.consumer.subscription_state import Assignment, TopicPartitionState
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import TopicPartition

from app.kafka.appended import Appended, AppendedRecords
from app.kafka.fetch_protocol import Answer, Part
from app.kafka.fetched import Records, Result
from app.kafka.record import Record

log = logging.getLogger(__name__)

MOST_BROUGHT = 10_000
"""Records that are kept though they could be fetched: who takes so long to come for them fetches those that follow."""


class FetchBuffer(theirs.Fetcher):  # type: ignore[misc]
    """aiokafka's fetcher, as far as it keeps records and gives them out: here a batch at a time."""

    def __init__(self, client: Any, subscriptions: Any, **kwargs: Any) -> None:
        self._gathering: set[TopicPartition] = set()
        """Partitions of which what was brought is not given out yet: it gathers."""
        self._early: dict[TopicPartition, tuple[Assignment, AppendedRecords]] = {}
        """What was appended behind records that are still being fetched, or wait to be taken: it need not be fetched after them."""
        super().__init__(client, subscriptions, **kwargs)

    async def fetched_records(
        self,
        partitions: Collection[TopicPartition],
        timeout: float | None = 0,  # noqa: ASYNC109  (theirs)
        max_records: int | None = None,
    ) -> dict[TopicPartition, list[Record]]:
        """Records by partition, as soon as there are any, within ``timeout`` seconds; some ``max_records``.

        Raises:
            KafkaError: What a partition, or the group, met.
        """
        until = self._loop.time() + (timeout or 0.0)
        while True:
            if self._fetch_task.done() and not self._closed:
                self._fetch_task.result()  # raises what ended it: nothing will come any more
            if self._subscriptions.reassignment_in_progress:
                await self._subscriptions.wait_for_assignment()
            found = self._drain(partitions, max_records or 1)
            if found or self._loop.time() >= until:
                return found
            waiter = self._create_fetch_waiter()
            timer = self._loop.call_at(until, self._notify, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
            if self._closed:
                return {}

    async def next_record(self, partitions: Collection[TopicPartition]) -> Record:
        """Nothing: records are not unpacked one by one here. Whoever reads them takes what there is."""
        raise NotImplementedError("getmany, not getone")

    def _drain(self, partitions: Collection[TopicPartition], most: int) -> dict[TopicPartition, list[Record]]:
        found: dict[TopicPartition, list[Record]] = {}
        tps = list(self._records)
        for tp in tps:
            if partitions and tp not in partitions:
                if not self._subscriptions.is_assigned(tp):
                    del self._records[tp]
                    self._early.pop(tp, None)
                continue
            if tp in self._gathering:
                continue
            result = self._records[tp]
            if not isinstance(result, Result):
                if found:
                    break  # it is raised the next time
                del self._records[tp]
                self._notify(self._wait_consume_future)
                result.check_raise()
            try:
                records = result.getall(most)
            except errors.KafkaError:
                if found:
                    break  # it comes again
                raise
            finally:
                if not result.has_more():
                    del self._records[tp]
                    if self._take_early(tp):
                        tps.append(tp)
                    self._notify(self._wait_consume_future)
            if records:
                found[tp] = found[tp] + records if tp in found else records
                most -= len(records)
                if most <= 0:
                    break
        return found

    def _take_answer(self, assignment: Assignment, places: dict[TopicPartition, int], answer: Answer) -> tuple[int, bool]:
        """Keep what an answer brought until it is taken; how many bytes of records there are, and whether there is nothing else to do."""
        size, fine, news = 0, True, False
        for part in answer.parts:
            tp = TopicPartition(part.topic, part.partition)
            state = assignment.state_value(tp)
            if state is None or state._position is None or state._position != places.get(tp) or tp in self._records:
                continue  # another position was asked for meanwhile, or another broker has answered
            if part.error_code:
                fine = False
                news = self._take_error(tp, state, part) or news
                continue
            state.highwater, state.lso = part.highwater, part.last_stable
            if part.records:
                news = self._keep(assignment, tp, state, part) or news
                size += len(part.records)
        if news:
            self._tell_waiters()
        return size, fine

    def _tell_waiters(self) -> None:
        for waiter in list(self._fetch_waiters):
            self._notify(waiter)

    @property
    def brought(self) -> int:
        """How many records that were brought wait to be taken."""
        found = [result._partition_records for result in self._records.values() if isinstance(result, Result)]
        found += [records for _assignment, records in self._early.values()]
        return sum([len(records) for records in found if isinstance(records, AppendedRecords)])

    def release(self) -> None:
        """Give out what has gathered."""
        if self._gathering:
            self._gathering.clear()
            self._tell_waiters()

    def keep_appended(self, appended: Appended, *, gather: bool) -> bool:
        """Keep what this process appended, if it is what comes next; whether nothing that comes before it has to be fetched.

        Args:
            appended: It.
            gather: Whether it is given out with what comes behind it, once it is released.
        """
        subscription = self._subscriptions.subscription
        assignment = subscription.assignment if subscription else None
        state = assignment.state_value(appended.tp) if assignment else None
        if state is None or state._position is None or self.brought >= MOST_BROUGHT:
            self._early.pop(appended.tp, None)
            return False
        waiting = self._records.get(appended.tp)
        if waiting is None:
            if state._position > appended.offset:
                return True
            if state._position < appended.offset:
                self._keep_early(assignment, appended)
                return False
            self._give(assignment, appended.tp, AppendedRecords(appended))
            if gather:
                self._gathering.add(appended.tp)
            else:
                self._tell_waiters()
            return True
        records = waiting._partition_records if isinstance(waiting, Result) else None
        if not isinstance(records, AppendedRecords):
            self._keep_early(assignment, appended)
            return False
        if records.end != appended.offset:
            return False
        records.add(appended)
        return True

    def _give(self, assignment: Assignment, tp: TopicPartition, records: Records | AppendedRecords) -> None:
        self._records[tp] = Result(tp, partition_records=records, assignment=assignment, backoff=self._prefetch_backoff)

    def _keep_early(self, assignment: Assignment, appended: Appended) -> None:
        """Keep what was appended until what stands before it has been taken."""
        of, early = self._early.get(appended.tp, (None, None))
        if early is not None and of is assignment and early.end == appended.offset:
            early.add(appended)
        else:
            self._early[appended.tp] = (assignment, AppendedRecords(appended))

    def _take_early(self, tp: TopicPartition) -> bool:
        """Go on with what was appended, if it is what comes behind all that was taken; if it is not, it is fetched. Whether it is."""
        assignment, early = self._early.pop(tp, (None, None))
        if assignment is None or early is None or not assignment.active:
            return False
        state = assignment.state_value(tp)
        if state is None or state._position is None or not early.skip_to(state._position):
            return False
        self._give(assignment, tp, early)
        return True

    def _keep(self, assignment: Assignment, tp: TopicPartition, state: TopicPartitionState, part: Part) -> bool:
        """Keep a partition's records; whether there are any."""
        records = MemoryRecords(part.records)
        if records.has_next():
            how = self._key_deserializer, self._value_deserializer, self._check_crcs, self._isolation_level
            self._give(assignment, tp, Records(tp, records, part.aborted, state._position, *how))
            return True
        if not records.size_in_bytes():
            return False
        size = self._max_partition_fetch_bytes
        error = errors.RecordTooLargeError(f"the record at {tp} offset {state._position} is larger than a fetch of {size} bytes", tp)
        self._set_error(tp, error)
        state.consumed_to(state._position + 1)
        return True

    def _take_error(self, tp: TopicPartition, state: TopicPartitionState, part: Part) -> bool:
        """Do about an error what aiokafka does; whether somebody has to be told."""
        kind = errors.for_code(part.error_code)
        if kind in {errors.NotLeaderForPartitionError, errors.UnknownTopicOrPartitionError}:
            self._client.force_metadata_update()
        elif kind is errors.OffsetOutOfRangeError:
            log.info("offset %s is out of range for partition %s", state._position, tp)
            if self._default_reset_strategy == theirs.OffsetResetStrategy.NONE:
                self._set_error(tp, errors.OffsetOutOfRangeError({tp: state._position}))
                return True
            state.await_reset(self._default_reset_strategy)
        elif kind is errors.TopicAuthorizationFailedError:
            self._set_error(tp, errors.TopicAuthorizationFailedError(tp.topic))
            return True
        else:
            log.warning("fetching %s: %s", tp, kind.__name__)
        return False
