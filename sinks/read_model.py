"""The sink of the read model: follows engagement's four topics and writes them to Redis.

Where it is in Kafka stands in Redis, beside the data (:mod:`sinks.store` says why that can be relied on). What is
committed to Kafka shows lag and nothing else. A batch's step is taken only from the progress this process knows; if
Redis has another one, the sink goes to what Redis says: back after a flush or a fall to an older copy, or to where
another sink has brought it. Once a second it looks without having anything to write.

A rebalance never waits for Redis: nothing of ours runs in it. A batch in hand ends when it can, or is given up when it
fails; written late it does no harm, and its step fails once the new owner has taken one.
"""

import asyncio
import contextlib
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from sinks.dead_letters import DeadLetters
from sinks.lanes import Lanes, Taken
from sinks.records import STAGE, Batch, Reader
from sinks.store import RedisDownError, Store, Written, connect
from streams import metrics
from streams.lag import Lag
from streams.producer import Producer
from streams.reader import METADATA_AGE_MS, consumer, keep_fetches_apart
from streams.settings import Settings

logger = logging.getLogger(__name__)

_T = TypeVar("_T")
_AT_ONCE = 5_000  # records a batch: a few hundred milliseconds
_AHEAD = 20_000  # records a fetch: what stands behind a close is found within a few of them
_LOOK_EVERY = 1.0  # seconds
_UNTAKEN = 2.0
"""Seconds for which records may stay with aiokafka before it asks for those of the other partitions alone.

Its own number is 0.1. A write may take longer, and then such a fetch stands at the broker until one of the others has
something, for half a second if they are quiet, while those that are busy cannot be asked for: more comes together, the
next write takes longer, and so on by itself (at 5,000 events a second the median was 794 ms then, and else 264).
"""
_LONGEST_PAUSE = 2.0  # seconds between tries while Redis is down
_POLL_INTERVAL_MS = 24 * 3600 * 1000


class Health(Protocol):
    """What the process answers about itself. All of it is called from the event loop and returns at once."""

    def set_ready(self, ready: bool, detail: str) -> None:
        """Partitions are assigned and Redis answers, or not."""

    def progress(self) -> None:
        """Something was written, or waits for Redis as it should."""

    def behind(self, *, behind: bool) -> None:
        """Whether there are records that are not written."""


class ReadModel:
    """One process's share of the sink."""

    def __init__(self, settings: Settings, health: Health) -> None:
        """Prepare; nothing is connected yet."""
        self._settings = settings
        self._health = health
        self._reader = Reader(settings.topics)
        self._positions: dict[TopicPartition, str] = {}
        """The progress of each partition as this process knows it from Redis."""
        self._ends: dict[TopicPartition, int] = {}
        """The end of each partition that is read again from its start, until it is reached: those rows are no news."""
        self._done: dict[TopicPartition, int] = {}
        self._lag = Lag("readmodel")
        self._placed: object = None
        """The assignment (aiokafka makes a new one in every rebalance) whose partitions stand where Redis is."""
        self._looked = -math.inf
        self._lanes = Lanes(settings.topics.engagement.name)
        self._closed = asyncio.Event()
        """Whether figures may be due."""
        self._ahead: dict[TopicPartition, str] = {}
        """The last batch, by its id, of each partition of which more is written than its progress says."""

    async def run(self) -> None:
        """Follow the topics until cancelled.

        Raises:
            CodecError: a state record that this release does not know.
            RedisRefusedError: wrong credentials, or a user without the rights.
            DeliveryError: a record that cannot be read could not be put into the dead letters.
            aiokafka.errors.KafkaError: no broker answers at the start, or it refuses us.
            redis.exceptions.ResponseError: one of our keys has another type; somebody else wrote it.
        """
        settings = self._settings
        redis = connect(settings, "readmodel")
        self._store = Store(settings, redis)
        self._kafka: AIOKafkaConsumer = consumer(
            settings,
            "readmodel",
            group_id=settings.group("readmodel"),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.heartbeat * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout * 1000),
            # Not polling is how we wait for Redis, and must not cost the membership; the watchdog knows who is stuck.
            max_poll_interval_ms=_POLL_INTERVAL_MS,
            metadata_max_age_ms=METADATA_AGE_MS,
        )
        try:
            await self._kafka.start()
            self._kafka._fetcher._prefetch_backoff = _UNTAKEN
            keep_fetches_apart(self._kafka)
            self._kafka.subscribe(self._reader.topics)
            committing, publishing = asyncio.create_task(self._commit()), asyncio.create_task(self._publish())
            try:
                while True:
                    await self._step()
                    if publishing.done():
                        publishing.result()
                    _end_if_cancelled()
            finally:
                committing.cancel()
                publishing.cancel()
                self._health.set_ready(False, "stopped")
        finally:
            await self._kafka.stop()
            await redis.aclose()

    @property
    def _assignment(self) -> object:
        # Compared with this one, and not counted by a rebalance listener: a new assignment is there, and may be fetched
        # from what was committed, before its listener is called.
        return self._kafka._subscription.subscription.assignment

    async def _step(self) -> None:
        """Place what is assigned, or look whether Redis still has our progress, or write what there is."""
        # aiokafka stops with an error until somebody has taken it, and without partitions nothing is fetched here.
        self._kafka._coordinator.check_errors()
        if self._placed is None or self._placed is not self._assignment:
            await self._place()
        elif time.monotonic() - self._looked > _LOOK_EVERY:
            await self._look()
        elif not self._positions:
            await asyncio.sleep(0.1)
        else:
            await self._fetch()
            # After a rebalance these may stand anywhere: what counts is where Redis is.
            if self._lanes and self._placed is self._assignment:
                await self._write(self._lanes.take(self._settings.poll_records or _AT_ONCE))

    async def _fetch(self) -> None:
        """Fetch the next records; if there is something to write already, only those that are here."""
        wanted = [tp for tp in self._positions if not self._lanes.full(tp)]
        if not wanted:
            return
        fetched = await self._kafka.getmany(
            *wanted, timeout_ms=0 if self._lanes else 200, max_records=self._settings.poll_records or _AHEAD
        )
        for tp, records in fetched.items():
            self._lanes.put(tp, records)

    async def _place(self) -> None:
        """Go to where Redis says the assigned partitions are."""
        assignment = self._assignment
        if assignment is None:
            # A group that never gives us anything stands still: the watchdog should know.
            self._health.behind(behind=True)
            await asyncio.sleep(0.1)
            return
        assigned = sorted(self._kafka.assignment())
        held = await self._persist(lambda: self._store.positions(assigned))
        if held is None or assignment is not self._assignment:
            return
        self._positions = {}
        self._lanes.forget()
        self._ahead.clear()
        for tp, position in zip(assigned, held, strict=True):
            self._seek(tp, position)
        self._placed = assignment
        # Who had them before may have ended between the last close and the figures.
        self._closed.set()
        self._health.set_ready(True, f"{len(assigned)} partitions")

    def _seek(self, tp: TopicPartition, position: str) -> None:
        offset = self._store.offset_of(position)
        self._positions[tp] = position
        self._done[tp] = offset or 0
        if offset is None:
            self._ends[tp] = -1
        self._lanes.forget(tp)
        self._ahead.pop(tp, None)
        self._kafka.seek(tp, offset or 0)

    async def _look(self) -> None:
        """See whether Redis still has our progress."""
        mine = list(self._positions)
        held = await self._persist(lambda: self._store.positions(mine))
        self._looked = time.monotonic()
        if held is not None and self._placed is self._assignment:
            self._follow(dict(zip(mine, held, strict=True)))
            self._measure()

    def _follow(self, held: Mapping[TopicPartition, str]) -> None:
        """Go to Redis' progress where it is not ours."""
        for tp, position in held.items():
            if position == self._positions[tp]:
                continue
            ours, its = (self._store.offset_of(p) for p in (self._positions[tp], position))
            if its is None or (ours is not None and its < ours):
                logger.warning("%s-%d: Redis is at %s, not at %s: going back", *tp, position or "nothing", ours)
                metrics.redis_rewinds.inc()
                self._ends[tp] = -1
            self._seek(tp, position)

    async def _write(self, taken: Taken) -> None:
        """Write a batch and step the progress of its partitions."""
        began = time.perf_counter()
        batch = self._reader.read(taken.records.items())
        await self._put_aside(batch)
        ends = {tp: end for tp, end in taken.ends.items() if end > self._done[tp]}
        steps = {tp: (self._positions[tp], self._store.position(end)) for tp, end in ends.items()}

        async def attempt() -> tuple[Written, set[TopicPartition]]:
            written = await self._store.write(batch, list(taken.records))
            fallen = {tp for tp, last in self._ahead.items() if written.before.get(tp, last) != last}
            self._ahead |= dict.fromkeys(taken.records, written.attempt)
            sound = {tp: step for tp, step in steps.items() if tp not in fallen}
            done = await self._store.claim(written.attempt, sound)
            return written, fallen | {tp for tp, step in zip(sound, done, strict=True) if not step}

        done = await self._persist(attempt)
        if done is None:
            return
        written, failed = done
        if batch.closed:
            self._closed.set()
        self._count(taken.records, ends, written)
        metrics.batch_seconds.labels("readmodel", "write").observe(time.perf_counter() - began)
        if self._placed is not self._assignment:
            return
        for tp in steps.keys() - failed:
            self._positions[tp] = steps[tp][1]
            self._done[tp] = ends[tp]
        for tp in [tp for tp in self._ahead if not self._lanes.waits(tp)]:
            del self._ahead[tp]
        if failed:
            # The same again, unless the look finds that Redis is elsewhere.
            for tp in failed:
                self._seek(tp, self._positions[tp])
            await self._look()
        else:
            self._health.progress()

    async def _put_aside(self, batch: Batch) -> None:
        """Put what cannot be read into the dead letters. It never happens, so the producer is made for it."""
        if not batch.letters:
            return
        producer = Producer(self._settings, STAGE)
        await producer.start()
        try:
            await DeadLetters(producer, self._settings).put(batch.letters)
        finally:
            await producer.stop()

    async def _persist(self, do: Callable[[], Awaitable[_T]]) -> _T | None:
        """Do something with Redis until it works; None if a rebalance came while it did not."""
        assignment = self._assignment
        pause = 0.1
        while True:
            try:
                done = await do()
            except RedisDownError as error:
                metrics.redis_up.set(0)
                logger.warning("waiting for Redis: %s", error)
                self._health.set_ready(False, "waiting for Redis")
                self._health.progress()
                await self._measure_waiting()
            else:
                metrics.redis_up.set(1)
                if pause > 0.1:
                    self._health.set_ready(True, f"{len(self._positions)} partitions")
                return done
            _end_if_cancelled()
            if assignment is not self._assignment:
                return None
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - many sinks must not come back at once
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _count(self, records: Iterable[TopicPartition], ends: Mapping[TopicPartition, int], written: Written) -> None:
        metrics.redis_writes.labels("applied").inc(written.applied)
        metrics.redis_writes.labels("stale").inc(written.stale)
        if not any(tp in self._ends and tp.topic == self._settings.topics.engagement.name for tp in records):
            now = time.time()
            for row in written.news:
                metrics.event_to_redis_seconds.observe(now - row.taken_at)
        for tp, reached in ends.items():
            end = self._ends.get(tp)
            if end == -1:
                end = self._ends[tp] = self._kafka.highwater(tp) or 0
            if end is not None and reached >= end:
                del self._ends[tp]

    async def _measure_waiting(self) -> None:
        """Measure while Redis is away: nothing is fetched then, so no fetch says how far behind we get."""
        with contextlib.suppress(KafkaError, TimeoutError):
            async with asyncio.timeout(_LONGEST_PAUSE):
                self._measure(await self._kafka.end_offsets(list(self._positions)))

    def _measure(self, ends: Mapping[TopicPartition, int] | None = None) -> None:
        """Tell how far behind we are; the ends are those that the last fetches told, unless given."""
        lags = {}
        for tp, done in self._done.items():
            if tp in self._positions:
                end = self._kafka.highwater(tp) if ends is None else ends.get(tp)
                lags[tp] = 0 if end is None else max(0, end - done)
        self._lag.tell(lags)
        self._health.behind(behind=any(lags.values()))

    async def _publish(self) -> None:
        """Publish figures after each close, beside the batches: no event should wait while everybody is counted."""
        while True:
            await self._closed.wait()
            self._closed.clear()
            try:
                day = await self._store.publish()
            except RedisDownError as error:
                logger.warning("figures wait for Redis: %s", error)
                self._closed.set()
                await asyncio.sleep(_LONGEST_PAUSE)
            else:
                if day is not None:
                    logger.info("the figures of %s are published", day)

    async def _commit(self) -> None:
        """Commit to Kafka what is written, so that its tools show our lag."""
        committed: dict[TopicPartition, int] = {}
        while True:
            await asyncio.sleep(self._settings.commit_interval)
            done = {tp: offset for tp, offset in self._done.items() if tp in self._positions}
            if done and done != committed and self._placed is self._assignment:
                with contextlib.suppress(KafkaError):
                    await self._kafka.commit(done)
                    committed = done


def _end_if_cancelled() -> None:
    """Raise the cancellation that a client library swallowed (measured: one in 324), or a SIGTERM would be lost."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
