"""Reads the dead letters back, and sends them again to where they came from.

What is sent again goes the whole way again, so it is judged as any other record: it counts on its own day, late if that
day is closed, and what was counted already does not count twice. A note on the dead-letter topic says which letters
were sent again; it is written once the broker has the record, so after a failure in between a letter is sent twice.
"""

import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.cloudevents import ID, find, iso
from schemas.dead_letters import REPLAY_OF, REPLAYED, REPLAYED_AT, WHOLE_BATCH, Origin, read_note, read_origin
from schemas.topics import Topics
from streams.admin import partitions_of
from streams.intake import LARGEST, partition_of
from streams.producer import Message, Producer, Sent, delivered
from streams.reader import read_to_end
from streams.settings import Settings

Told = Callable[[int, int], None]
"""Is called with how many records of the dead-letter topic are read, and how many there are."""

_PATIENCE_MS = 10_000


class Letter(NamedTuple):
    """A dead letter as it stands on the topic, without its bytes.

    ``at``: where it stands (partition, offset). ``position``: where the record stood. ``failed_at``: seconds since
    1970. ``size``: bytes of key and value. ``refusal``: why it cannot be sent again, or None.
    """

    at: tuple[int, int]
    source: str
    position: str
    stage: str
    reason: str
    failed_at: float
    size: int
    refusal: str | None


@dataclass(frozen=True)
class Wanted:
    """Which letters: all that agree with everything that is given.

    ``source``: name of a source system, or of another topic without the prefix. ``reason``: a part of the reason.
    ``since`` and ``until``: when the record failed, seconds since 1970, from and to (exclusive).
    """

    source: str | None = None
    reason: str | None = None
    stage: str | None = None
    since: float | None = None
    until: float | None = None

    def has(self, letter: Letter) -> bool:
        """Say whether a letter is among them."""
        return (
            self.source in {None, letter.source}
            and self.stage in {None, letter.stage}
            and (self.reason is None or self.reason in letter.reason)
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
        )


@dataclass
class Found:
    """Letters in the order in which they failed, and where letters stand that were sent again (of all there are)."""

    letters: list[Letter] = field(default_factory=list)
    replayed: set[tuple[int, int]] = field(default_factory=set)


def name_of(topic: str, topics: Topics) -> str:
    """Return what a person calls a topic: a source system by its name, any other without the prefix.

    >>> name_of("leap.source.events", Topics("leap")), name_of("leap.students", Topics("leap"))
    ('events', 'students')
    """
    return topics.source_of(topic).removeprefix(f"{topics.prefix}.")


def letter_of(record: Any, origin: Origin, settings: Settings) -> Letter:
    """Return what is to be known of a dead letter without its bytes."""
    # Thousands share a topic, a stage and a reason.
    return Letter(
        (record.partition, record.offset),
        sys.intern(name_of(origin.topic, settings.topics)),
        origin.position,
        sys.intern(origin.stage),
        sys.intern(origin.reason),
        origin.failed_at,
        size := len(record.key or b"") + len(record.value or b""),
        refusal(origin, settings.topics, size),
    )


def refusal(origin: Origin, topics: Topics, size: int) -> str | None:
    """Return why a record of so many bytes cannot be sent again to where it came from; None if it can be."""
    if find(origin.headers, WHOLE_BATCH) is not None:
        return "a whole record batch: its sender must send it again, in smaller ones"
    if size > LARGEST:
        # With the headers of a replay the topic might not take it, and what follows would wait behind it.
        return f"more than {LARGEST} bytes: no role can use it"
    if origin.topic == topics.students.name or origin.topic in {topic.name for topic in topics.sources.values()}:
        return None
    return _other_way(origin, topics)


def _other_way(origin: Origin, topics: Topics) -> str:
    """Return who has to write a record again, where a replay may not."""
    if origin.topic == topics.student_log.name:
        came_from = find(origin.headers, ID)
        way = (
            "its headers do not say which record it was made of"
            if came_from is None
            else f"send the record again that it was made of: {came_from.decode(errors='replace')}"
        )
        return f"only our own roles write the student log; {way}"
    if origin.topic == topics.identities.name:
        return "claims are loaded again by the directory: leap identities load"
    if origin.topic == topics.timetable.name:
        return "events are loaded again by the timetabling system: leap timetable load"
    if origin.topic.startswith(topics.source("").name):
        return "a source system that LEAP_SOURCES does not name"
    return f"only our own roles write {origin.topic}"


async def read(
    kafka: AIOKafkaConsumer, settings: Settings, told: Told, partitions: Collection[int] | None = None
) -> AsyncIterator[list[Any]]:
    """Read the dead-letter topic (or some of its partitions) to its end, fetch by fetch.

    Raises:
        StalledError: the broker stopped sending.
    """
    topic = settings.topics.dead_letters
    numbers = range(partitions_of(topic, settings)) if partitions is None else sorted(partitions)
    all_of_them = [TopicPartition(topic.name, number) for number in numbers]
    kafka.assign(all_of_them)
    starts, ends = await kafka.beginning_offsets(all_of_them), await kafka.end_offsets(all_of_them)
    done, there_are = 0, sum(ends[tp] - starts[tp] for tp in all_of_them)
    told(0, there_are)
    async for _, records in read_to_end(kafka, all_of_them):
        yield records
        done += len(records)
        told(done, max(done, there_are))


async def find_letters(kafka: AIOKafkaConsumer, settings: Settings, wanted: Wanted, told: Told) -> Found:
    """Look through the dead letters.

    Raises:
        StalledError: the broker stopped sending.
    """
    found = Found()
    async for records in read(kafka, settings, told):
        for record in records:
            note = read_note(record.headers)
            origin = read_origin(record.headers)
            if origin is not None:
                letter = letter_of(record, origin, settings)
                if wanted.has(letter):
                    found.letters.append(letter)
            elif note is not None:
                found.replayed.add((record.partition, note))
    found.letters.sort(key=lambda letter: (letter.failed_at, letter.at))
    return found


async def one(kafka: AIOKafkaConsumer, settings: Settings, partition: int, offset: int) -> tuple[Any, Origin] | None:
    """Return the dead letter at a place, its bytes too; None if there is none."""
    tp = TopicPartition(settings.topics.dead_letters.name, partition)
    if partition >= partitions_of(settings.topics.dead_letters, settings):
        return None
    kafka.assign([tp])
    start, end = (await kafka.beginning_offsets([tp]))[tp], (await kafka.end_offsets([tp]))[tp]
    # The embedded broker names the beginning of the last batch as the end, plus one; so no offset is too high to ask.
    if offset < start or (offset >= end and settings.profile == "apache"):
        return None
    kafka.seek(tp, offset)
    fetched = await kafka.getmany(tp, timeout_ms=_PATIENCE_MS if offset < end else 1_000, max_records=1)
    for record in fetched.get(tp, ()):
        origin = read_origin(record.headers)
        if record.offset == offset and origin is not None:
            return record, origin
    return None


async def superseded(kafka: AIOKafkaConsumer, settings: Settings, letters: Iterable[Letter]) -> set[tuple[int, int]]:
    """Return which letters are roster entries of students of whom a newer entry stands on the topic.

    The last entry of a student is the one that holds: to send an old one again would put back what was changed since.

    Raises:
        StalledError: the broker stopped sending.
    """
    topic = settings.topics.students
    asked = {letter.at for letter in letters if letter.source == name_of(topic.name, settings.topics)}
    if not asked:
        return set()
    newest: dict[bytes | None, tuple[int, bytes | None]] = {}
    partitions = [TopicPartition(topic.name, number) for number in range(partitions_of(topic, settings))]
    async for _, records in read_to_end(kafka, partitions):
        for record in records:
            newest[record.key] = max(
                newest.get(record.key, (-1, None)), (record.offset, find(record.headers, REPLAY_OF))
            )
    old = set()
    dead = settings.topics.dead_letters.name
    async for records in read(kafka, settings, lambda *_: None, {partition for partition, _ in asked}):
        for record in records:
            if (record.partition, record.offset) not in asked:
                continue
            origin = read_origin(record.headers)
            offset, replay_of = newest.get(record.key, (-1, None))
            itself = replay_of == f"{dead}-{record.partition}/{record.offset}".encode()
            if origin is not None and offset > origin.offset and not itself:
                old.add((record.partition, record.offset))
    return old


async def send_again(
    kafka: AIOKafkaConsumer, producer: Producer, settings: Settings, letters: Iterable[Letter], told: Told
) -> AsyncIterator[int]:
    """Send letters again, in the order of their partitions; yields how many the broker has so far.

    Raises:
        DeliveryError: the broker did not take one; what was yielded before is there, and noted.
        StalledError: the broker stopped sending.
    """
    chosen = {letter.at for letter in letters}
    topic = settings.topics.dead_letters.name
    sizes: dict[str, int] = {}
    sent = 0
    async for records in read(kafka, settings, told, {partition for partition, _ in chosen}):
        out: defaultdict[tuple[str, int], list[Message]] = defaultdict(list)
        notes: defaultdict[int, list[Message]] = defaultdict(list)
        for record in records:
            origin = read_origin(record.headers)
            if (record.partition, record.offset) not in chosen or origin is None:
                continue
            if origin.topic not in sizes:
                sizes[origin.topic] = await producer.partitions(origin.topic)
            number = _partition(record, origin, settings, sizes[origin.topic])
            again = origin.headers_again(f"{topic}-{record.partition}/{record.offset}")
            out[origin.topic, number].append((record.key, record.value, again))
            noted = [(REPLAYED, b"%d" % record.offset), (REPLAYED_AT, iso(time.time()).encode())]
            notes[record.partition].append((None, None, noted))
        await _deliver(producer, out)
        await _deliver(producer, {(topic, number): some for number, some in notes.items()})
        sent += sum(map(len, out.values()))
        yield sent


def _partition(record: Any, origin: Origin, settings: Settings, partitions: int) -> int:
    """Return the partition that takes a record: a student's own, or the one of a source from which it came."""
    if origin.topic == settings.topics.students.name and record.key is not None:
        return partition_of(record.key, partitions)
    return origin.partition % partitions


async def _deliver(producer: Producer, messages: "dict[tuple[str, int], list[Message]]") -> None:
    under_way: list[Sent] = []
    for (topic, number), some in messages.items():
        under_way += await producer.send(topic, number, some)
    await delivered(under_way)


def by_reason(letters: Iterable[Letter]) -> list[tuple[str, str, int]]:
    """Return how many letters there are of each stage and reason, the most frequent first."""
    counts = Counter((letter.stage, letter.reason) for letter in letters)
    return [(stage, reason, n) for (stage, reason), n in counts.most_common()]
