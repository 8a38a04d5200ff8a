"""The waiting room: source records of unknown persons, tried again when identities change and from time to time.

Part of every intake process, with a consumer group of its own: a member sweeps the partitions of ``leap.unmatched``
that it has. A sweep looks at everything from the committed offset to the end. If something can move, it goes there once
more, up to the last that can: what is known now goes to the student log, in the order of offsets; what is not, to the
end of the same partition; when all of it is delivered, the offset is committed. So the positions of what is counted
only rise, as the fences of engagement need it.

Before that, up to where it will go is committed as a note beside the old offset. Who finds such a note knows that a
process died: what it has counted may be behind something that has become known since and would be fenced, so all of it
goes to the end, and counts from there once, by its once-key (docs/decisions/0009-identities.md).

The member that has a partition of ``leap.identities`` or ``leap.timetable`` says which of its records do not hold.
"""

import asyncio
import logging
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import prometheus_client
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError

from schemas import log, timetable, unmatched
from schemas.dead_letters import DeadLetter
from schemas.unmatched import UnmatchedError, Waiting
from streams import metrics
from streams.admin import Offsets
from streams.event_loop import where
from streams.identities import REFUSED, IdentityView
from streams.intake import Intake, partition_of
from streams.producer import Message, Producer, delivered
from streams.reader import METADATA_AGE_MS, StalledError, Stalls, consumer, read_to_end
from streams.role import DeadLetterBox
from streams.roster_view import RosterView
from streams.settings import Settings
from streams.sources import Outcome, Seen, Unusable

logger = logging.getLogger(__name__)

_AT_ONCE = 500
_LOOK_EVERY_MS = 500
_REST = 9
"""A sweep is followed by so many times as long without one as it judged records: intake has other things to do."""

_Place = tuple[str, int, int]
"""Where a record stood at its source: topic, partition, offset."""

_UNREADABLE = "unknown"
"""Stands for the source of a record that is not intake's own."""


@dataclass
class _Standing:
    """What goes on waiting: how many records of each source, and since when."""

    counts: Counter[str] = field(default_factory=Counter)
    since: dict[str, float] = field(default_factory=dict)
    off_roster: bool = False
    """Whether some of them wait for the roster only."""
    judged: float = 0.0
    """Seconds that it took to judge them."""

    def add(self, source: str, since: float) -> None:
        """Count a record."""
        self.counts[source] += 1
        self.since[source] = min(since, self.since.get(source, since))


@dataclass
class _Moves:
    """Where the records of a part of a partition go."""

    log: defaultdict[int, list[Message]] = field(default_factory=lambda: defaultdict(list))
    letters: list[DeadLetter] = field(default_factory=list)
    waiting: list[tuple[str, Waiting]] = field(default_factory=list)
    off_roster: bool = False
    last: int = -1
    """Offset of the last record that can move; -1 if none can."""
    left: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many have left, by source and where to."""


class WaitingRoom(ConsumerRebalanceListener):
    """Sweeps what waits. Everything it is given is already started."""

    def __init__(
        self,
        settings: Settings,
        producer: Producer,
        letters: DeadLetterBox,
        intake: Intake,
        identities: IdentityView,
        roster: RosterView,
    ) -> None:
        """Prepare; nothing is connected yet."""
        self._settings = settings
        self._topics = settings.topics
        self._producer = producer
        self._letters = letters
        self._intake = intake
        self._identities = identities
        self._roster = roster
        self._kafka = consumer(settings, "waiting-room-reader")
        self._offsets = Offsets(settings, "waiting-room")
        self._group = consumer(
            settings,
            "waiting-room",
            group_id=settings.group("waiting-room"),
            session_timeout_ms=int(settings.session_timeout * 1000),
            heartbeat_interval_ms=int(settings.heartbeat * 1000),
            rebalance_timeout_ms=int(settings.rebalance_timeout * 1000),
            metadata_max_age_ms=METADATA_AGE_MS,
            max_poll_interval_ms=3_600_000,  # a sweep may take long; a loop that is held is the watchdog's business
        )
        self._due = 0.0
        self._rested = 0.0
        self._seen: tuple[int, int] = (-1, -1)
        self._standing = _Standing()
        self._moved = time.monotonic()
        self._running: asyncio.Task[Any] | None = None

    async def watch(self) -> None:
        """See that :meth:`run` goes on, for ever: what it waits for may never come, and nobody else would notice.

        Raises:
            StalledError: it has stood for as long as a process may be stuck; the message says where.
        """
        while True:
            await asyncio.sleep(1.0)
            still = time.monotonic() - self._moved
            if self._running is not None and still > self._settings.stuck_after:
                raise StalledError(f"the waiting room stands still for {still:.0f} s in {where(self._running)}")

    async def run(self) -> None:
        """Sweep and say which claims and teaching events do not hold, for ever.

        Raises:
            DeliveryError: the broker did not take something; it will be tried again by whoever comes next.
            StalledError: a consumer gets nothing more.
        """
        self._running, self._moved = asyncio.current_task(), time.monotonic()
        for client in (self._offsets, self._kafka, self._group):
            await client.start()
        self._group.subscribe(
            [self._topics.unmatched.name, self._topics.identities.name, self._topics.timetable.name], listener=self
        )
        stalls = Stalls(self._group)
        while True:
            self._moved = time.monotonic()
            try:
                for tp, records in (await self._group.getmany(timeout_ms=_LOOK_EVERY_MS)).items():
                    if tp.topic == self._topics.identities.name:
                        await self._identities.catch_up()
                        await self._say(tp, records, "identities", self._identities.refusal, metrics.identity_records)
                    elif tp.topic == self._topics.timetable.name:
                        await self._say(tp, records, "timetable", timetable.refusal, metrics.timetable_records)
                await stalls.look(self._group.assignment() - self._group.paused())
                await self._sweep_if_due()
            except (KafkaError, IllegalStateError) as error:
                # The broker is away, or the partition has gone to another member, who does the same.
                logger.warning("waiting room: %r", error)
                await asyncio.sleep(1.0)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Nothing to do: what another member does at the same time is fenced."""

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Look at new partitions at once. The group only knows who has them; a sweep reads them itself."""
        self._group.pause(*(tp for tp in assigned if tp.topic == self._topics.unmatched.name))
        self._due = 0.0

    # -- claims and teaching events ----------------------------------------------------------------------------------

    async def _say(
        self,
        tp: TopicPartition,
        records: Sequence[Any],
        stage: str,
        refusal: Callable[[bytes | None, bytes | None], str | None],
        counted: prometheus_client.Counter,
    ) -> None:
        """Put what does not hold into the dead letters; all that every process has taken up is counted here, once."""
        letters, outcomes = [], Counter[str]()
        for number, record in enumerate(records):
            reason = refusal(record.key, record.value)
            outcomes["taken" if reason is None else "refused" if reason == REFUSED else "unusable"] += 1
            if reason is not None:
                letters.append(
                    _letter((tp.topic, tp.partition, record.offset, record.timestamp), stage, reason, record)
                )
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
        if letters:
            await self._letters.put(letters)
        await self._commit(tp, records[-1].offset + 1)
        for outcome, n in outcomes.items():
            counted.labels(outcome).inc(n)

    # -- sweeps -------------------------------------------------------------------------------------------------------

    async def _sweep_if_due(self) -> None:
        now = time.monotonic()
        if now < self._rested:
            return
        if self._standing.off_roster:
            await self._roster.catch_up()
        seen = (self._identities.changes, len(self._roster.known))
        if seen == self._seen and now < self._due:
            return
        self._seen, self._due = seen, now + self._settings.unmatched_retry
        before, self._standing = self._standing, _Standing()
        for tp in sorted(self._group.assignment()):
            if tp.topic == self._topics.unmatched.name:
                await self._sweep(tp, self._standing)
        for source in before.counts.keys() | self._standing.counts.keys():
            metrics.unmatched.labels(source).set(self._standing.counts[source])
            metrics.unmatched_since.labels(source).set(self._standing.since.get(source, 0.0))
        metrics.unmatched_swept.set_to_current_time()
        # Not the whole length of the sweep: it is as long as an outage of the broker, in which it only waits.
        self._rested = time.monotonic() + _REST * self._standing.judged

    async def _sweep(self, tp: TopicPartition, standing: _Standing) -> None:
        """Sweep a partition; tell what goes on waiting."""
        start, stop = await self._committed(tp)
        if stop > start:
            async for records in self._records(tp, start, stop):
                again = [(record.key, record.value, list(record.headers)) for record in records]
                await self._producer.deliver(tp.topic, tp.partition, again)
            await self._commit(tp, stop)
            start = stop
        seen: dict[_Place, int] = {}
        last = -1
        async for records in self._records(tp, start):
            began = time.perf_counter()
            moves = self._judge(tp, records, seen)
            standing.judged += time.perf_counter() - began
            last = max(last, moves.last)
            standing.off_roster |= moves.off_roster
            for source, waiting in moves.waiting:
                standing.add(source, waiting.since)
        if last >= 0:
            await self._move(tp, start, last + 1, seen)

    async def _move(self, tp: TopicPartition, start: int, stop: int, seen: dict[_Place, int]) -> None:
        """Send what can move, and put what cannot at the end, from one offset to another."""
        await self._commit(tp, start, until=stop)
        left: Counter[tuple[str, str]] = Counter()
        async for records in self._records(tp, start, stop):
            moves = self._judge(tp, records, seen)
            under_way = [
                sent
                for number, messages in moves.log.items()
                for sent in await self._producer.send(self._topics.student_log.name, number, messages)
            ]
            again = [waiting.message() for _, waiting in moves.waiting]
            under_way += await self._producer.send(tp.topic, tp.partition, again)
            if moves.letters:
                await self._letters.put(moves.letters)
            await delivered(under_way)
            left += moves.left
        await self._commit(tp, stop)
        for (source, outcome), n in left.items():
            metrics.unmatched_records.labels(source, outcome).inc(n)

    async def _commit(self, tp: TopicPartition, offset: int, *, until: int | None = None) -> None:
        """Commit an offset; ``until``: with a note that everything before it is about to move."""
        await self._group.commit({tp: (offset, "" if until is None else str(until))})

    async def _committed(self, tp: TopicPartition) -> tuple[int, int]:
        """Return the committed offset, and up to where a sweep was about to go (0: it got there)."""
        # As AIOKafkaConsumer.committed() does, which leaves the note out.
        found = (await self._group._coordinator.fetch_committed_offsets([tp])).get(tp)
        if found is None or found.offset < 0:
            return (await self._offsets.starts([tp]))[tp], 0
        return found.offset, int(found.metadata) if found.metadata else 0

    async def _records(self, tp: TopicPartition, start: int, stop: int | None = None) -> AsyncIterator[Sequence[Any]]:
        """Yield a partition's records in small parts, up to its end or an offset."""
        async with aclosing(read_to_end(self._kafka, [tp], since={tp: start})) as reading:
            async for _, fetched in reading:
                wanted = [record for record in fetched if stop is None or record.offset < stop]
                for first in range(0, len(wanted), _AT_ONCE):
                    self._moved = time.monotonic()
                    yield wanted[first : first + _AT_ONCE]
                    await asyncio.sleep(0)
                if len(wanted) < len(fetched):
                    return

    def _judge(self, tp: TopicPartition, records: Sequence[Any], seen: dict[_Place, int]) -> _Moves:
        """Decide where records go. ``seen``: where the last one of each stands, as far as is known, by source's place.

        Of several it is the last that counts. A member that lost its partition and has it again may commit an offset
        that another one was beyond; before what that one has counted, engagement takes nothing any more.
        """
        moves = _Moves()
        looked: defaultdict[str, list[tuple[Any, Waiting, Outcome]]] = defaultdict(list)
        for record in records:
            try:
                waiting = unmatched.read(record)
            except UnmatchedError as error:
                moves.last = max(moves.last, record.offset)
                moves.letters.append(
                    _letter((tp.topic, tp.partition, record.offset, record.timestamp), "intake", str(error), record)
                )
                moves.left[_UNREADABLE, "dead_letter"] += 1
                continue
            source, place = self._topics.source_of(waiting.topic), (waiting.topic, waiting.partition, waiting.offset)
            if (held := seen.setdefault(place, record.offset)) != record.offset:
                seen[place] = max(held, record.offset)
                moves.last = max(moves.last, record.offset)
                moves.left[source, "ignored"] += 1
                continue
            looked[source].append((record, waiting, self._intake.look(source, waiting.value)))
        deadline = time.time() - self._settings.unmatched_patience
        known: dict[int, bytes | None] = {}
        for source, some in looked.items():
            students = self._intake.students(source, [seen for _, _, seen in some])
            known |= {record.offset: student for (record, _, _), student in zip(some, students, strict=True)}
        everything = [(source, *one) for source, some in looked.items() for one in some]
        for source, record, waiting, outcome in sorted(everything, key=lambda one: one[1].offset):
            student = known[record.offset]
            if isinstance(outcome, Seen) and self._intake.known(student):
                position = log.Position(f"{tp.topic}-{tp.partition}", record.offset)
                message = self._intake.message(
                    student, outcome, source, position, waiting.recorded_at, record.timestamp, waiting.headers
                )
                moves.log[partition_of(student, self._settings.partitions)].append(message)
                moves.left[source, "sent"] += 1
            elif isinstance(outcome, Unusable) or (isinstance(outcome, Seen) and waiting.since < deadline):
                reason = outcome.reason if isinstance(outcome, Unusable) else "person: not known in time"
                where = (waiting.topic, waiting.partition, waiting.offset, round(waiting.recorded_at * 1000))
                moves.letters.append(_letter(where, "intake", reason, waiting))
                moves.left[source, "dead_letter"] += 1
            elif isinstance(outcome, Seen):
                moves.waiting.append((source, waiting))
                moves.off_roster |= student is not None
                continue
            else:
                moves.left[source, "ignored"] += 1
            moves.last = max(moves.last, record.offset)
        return moves


def _letter(where: tuple[str, int, int, int], stage: str, reason: str, record: Any) -> DeadLetter:
    """Return a letter; ``where``: topic, partition, offset and time stamp (ms) of what it is about."""
    return DeadLetter(*where, stage, reason, record.key, record.value, list(record.headers))
