"""The engagement agent.

Owns partitions of the student log, decides (:mod:`agents.decide`) and sees to the order of effects.

A batch: decode; decide on copies; **1** outputs delivered, **2** changelog delivered, **3** rows put back, **4**
acknowledged (by the caller, when :meth:`Engagement.handle` returns). A failure in 1 or 2 ends the process without
acknowledging.
"""

import asyncio
import contextlib
import logging
import time
from typing import Any

import msgspec
import numpy as np
from aiokafka import TopicPartition

from agents.decide import decide
from agents.draft import Draft
from agents.items import Items, Rejected
from agents.partition import Context, Partition, PolicyMismatchError
from schemas import log
from schemas.dead_letters import DeadLetter
from schemas.reasons import why
from streams import metrics
from streams.column_table import Changelog
from streams.producer import Producer, delivered
from streams.records import Records
from streams.role import DeadLetterBox, Handler, Health, end_process, exit_code
from streams.settings import Settings

logger = logging.getLogger(__name__)


_LARGE = 1_000
"""Records of a batch from which on it is a large one; so is every one that closes a day."""
_AT_ONCE = 4
"""Large batches that are in hand at once: each holds copies of its students' rows and all that is said of them."""


class Owned:
    """A partition that this worker owns: its columns and its changelog."""

    def __init__(self, partition: Partition, changelog: Changelog) -> None:
        """Take both, not yet recovered."""
        self.partition = partition
        self.changelog = changelog
        self.lock = asyncio.Lock()

    async def recover(self) -> None:
        """Read the state back; rows that a zombie may have undone on the topic are written again."""
        began = time.perf_counter()
        latest = await self.changelog.recover()
        due = self.partition.load(latest.values())
        again = latest.again() + due
        if again:
            logger.warning("partition %d: %d records are written again", self.partition.number, len(again))
            await self.changelog.write(again)
        seconds = time.perf_counter() - began
        metrics.recovery_seconds.observe(seconds)
        logger.info(
            "partition %d: recovered %d students from %d records in %.1f s",
            self.partition.number,
            len(self.partition.ids),
            latest.records,
            seconds,
        )


class Engagement(Handler):
    """All partitions of one worker."""

    def __init__(
        self, settings: Settings, context: Context, producer: Producer, letters: DeadLetterBox, health: Health
    ) -> None:
        """Take what it works with; all of it is already started."""
        self._settings = settings
        self._context = context
        self._producer = producer
        self._letters = letters
        self._health = health
        self._topics = settings.topics
        self._owned: dict[int, asyncio.Task[Owned]] = {}
        self._generation = -1
        self._large, self._closing = asyncio.Semaphore(_AT_ONCE), asyncio.Lock()

    async def assigned(self, partitions: set[TopicPartition], generation: int) -> bool:
        """Take partitions over.

        Columns are kept only over consecutive generations: in a missed one somebody else may have written.
        """
        numbers = {tp.partition for tp in partitions}
        keep = numbers if generation == self._generation + 1 else set()
        for number in [n for n in self._owned if n not in keep]:
            self._owned.pop(number).cancel()
            _untell(number)
        self._generation = generation
        for number in sorted(numbers - set(self._owned)):
            self._owned[number] = asyncio.create_task(self._take_over(number), name=f"recovery-{number}")
        self._health.set_ready(False, f"recovering {len(numbers)} partitions")
        self._ready_watch = asyncio.create_task(self._when_ready(set(numbers)))
        return False

    async def _when_ready(self, numbers: set[int]) -> None:
        await asyncio.gather(*(self._owned[n] for n in numbers if n in self._owned), return_exceptions=True)
        if numbers == set(self._owned):
            self._health.set_ready(True, f"{len(numbers)} partitions")

    async def _take_over(self, number: int) -> Owned:
        owned = Owned(Partition(number, self._context), Changelog(self._settings, self._producer, number))
        try:
            await owned.recover()
        except Exception as error:
            logger.critical("recovery failed", exc_info=error)
            end_process(exit_code(error), f"engagement: recovery of partition {number}: {error!r}")
        self._health.progress()
        self._tell(owned.partition)
        return owned

    async def handle(self, _topic: str, number: int, records: Records) -> None:
        """Deal with one batch of one partition; returns when its effects are delivered and in the columns.

        Raises:
            DeliveryError, ZombieError: the batch must be read again, by a fresh process.
            PolicyMismatchError: this worker's policies are not those of the log.
        """
        owned = await self._owned[number]
        async with owned.lock:
            batch, rejected = self._decode(records)
            large = len(batch) >= _LARGE or log.DayClosed in batch.kinds
            async with self._large if large else contextlib.nullcontext():
                await self._decide(owned, records, batch, rejected)

    async def mark(self) -> None:
        """Write a marker into each owned partition's changelog."""
        for task in list(self._owned.values()):
            owned = await task
            async with owned.lock:
                await owned.changelog.mark()

    def _decode(self, records: Records) -> tuple[Items, list[Rejected]]:
        """Decode a batch in one call; if that fails, one by one, so that the culprit alone is rejected."""
        decoded: list[Any] | None = None if None in records.values else log.decode_many(records.values)  # type: ignore[arg-type]
        if decoded is not None:
            return Items(records.offsets, records.keys, self._appended(records, decoded), decoded), []
        rejected: list[Rejected] = []
        decoded, good = [], []
        for i, value in enumerate(records.values):
            try:
                decoded.append(log.decode(value))
                good.append(i)
            except msgspec.DecodeError as error:
                rejected.append(Rejected(int(records.offsets[i]), why(error)))
        keys = [records.keys[i] for i in good]
        return Items(records.offsets[good], keys, self._appended(records, decoded, good), decoded), rejected

    def _appended(self, records: Records, decoded: list[Any], chosen: Any = slice(None)) -> Any:
        """Return when the broker took these records, in seconds; under a simulated clock what that said."""
        if self._settings.simulated_clock:
            return np.array([record.recorded_at for record in decoded], np.float64)
        return records.timestamps[chosen] / 1000.0

    async def _decide(self, owned: Owned, records: Records, batch: Items, rejected: list[Rejected]) -> None:
        """Decide a batch and deliver it; if the core raises, step by step, so that the culprit alone is rejected.

        A step doubles after each that went well and halves until the culprit is alone: any number of culprits costs
        no more than a few times what the batch would. Each step is delivered and committed, as any cut of the log is.
        """
        partition = owned.partition
        first, size = 0, len(batch)
        while True:
            try:
                draft = await self._draft(partition, batch[first : first + size])
            except PolicyMismatchError:
                raise
            except Exception as error:
                if size > 1:
                    size //= 2
                else:
                    logger.exception("partition %d: the core failed on a record", partition.number)
                    rejected = [*rejected, Rejected(int(batch.offsets[first]), f"core failed: {type(error).__name__}")]
                    first += 1
                    size = min(1, len(batch) - first)
                continue
            await self._deliver(owned, draft, records, rejected)
            rejected = []
            first, size = first + size, min(2 * size, len(batch) - first - size)
            if first >= len(batch):
                return

    async def _draft(self, partition: Partition, batch: Items) -> Draft:
        """Work a batch out; if a day closes, in a thread.

        It works on copies, and may take a second: meanwhile the other partitions go on. Not several at once: that would
        be no faster, and each holds a record of everybody.
        """
        if log.DayClosed not in batch.kinds:
            return decide(partition, batch)
        async with self._closing:
            return await asyncio.to_thread(decide, partition, batch)

    async def _deliver(self, owned: Owned, draft: Draft, records: Records, rejected: list[Rejected]) -> None:
        effects, number = draft.effects, owned.partition.number
        topics = self._topics
        began = time.perf_counter()
        under_way = []
        for topic, messages in (
            (topics.days, effects.days),
            (topics.ratings, effects.ratings),
            (topics.alerts, effects.alerts),
        ):
            if messages:
                under_way += await self._producer.send(topic.name, number, messages)
        if rejected or effects.rejected:
            await self._letters.put(self._dead(number, records, rejected + effects.rejected))
        await delivered(under_way)
        await owned.changelog.write(effects.changelog)
        draft.commit()
        metrics.batch_seconds.labels("engagement", "deliver").observe(time.perf_counter() - began)
        self._count(owned.partition, effects)

    def _dead(self, number: int, records: Records, rejected: list[Rejected]) -> list[DeadLetter]:
        by_offset = {record.offset: record for record in records}
        return [
            DeadLetter(
                self._topics.student_log.name,
                number,
                offset,
                by_offset[offset].timestamp,
                "engagement",
                reason,
                by_offset[offset].key,
                by_offset[offset].value,
                list(by_offset[offset].headers),
            )
            for offset, reason in sorted(rejected)
        ]

    def _count(self, partition: Partition, effects: Any) -> None:
        for outcome, n in (
            ("counted", effects.activities),
            ("repeated", effects.repeated),
            ("fenced", effects.fenced),
            ("late", effects.late - effects.late_beyond),
            ("late_beyond", effects.late_beyond),
            ("retracted", effects.retracted),
        ):
            if n:
                metrics.activities.labels(outcome).inc(n)
        metrics.rating_changes.inc(len(effects.ratings))
        metrics.alerts.inc(len(effects.alerts))
        metrics.days_closed.inc(len(effects.closed))
        self._tell(partition)

    def _tell(self, partition: Partition) -> None:
        """Tell the size of a partition, unless another process has it by now."""
        number, meta = partition.number, partition.meta
        if number in self._owned:
            metrics.students.labels(number).set(int(partition.table["alive"].sum()))
            metrics.once_keys.labels(number).set(len(partition.once))
            metrics.evidence.labels(number).set(len(partition.evidence))
            if meta is not None and meta.closed:
                metrics.last_closed_day.labels(number).set(self._context.civil.end_of(meta.anchor))


def _untell(number: int) -> None:
    """Tell nothing more of a partition that has gone: whoever has it does, and what this process knows grows old."""
    for gauge in (metrics.students, metrics.once_keys, metrics.evidence, metrics.last_closed_day):
        gauge.remove(number)
