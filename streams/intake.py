"""Intake: from source topics to the student log.

Validates, maps to an activity, finds the student, tells repeats apart.

Every source record ends in exactly one place: an activity in the student log, the dead letters (byte for byte, with the
reason), or nowhere if it is not for us (counted with its reason). Sends are delivered before the batch is acknowledged,
and each log record carries the source position, so that an intake that died in between does not count twice.
"""

import hashlib
import logging
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from aiokafka.partitioner import DefaultPartitioner

from schemas import log
from schemas.cloudevents import find, headers, number
from schemas.dead_letters import DeadLetter
from schemas.rows import ORDINAL
from streams import metrics
from streams.append_time import first_recorded_at, recorded_at
from streams.producer import Message, Producer, delivered
from streams.role import DeadLetterBox, Handler
from streams.roster_view import RosterView
from streams.settings import Settings
from streams.sources import Adapter, NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.registry import sources

logger = logging.getLogger(__name__)

SKEW = 300.0
"""A time stamp may be so many seconds ahead of the broker's append time; further ahead it is unusable."""

_OLDEST = 631152000.0  # 1990-01-01: before it no civil day is laid out
LARGEST = 1024 * 1024

_partition_of = DefaultPartitioner()


def partition_of(key: bytes, partitions: int) -> int:
    """Return a student's partition: Kafka's default (murmur2), so that any producer of the world agrees."""
    numbers = list(range(partitions))
    return int(_partition_of(key, numbers, numbers))


class Intake(Handler):
    """Turns batches of source records into activities."""

    def __init__(self, settings: Settings, producer: Producer, letters: DeadLetterBox, roster: RosterView) -> None:
        """Take what it works with; all of it is already started."""
        self._settings = settings
        self._topics = settings.topics
        self._log = self._topics.student_log.name
        self._producer = producer
        self._letters = letters
        self._roster = roster
        self._sources = sources(Options())
        key = settings.hash_key.get_secret_value() if settings.hash_key else ""
        self._hash = hashlib.blake2b(key=hashlib.sha256(key.encode()).digest(), digest_size=8)

    async def handle(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        """Deal with one batch of one source partition; returns when all of it is where it belongs.

        Raises:
            DeliveryError: the broker did not take everything; the batch must be read again.
        """
        began = time.perf_counter()
        source = self._topics.source_of(topic)
        read = self._sources[source].read
        found = [self._read(read, record) for record in records]
        if any(isinstance(seen, Seen) and seen.person.encode() not in self._roster.known for seen in found):
            await self._roster.catch_up(self._settings.roster_patience)
        out: defaultdict[int, list[Message]] = defaultdict(list)
        letters: list[DeadLetter] = []
        for record, seen in zip(records, found, strict=True):
            outcome = self._judge(record, seen)
            if isinstance(outcome, str):
                letters.append(
                    DeadLetter(
                        topic,
                        partition,
                        record.offset,
                        record.timestamp,
                        "intake",
                        outcome,
                        record.key,
                        record.value,
                        list(record.headers),
                    )
                )
            elif outcome is not None:
                key, activity = self._activity(record, outcome, source, f"{topic}-{partition}")
                event_id = f"{topic}-{partition}/{record.offset}"
                out[partition_of(key, self._settings.partitions)].append(
                    (key, activity, headers("activity", "/leap/intake", event_id))
                )
        under_way = [
            batch
            for number, messages in out.items()
            for batch in await self._producer.send(self._log, number, messages)
        ]
        if letters:
            await self._letters.put(letters)
        await delivered(under_way)
        sent = sum(map(len, out.values()))
        metrics.source_records.labels(source, "sent").inc(sent)
        metrics.source_records.labels(source, "dead_letter").inc(len(letters))
        metrics.source_records.labels(source, "ignored").inc(len(records) - sent - len(letters))
        metrics.batch_seconds.labels("intake", "all").observe(time.perf_counter() - began)

    def _read(self, read: Adapter, record: Any) -> Outcome:
        if record.value is None:
            return Unusable("tombstone: a source record has no value")
        if len(record.value) > LARGEST:
            return Unusable(f"value of {len(record.value)} bytes: at most {LARGEST}")
        try:
            return read(record.value)
        except Exception as error:
            logger.exception("an adapter failed")
            return Unusable(f"adapter failed: {type(error).__name__}")

    def _judge(self, record: Any, seen: Outcome) -> Seen | str | None:
        """Return what is to be counted, the reason of a dead letter, or None for what is not for us."""
        if isinstance(seen, Unusable):
            return seen.reason
        if isinstance(seen, NotForUs):
            return None
        if seen.at > first_recorded_at(record, simulated=self._settings.simulated_clock) + SKEW:
            return "at: in the future"
        if seen.at < _OLDEST:
            return "at: before 1990"
        if seen.person.encode() not in self._roster.known:
            return "student: unknown"
        return seen

    def _activity(self, record: Any, seen: Seen, source: str, position: str) -> tuple[bytes, bytes]:
        # Equal rows of one file are as many events; the same file sent twice has the same ones.
        ordinal = number(find(record.headers, ORDINAL))
        event = f"{seen.event}#{ordinal}" if ordinal else seen.event
        digest = self._hash.copy()
        digest.update(f"{source}\0{event}".encode())
        return seen.person.encode(), log.encode(
            log.ActivityRecord(
                activity=seen.activity,
                at=seen.at,
                position=log.Position(position, record.offset),
                recorded_at=recorded_at(record, simulated=self._settings.simulated_clock),
                count=seen.count,
                once=int.from_bytes(digest.digest(), "little") >> 1,
                taken_at=record.timestamp / 1000.0 if self._settings.simulated_clock else None,
            )
        )
