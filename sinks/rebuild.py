"""Rebuilds the read model from Kafka, and says whether the two agree. Both may run beside the sink."""

import logging
import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from itertools import islice
from typing import Any, NamedTuple

from aiokafka import TopicPartition
from redis.asyncio import Redis

from schemas.redis_keys import ALERT_DAYS, DAYS_KEPT
from sinks.records import Batch, Reader, Standing
from sinks.store import Store
from streams.reader import connected, read_to_end
from streams.settings import Settings

logger = logging.getLogger(__name__)

_AT_ONCE = 2_000
_VERSION = re.compile(rb'"version":(\d+)')


Told = Callable[[str, int, int], None]
"""Is called with a topic, how many of its records are dealt with, and how many there are (fewer, where compacted)."""


@dataclass
class Count:
    """How many things of a kind agree; are missing in Redis; are older or newer there; are there and not in Kafka."""

    agree: int = 0
    missing: int = 0
    older: int = 0
    newer: int = 0
    extra: int = 0

    def add(self, ours: int | None, held: int | None) -> None:
        """Count one thing, given its version in Kafka and in Redis."""
        if ours is None:
            self.extra += held is not None
        elif held is None:
            self.missing += 1
        else:
            self.agree += held == ours
            self.older += held < ours
            self.newer += held > ours


@dataclass
class Report:
    """How Redis compares with Kafka, by version.

    While the sink runs, ``older`` is what it has not written yet, and ``newer`` what came after Kafka was read. Days
    and ratings of which Kafka holds nothing any more are not compared, nor is what is older than the present enrolment.
    ``index`` compares the sets of departments and courses with the views.
    """

    views: Count = field(default_factory=Count)
    ratings: Count = field(default_factory=Count)
    days: Count = field(default_factory=Count)
    alerts: Count = field(default_factory=Count)
    index: Count = field(default_factory=Count)

    @property
    def same(self) -> bool:
        """Whether nothing is missing, older or extra."""
        counts = (self.views, self.ratings, self.days, self.alerts, self.index)
        return not any(count.missing or count.older or count.extra for count in counts)

    def asdict(self) -> dict[str, dict[str, int]]:
        """Return it as plain data."""
        return asdict(self)


async def rebuild(settings: Settings, redis: "Redis", told: Told) -> int:
    """Write everything that Kafka has, equal versions too, and remove students that Kafka does not know.

    Nothing is emptied first, so that dashboards keep what is right. Returns the number of records.

    Raises:
        RedisDownError, RedisRefusedError: nothing is tried again.
        StalledError: the broker stopped sending.
        CodecError: a state record that this release does not know.
    """
    store = Store(settings, redis, again=True)
    known: set[str] = set()
    highest: dict[int, int] = {}
    read = 0
    async for batch, records in _batches(settings, told):
        await store.write(batch)
        read += records
        known |= batch.standings.keys()
        highest.update({partition: closed.version for partition, closed in batch.closed.items()})
    removed = await _sweep(store, known, highest)
    await store.publish()
    if removed:
        logger.warning("removed %d students whom Kafka does not know", removed)
    return read


async def parity(settings: Settings, redis: "Redis", told: Told) -> Report:
    """Compare Redis with Kafka by version.

    Raises:
        RedisDownError, RedisRefusedError: nothing is tried again.
        StalledError: the broker stopped sending.
        CodecError: a state record that this release does not know.
    """
    ours = _Contents()
    async for batch, _ in _batches(settings, told):
        ours.add(batch)
    report, store, listed = Report(), Store(settings, redis), _Listed()
    async for held in _held(store, ours.views):
        ours.compare(held, report)
        listed.expect(store, held)
    await listed.compare(store, report.index)
    return report


async def _batches(settings: Settings, told: Told) -> AsyncIterator[tuple[Batch, int]]:
    """Read the topics to the ends they have now; yields batches, and how many records each is made of."""
    reader = Reader(settings.topics)
    async with connected(settings, "rebuild") as kafka:
        for topic in reader.topics:
            partitions = [TopicPartition(topic, n) for n in range(settings.partitions)]
            starts, ends = await kafka.beginning_offsets(partitions), await kafka.end_offsets(partitions)
            total, read = sum(ends[tp] - starts[tp] for tp in partitions), 0
            async for tp, records in read_to_end(kafka, partitions):
                for first in range(0, len(records), _AT_ONCE):
                    some = records[first : first + _AT_ONCE]
                    yield reader.read([(tp, some)]), len(some)
                    read += len(some)
                    told(topic, read, total)
            told(topic, total, total)


async def _sweep(store: Store, known: set[str], highest: Mapping[int, int]) -> int:
    """Remove students that Kafka does not know (an old copy brought them back), unless they came after it was read."""
    removed = 0
    for some in _groups([key async for key in store.views() if store.keys.student_of(key) not in known]):
        heads = await store.read([("HMGET", key, "version", "partition", "removed") for key in some])
        gone = Batch()
        for key, (version, partition, tombstone) in zip(some, heads, strict=True):
            last = highest.get(_number(partition), -1)
            if version is not None and tombstone is None and _number(version) < last:
                student = store.keys.student_of(key)
                gone.standings[student] = Standing("removed", student, last)
        removed += (await store.write(gone)).applied
    return removed


class _Held(NamedTuple):
    """What Redis has of a student."""

    student: str
    head: list[bytes | None]
    """Version, removed, department, course, rating."""
    rating: int | None
    days: dict[str, int]
    alerts: dict[str, int]

    @property
    def version(self) -> int | None:
        return None if self.head[0] is None else _number(self.head[0])

    @property
    def removed(self) -> bool:
        return self.head[1] is not None


class _Contents:
    """What Kafka has of every student, by version."""

    def __init__(self) -> None:
        self.views: dict[str, tuple[int, bool, int]] = {}
        """Version, whether removed, since which version enrolled."""
        self._ratings: dict[str, int] = {}
        self._days: dict[str, dict[str, int]] = {}
        self._alerts: dict[str, dict[str, tuple[int, str, bool]]] = {}

    def add(self, batch: Batch) -> None:
        for standing in batch.standings.values():
            new = standing.version, standing.kind == "removed", standing.enrolled
            self.views[standing.student] = max(self.views.get(standing.student, (-1, False, 0)), new)
        for rating in batch.ratings:
            self._ratings[rating.student] = max(self._ratings.get(rating.student, -1), rating.version)
        for day in batch.days.values():
            held = self._days.setdefault(day.student, {})
            held[day.name] = max(held.get(day.name, -1), day.version)
        for alert in batch.alerts.values():
            alerts = self._alerts.setdefault(alert.student, {})
            new_alert = alert.version, alert.oldest, '"state":"opened"' in alert.doc
            alerts[alert.name] = max(alerts.get(alert.name, (-1, "", False)), new_alert)

    def compare(self, held: _Held, report: Report) -> None:
        version, removed, enrolled = self.views.get(held.student, (None, True, 0))
        if removed:
            # A tombstone's time may be over in Redis, so nothing at all is as good.
            gone = held.version is None or held.removed
            report.views.add(version, version if gone else held.version)
            return
        report.views.add(version, None if held.removed else held.version)
        rating = self._ratings.get(held.student)
        if rating is not None and rating >= enrolled:
            report.ratings.add(rating, held.rating)
        days = self._days.get(held.student, {})
        oldest = _before(max([*days, *filter(_is_day, held.days)], default=""), DAYS_KEPT)
        for day, of_day in days.items():
            if day >= oldest and of_day >= enrolled:
                report.days.add(of_day, held.days.get(day))
        alerts = self._alerts.get(held.student, {})
        kept_from = max((ends for _, ends, _ in alerts.values()), default="")
        for name in alerts.keys() | held.alerts.keys():
            of_alert, ends, is_open = alerts.get(name, (None, "", True))
            if of_alert is not None and of_alert < enrolled:
                of_alert = None
            if is_open or _after(ends, ALERT_DAYS) >= kept_from:
                report.alerts.add(of_alert, held.alerts.get(name))


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _before(day: str, days: int) -> str:
    return (date.fromisoformat(day) - timedelta(days)).isoformat() if day else ""


def _after(day: str, days: int) -> str:
    return (date.fromisoformat(day) + timedelta(days)).isoformat() if day else ""


async def _held(store: Store, known: Iterable[str]) -> AsyncIterator[_Held]:
    """Yield what Redis has of students: those that are known, and those that have a view."""
    keys = store.keys
    students = list(dict.fromkeys([*known, *[keys.student_of(key) async for key in store.views()]]))
    for some in _groups(students):
        commands: list[tuple[str, ...]] = []
        for student in some:
            commands += (
                ("HMGET", keys.view(student), "version", "removed", "department", "course", "rating"),
                ("HGET", keys.rating(student), "version"),
                ("HGETALL", keys.days(student)),
                ("HGETALL", keys.alerts(student)),
            )
        answers = iter(await store.read(commands))
        for student in some:
            head, rating, days, alerts = islice(answers, 4)
            yield _Held(student, head, None if rating is None else _number(rating), _versions(days), _versions(alerts))


def _versions(docs: Mapping[bytes, bytes]) -> dict[str, int]:
    found = ((name, _VERSION.search(doc)) for name, doc in docs.items())
    return {name.decode(errors="replace"): _number(match[1]) if match else -1 for name, match in found}


def _number(held: bytes | None) -> int:
    """Return a number that stands in Redis; -1, so older than any version, if somebody wrote something else there."""
    return int(held) if held is not None and held.isdigit() and len(held) <= 19 else -1


class _Listed:
    """Who should be in which set of a department or course."""

    def __init__(self) -> None:
        self._expected: dict[str, set[bytes]] = {}

    def expect(self, store: Store, held: _Held) -> None:
        _, _, department, course, rating = held.head
        if held.version is None or held.removed or rating is None:
            return
        if department:
            self._expect(store.keys.department_rating(_words(department), _words(rating)), held.student)
        if course:
            self._expect(store.keys.course_rating(_words(course), _words(rating)), held.student)

    def _expect(self, key: str, student: str) -> None:
        self._expected.setdefault(key, set()).add(student.encode())

    async def compare(self, store: Store, count: Count) -> None:
        keys = list(dict.fromkeys([*self._expected, *[key async for key in store.indexes()]]))
        for some in _groups(keys):
            for key, members in zip(some, await store.read([("SMEMBERS", key) for key in some]), strict=True):
                expected, actual = self._expected.get(key, set()), set(members)
                count.agree += len(expected & actual)
                count.missing += len(expected - actual)
                count.extra += len(actual - expected)


def _words(held: bytes) -> str:
    return held.decode(errors="replace")


def _groups(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[i : i + 500] for i in range(0, len(items), 500))
