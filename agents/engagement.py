"""The engagement agent.

Owns partitions of the student log, decides (:mod:`agents.decide`) and sees to the order of effects.

A batch: decode; decide on copies; **1** outputs delivered, **2** changelog delivered, **3** rows put back, **4**
acknowledged (by the caller, when :meth:`Engagement.handle` returns). A failure in 1 or 2 ends the process without
acknowledging.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from aiokafka import TopicPartition

from agents.decide import Context, Draft, Item, Partition, PolicyMismatchError, Rejected
from schemas import log
from schemas.dead_letters import DeadLetter
from streams import metrics
from streams.column_table import Changelog
from streams.producer import Producer, delivered
from streams.role import EXIT_SOFTWARE, DeadLetterBox, Handler, Health, end_process
from streams.settings import Settings

logger = logging.getLogger(__name__)


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
        self._closing = asyncio.Lock()

    async def assigned(self, partitions: set[TopicPartition], generation: int) -> bool:
        """Take partitions over.

        Columns are kept only over consecutive generations: in a missed one somebody else may have written.
        """
        numbers = {tp.partition for tp in partitions}
        keep = numbers if generation == self._generation + 1 else set()
        for number in [n for n in self._owned if n not in keep]:
            self._owned.pop(number).cancel()
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
            end_process(
                getattr(error, "exit_code", EXIT_SOFTWARE), f"engagement: recovery of partition {number}: {error!r}"
            )
        self._health.progress()
        return owned

    async def handle(self, _topic: str, number: int, records: list[Any]) -> None:
        """Deal with one batch of one partition; returns when its effects are delivered and in the columns.

        Raises:
            DeliveryError, ZombieError: the batch must be read again, by a fresh process.
            PolicyMismatchError: this worker's policies are not those of the log.
        """
        owned = await self._owned[number]
        async with owned.lock:
            items, rejected = self._decode(records)
            if any(type(item[3]) is log.DayClosed for item in items):
                # It works on copies, and may take a second: meanwhile the other partitions go on. Not several at once:
                # that would be no faster, and each holds a record of everybody.
                async with self._closing:
                    draft, culprits = await asyncio.to_thread(self._decide, owned.partition, items)
            else:
                draft, culprits = self._decide(owned.partition, items)
            await self._deliver(owned, draft, records, rejected + culprits)

    async def mark(self) -> None:
        """Write a marker into each owned partition's changelog."""
        for task in list(self._owned.values()):
            owned = await task
            async with owned.lock:
                await owned.changelog.mark()

    def _decode(self, records: Sequence[Any]) -> tuple[list[Any], list[Rejected]]:
        """Decode a batch in one call; if that fails, one by one, so that the culprit alone is rejected."""
        simulated = self._settings.simulated_clock
        try:
            array = b"[" + b",".join([r.value for r in records]) + b"]"
            decoded: list[log.Record | None] = list(log.decode_many(array))
        except (msgspec.DecodeError, TypeError, UnicodeDecodeError):
            decoded = []
        rejected: list[Rejected] = []
        if len(decoded) != len(records):
            decoded = []
            for record in records:
                try:
                    decoded.append(log.decode(record.value))
                except (msgspec.DecodeError, TypeError, UnicodeDecodeError) as error:
                    decoded.append(None)
                    rejected.append(Rejected(record.offset, _why(error)))
        offsets, keys = [r.offset for r in records], [r.key for r in records]
        # Only a close is judged by when the broker took it.
        appended = [
            0.0 if type(d) is log.ActivityRecord or d is None else d.recorded_at if simulated else r.timestamp / 1000.0
            for r, d in zip(records, decoded, strict=True)
        ]
        items = list(zip(offsets, keys, appended, decoded, strict=True))
        if rejected:
            items = [item for item in items if item[3] is not None]
        return items, rejected

    def _decide(self, partition: Partition, items: list[Item]) -> tuple[Draft, list[Rejected]]:
        """Decide a batch; if the core raises, find the records that make it raise and decide without them."""
        try:
            return partition.decide(items), []
        except PolicyMismatchError:
            raise
        except Exception:
            logger.exception("partition %d: the core failed on a batch; looking for the culprit", partition.number)
        culprits: list[Rejected] = []
        good = items
        while True:
            bad = _first_bad(partition, good)
            if bad is None:
                return partition.decide(good), culprits
            index, error = bad
            culprits.append(Rejected(good[index][0], f"core failed: {type(error).__name__}"))
            good = good[:index] + good[index + 1 :]

    async def _deliver(self, owned: Owned, draft: Draft, records: Sequence[Any], rejected: list[Rejected]) -> None:
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

    def _dead(self, number: int, records: Sequence[Any], rejected: list[Rejected]) -> list[DeadLetter]:
        by_offset = {record.offset: record for record in records}
        return [
            DeadLetter(
                self._topics.student_log.name,
                number,
                offset,
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
        ):
            if n:
                metrics.activities.labels(outcome).inc(n)
        metrics.rating_changes.inc(len(effects.ratings))
        metrics.alerts.inc(len(effects.alerts))
        metrics.students.labels(partition.number).set(int(partition.table["alive"].sum()))
        metrics.once_keys.labels(partition.number).set(len(partition.once))
        if effects.closed:
            metrics.days_closed.inc(len(effects.closed))
            metrics.last_closed_day.labels(partition.number).set(self._context.civil.end_of(effects.closed[-1]))


def _first_bad(partition: Partition, items: list[Item]) -> tuple[int, Exception] | None:
    """Return the index of the first record that makes the core fail in its place, and the failure (by bisection)."""
    low, high, error = 0, len(items), None
    try:
        partition.decide(items)
    except PolicyMismatchError:
        raise
    except Exception as failure:
        error = failure
    if error is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        try:
            partition.decide(items[:middle])
        except Exception as failure:
            high, error = middle, failure
        else:
            low = middle
    return high - 1, error


def _why(error: Exception) -> str:
    """Say why a log record cannot be decoded, without quoting it."""
    text = str(error)
    return text if isinstance(error, msgspec.ValidationError) else f"not a record: {type(error).__name__}"
