"""What the running system made of the records: read from its topics, its metrics and Redis."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, cast

from aiokafka import TopicPartition
from redis.asyncio import Redis

from leap.demo.sources.ledger import Difference, Ledger, of_figures
from leap.demo.sources.planting import Shown
from leap.measure import Samples, total
from leap.views import read_views
from schemas import log, unmatched
from schemas.activities import Activity
from schemas.dead_letters import read_origin
from schemas.redis_keys import Keys
from streams.admin import Offsets
from streams.reader import connected, read_to_end
from streams.settings import Settings
from windows.civil import CivilDays, number_of

Records = Mapping[TopicPartition, Sequence[Any]]


@dataclass
class Measured:
    """What was found. ``values``: what stands on each source's topic, as often as it does."""

    ledger: Ledger = field(default_factory=Ledger)
    values: dict[str, Counter[bytes]] = field(default_factory=dict)


class Meter:
    """Reads one installation; nothing of it may be on its way any more."""

    def __init__(self, settings: Settings, offsets: Offsets, zone: str) -> None:
        """Take the installation and the zone of its days; ``offsets`` is already started."""
        self._settings = settings
        self._topics = settings.topics
        self._offsets = offsets
        self._civil = CivilDays(zone)

    async def measure(self, intake: Samples) -> Measured:
        """Return the ledger.

        Its columns are:

        - ``sent``: records on ``leap.source.<source>``.
        - ``counted``, ``late``, ``repeated``: activities in ``leap.student-log``, as :class:`_Log` tells them apart.
        - ``unmatched``: records of ``leap.unmatched`` that the waiting room has not done with.
        - ``dead_letters``: records of ``leap.dead-letters`` that stood on the source's topic.
        - ``ignored``: what intake says on its metrics, as nothing of it is kept anywhere.

        ``intake``: its metrics.
        """
        found = Measured()
        for source, topic in self._topics.sources.items():
            records = await self._read(topic.name)
            found.values[source] = Counter(record.value for some in records.values() for record in some)
            found.ledger.sent[source] = found.values[source].total()
            for metric in ("leap_source_records_total", "leap_unmatched_records_total"):
                found.ledger.add(source, "ignored", int(total(intake, metric, source=source, outcome="ignored")))
        waited = await self._waiting(found.ledger)
        activities = _Log(self._topics, self._civil, waited)
        for some in (await self._read(self._topics.student_log.name)).values():
            activities.take(some, found.ledger)
        for some in (await self._read(self._topics.dead_letters.name)).values():
            for record in some:
                origin = read_origin(record.headers)
                if origin is not None:
                    found.ledger.add(self._topics.source_of(origin.topic), "dead_letters")
        return found

    async def _waiting(self, ledger: Ledger) -> dict[tuple[str, int], str]:
        """Note what waits; return the source of all that ever did, by where it stood."""
        sources: dict[tuple[str, int], str] = {}
        records = await self._read(self._topics.unmatched.name)
        done = await self._offsets.committed(self._settings.group("waiting-room"), records)
        standing: set[tuple[str, int, int]] = set()
        for tp, some in records.items():
            for record in some:
                held = unmatched.read(record)
                sources[f"{tp.topic}-{tp.partition}", record.offset] = self._topics.source_of(held.topic)
                if record.offset >= done.get(tp, 0):
                    standing.add((held.topic, held.partition, held.offset))
        for topic, _, _ in standing:
            ledger.add(self._topics.source_of(topic), "unmatched")
        return sources

    async def _read(self, topic: str) -> dict[TopicPartition, list[Any]]:
        """Return everything on a topic, in order a partition."""
        async with connected(self._settings, "demo-meter") as kafka:
            partitions = await self._offsets.partitions([topic])
            found: dict[TopicPartition, list[Any]] = {tp: [] for tp in partitions}
            async for tp, records in read_to_end(kafka, partitions):
                found[tp] += records
        return found


class _Log:
    """Tells activities of the student log apart, as whoever reads it after the fact can.

    ``repeated``: an earlier one of the same day has the same once-key, or is evidence of the same attendance. Of the
    others, ``late``: its day is before the day on which the partition's log began, or was closed before it in the log.
    ``counted``: the rest.
    """

    def __init__(self, topics: Any, civil: CivilDays, waited: Mapping[tuple[str, int], str]) -> None:
        self._topics = topics
        self._civil = civil
        self._waited = waited

    def take(self, records: Sequence[Any], ledger: Ledger) -> None:
        """Take a partition's records, in order."""
        anchor = self._civil.day_of(records[0].timestamp / 1000.0) - 1 if records else 0
        reached: dict[str, int] = {}
        seen: set[tuple[int, int | None, int | None]] = set()
        for record in records:
            entry = log.decode(record.value)
            if isinstance(entry, log.DayClosed):
                anchor = max(anchor, number_of(date.fromisoformat(entry.day)))
            if not isinstance(entry, log.ActivityRecord) or entry.position.offset <= reached.get(
                entry.position.source, -1
            ):
                continue  # what a process that died had sent already is fenced
            reached[entry.position.source] = entry.position.offset
            day = self._civil.day_of(entry.at)
            key = day, entry.attendance, entry.once if entry.attendance is None else None
            again = entry.once is not None and key in seen
            seen.add(key)
            ledger.add(self._source(entry.position), "repeated" if again else "late" if day <= anchor else "counted")

    def _source(self, position: log.Position) -> str:
        """Return the source of an activity; what had to wait for its student comes from there."""
        waited = self._waited.get((position.source, position.offset))
        return waited or self._topics.source_of(position.source.rpartition("-")[0])


def engagement_agrees(ledger: Ledger, engagement: Samples) -> list[Difference]:
    """Compare the ledger's totals with engagement's metrics, whose ``counted`` has the late ones, too."""
    columns = ledger.total()
    should = {
        "counted": columns["counted"] + columns["late"],
        "repeated": columns["repeated"],
        "late": columns["late"],
        "fenced": 0,
    }
    have = {outcome: int(total(engagement, "leap_activities_total", outcome=outcome)) for outcome in should}
    have["late"] += int(total(engagement, "leap_activities_total", outcome="late_beyond"))
    return of_figures("engagement's metrics", should, have)


async def views_agree(
    redis: "Redis", settings: Settings, students: Sequence[str], shown: Counter[Shown]
) -> list[Difference]:
    """Compare the students' views with what they have to show on the days that a view has."""
    views = await read_views(redis, Keys(settings.prefix), students)
    should, have = Counter[Shown](), Counter[Shown]()
    for student, view in views.items():
        for day in view.days:
            for activity, count in day.counts.items():
                have[Shown(student, day.day, cast("Activity", activity))] = count
    first = {student: min(day.day for day in view.days) for student, view in views.items()}
    for what, count in shown.items():
        # A student without a view lacks everything.
        if what.day >= first.get(what.student, ""):
            should[what] = count
    return [
        Difference(f"the view of {what.student}", f"{what.activity} on {what.day}", should[what], have[what])
        for what in sorted(should.keys() | have.keys())
        if should[what] != have[what]
    ]
