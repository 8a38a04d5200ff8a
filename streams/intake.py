"""Intake: from source topics to the student log.

Validates, maps to an activity, finds the student, tells repeats apart.

Every source record ends in exactly one place: an activity in the student log, the dead letters (byte for byte, with the
reason), the waiting room while nobody knows whose it is (:mod:`streams.waiting_room`), or nowhere if it is not for us
(counted with its reason). Sends are delivered before the batch is acknowledged, what is not counted before what is, and
each log record carries the source position, so that an intake that died in between neither counts twice nor leaves out.
"""

import hashlib
import logging
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeGuard

from aiokafka.partitioner import murmur2

from schemas import log
from schemas.cloudevents import Headers, find, headers, number
from schemas.dead_letters import DeadLetter
from schemas.rows import ORDINAL
from schemas.unmatched import Waiting
from streams import metrics
from streams.append_time import first_recorded_at, recorded_at
from streams.identities import IdentityView
from streams.producer import Message, Producer, delivered
from streams.role import DeadLetterBox, Handler
from streams.roster_view import RosterView
from streams.settings import Settings
from streams.source_states import SourceStates
from streams.sources import NotForUs, Options, Outcome, Seen, Unusable
from streams.sources.registry import sources
from streams.timetable import Timetable

logger = logging.getLogger(__name__)

SKEW = 300.0
"""A time stamp may be so many seconds ahead of the broker's append time; further ahead it is unusable."""

_OLDEST = 631152000.0  # 1990-01-01: before it no civil day is laid out
_HOUR = 3600.0
_OUTSIDE = NotForUs("outside of the timetable")
LARGEST = 1024 * 1024
_STUDENTS = 100_000  # whose partition is remembered: murmur2 is plain Python


@lru_cache(_STUDENTS)
def partition_of(key: bytes, partitions: int) -> int:
    """Return a student's partition: Kafka's default (murmur2), so that any producer of the world agrees."""
    return int(murmur2(key) & 0x7FFFFFFF) % partitions


class Intake(Handler):
    """Turns batches of source records into activities."""

    def __init__(
        self,
        settings: Settings,
        producer: Producer,
        letters: DeadLetterBox,
        roster: RosterView,
        identities: IdentityView | None = None,
        timetable: Timetable | None = None,
        options: Options | None = None,
        states: SourceStates | None = None,
    ) -> None:
        """Take what it works with; all of it is already started.

        Without ``identities`` a person whom a source knows by its own key is unknown; without ``timetable`` there are
        no teaching events; without ``states`` no source ever pauses.
        """
        self._settings = settings
        self._topics = settings.topics
        self._log = self._topics.student_log.name
        self._producer = producer
        self._letters = letters
        self._roster = roster
        self._identities = identities
        self._timetable = Timetable() if timetable is None else timetable
        self._sources = sources(options or Options())
        self._states = states
        key = settings.hash_key.get_secret_value() if settings.hash_key else ""
        self._hash = hashlib.blake2b(key=hashlib.sha256(key.encode()).digest(), digest_size=8)

    async def handle(self, topic: str, partition: int, records: Sequence[Any]) -> None:
        """Deal with one batch of one source partition; returns when all of it is where it belongs.

        Raises:
            DeliveryError: the broker did not take everything; the batch must be read again.
        """
        began = time.perf_counter()
        source = self._topics.source_of(topic)
        state = None if self._states is None else self._states.of(source)
        found = [self.look(source, record.value) for record in records]
        students = self.students(source, found)
        if any(student is not None and student not in self._roster.known for student in students):
            await self._roster.catch_up(self._settings.roster_patience)
        out: defaultdict[int, list[Message]] = defaultdict(list)
        letters: list[DeadLetter] = []
        waiting: list[Message] = []
        for record, seen, student in zip(records, found, students, strict=True):
            outcome = self._judge(record, seen)
            if isinstance(outcome, Seen) and not self.known(student):
                if not self._sources[source].knows_students:
                    waiting.append(self._wait(topic, partition, record).message())
                    continue
                outcome = "student: unknown"
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
            elif outcome is not None and student is not None:
                position = log.Position(f"{topic}-{partition}", record.offset)
                at = recorded_at(record, simulated=self._settings.simulated_clock)
                message = self.message(student, outcome, source, position, at, record.timestamp, record.headers)
                out[partition_of(student, self._settings.partitions)].append(message)
        # What is not counted first. If this process dies with a part of the log delivered, whoever was unknown to it
        # may be known to who reads the batch again, and then engagement's fence is past their records.
        if waiting:
            await self._producer.deliver(
                self._topics.unmatched.name, partition % self._settings.source_partitions, waiting
            )
        if letters:
            await self._letters.put(letters)
        await delivered(
            [sent for place, messages in out.items() for sent in await self._producer.send(self._log, place, messages)]
        )
        sent = sum(map(len, out.values()))
        metrics.source_records.labels(source, "sent").inc(sent)
        metrics.source_records.labels(source, "dead_letter").inc(len(letters))
        metrics.source_records.labels(source, "waiting").inc(len(waiting))
        metrics.source_records.labels(source, "ignored").inc(len(records) - sent - len(waiting) - len(letters))
        for reason, n in Counter(seen.reason for seen in found if isinstance(seen, NotForUs)).items():
            metrics.source_ignored.labels(source, reason).inc(n)
        metrics.batch_seconds.labels("intake", "all").observe(time.perf_counter() - began)
        if self._states is not None:
            await self._states.judge(source, state, records, {letter.offset for letter in letters})

    def look(self, source: str, value: bytes | None) -> Outcome:
        """Return what a source record means."""
        if value is None:
            return Unusable("tombstone: a source record has no value")
        if len(value) > LARGEST:
            return Unusable(f"value of {len(value)} bytes: at most {LARGEST}")
        try:
            outcome = self._sources[source].read(value)
        except Exception as error:
            logger.exception("an adapter failed")
            return Unusable(f"adapter failed: {type(error).__name__}")
        if isinstance(outcome, Seen) and outcome.activity == "zoom" and outcome.venue is not None:
            # Webinars are also meetings of staff, and of students among themselves.
            return outcome if self._timetable.at(outcome.venue, outcome.at) else _OUTSIDE
        return outcome

    def students(self, source: str, found: Sequence[Outcome]) -> list[bytes | None]:
        """Return the student of each outcome; None where there is none, or nobody knows who it is."""
        if self._sources[source].knows_students:
            return [seen.person.encode() if isinstance(seen, Seen) else None for seen in found]
        if self._identities is None:
            return [None] * len(found)
        asked = [(seen.person, seen.at) for seen in found if isinstance(seen, Seen)]
        known = iter(self._identities.look_up(source, asked))
        return [next(known) if isinstance(seen, Seen) else None for seen in found]

    def known(self, student: bytes | None) -> TypeGuard[bytes]:
        """Say whether somebody is on the roster."""
        return student in self._roster.known

    def _wait(self, topic: str, partition: int, record: Any) -> Waiting:
        at = recorded_at(record, simulated=self._settings.simulated_clock)
        return Waiting(topic, partition, record.offset, at, time.time(), record.key, record.value, list(record.headers))

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
        return seen

    def message(
        self,
        student: bytes,
        seen: Seen,
        source: str,
        position: log.Position,
        at: float,
        timestamp: int,
        source_headers: Headers,
    ) -> Message:
        """Return an activity for the student log.

        ``at``: when the source record was recorded; ``timestamp``: the broker's, in milliseconds; ``source_headers``:
        those of the source record.
        """
        kind = "retraction" if seen.taken_back else "activity"
        attended = self._attended(seen)
        record = (log.Retraction if seen.taken_back else log.ActivityRecord)(
            activity=seen.activity,
            at=seen.at,
            position=position,
            recorded_at=at,
            count=seen.count,
            once=self._key(_once(seen, source, source_headers)),
            taken_at=timestamp / 1000.0 if self._settings.simulated_clock else None,
            attendance=None if attended is None else self._key(f"{attended}\0{student.decode()}"),
        )
        event_id = f"{position.source}/{position.offset}"
        return student, log.encode(record), headers(kind, "/leap/intake", event_id)

    def _key(self, text: str) -> int:
        digest = self._hash.copy()
        digest.update(text.encode())
        return int.from_bytes(digest.digest(), "little") >> 1

    def _attended(self, seen: Seen) -> str | None:
        """Return what an activity is evidence of: a teaching event; or, of a tap outside of all, the place and hour.

        However many pieces of evidence a student leaves of it, it is attended once.
        """
        if seen.attended is not None:
            return f"timetable\0{seen.attended}"
        if seen.venue is None:
            return None
        held = self._timetable.at(seen.venue, seen.at)
        return f"timetable\0{held.event}" if held else f"{seen.venue}\0{seen.at // _HOUR:.0f}"


def _once(seen: Seen, source: str, source_headers: Headers) -> str:
    """Return what makes an activity one: nothing that has the same counts again within the window."""
    # Equal rows of one file are as many events; the same file sent twice has the same ones.
    ordinal = number(find(source_headers, ORDINAL))
    return f"{source}\0{seen.event}#{ordinal}" if ordinal else f"{source}\0{seen.event}"
