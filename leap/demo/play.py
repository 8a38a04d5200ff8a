"""Plays a course into the pipeline: its roster, then day after day its rows and the close, under a simulated clock."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import date, datetime
from datetime import time as time_of_day
from zoneinfo import ZoneInfo

from leap.demo.course import Course
from leap.waiting import caught_up
from schemas.cloudevents import headers, recorded_at
from schemas.policy import PolicySet
from schemas.students import Student
from streams.admin import Offsets
from streams.clock import Clock
from streams.intake import partition_of
from streams.producer import Message, Producer, delivered
from streams.settings import Settings
from streams.sources.oulad import Row
from windows.civil import CivilDays, number_of

_TICK = 0.1
_NOON = time_of_day(12, tzinfo=ZoneInfo("Europe/London"))
"""A row of the course counts at noon, so no source can have sent it earlier."""


class Play:
    """One run of the course. ``now`` is the simulated time, ``sent`` the rows sent so far."""

    def __init__(
        self, settings: Settings, policies: PolicySet, course: Course, producer: Producer, offsets: Offsets
    ) -> None:
        """Take what it works with; producer and offsets are already started."""
        self._settings = settings
        self._topics = settings.topics
        self._course = course
        self._producer = producer
        self._offsets = offsets
        self._civil = CivilDays(policies.zone)
        self._clock = Clock(settings, policies, producer, offsets, lambda: self.now)
        self.now = self._civil.start_of(number_of(course.days[0]))
        self.sent = 0
        self.sample: Callable[[str], object] = lambda _: None
        """Called with the student of an activity that is about to be sent, once a tick."""
        self.closed: date | None = None

    async def enrol(self) -> None:
        """Put the students on the roster at the start of the first day, and wait until engagement knows them."""
        await self._clock.start()
        by_partition: defaultdict[int, list[Message]] = defaultdict(list)
        for student in self._course.students:
            number = partition_of(student.student.encode(), self._settings.partitions)
            by_partition[number].append(self._entry(student))
        for number, messages in by_partition.items():
            await self._producer.deliver(self._topics.students.name, number, messages)
        await caught_up(self._offsets, self._settings, "roster", [self._topics.students.name])
        await self.settled()

    async def day(self, day: date, *, seconds: float) -> None:
        """Send a day's rows within about so many seconds, close the day, and wait until engagement has closed it."""
        rows = self._course.rows.get(day, [])
        number = number_of(day)
        noon = datetime.combine(day, _NOON).timestamp()
        evening = max(noon, self._civil.end_of(number) - 60.0)
        began = time.monotonic()
        ticks = max(1, round(seconds / _TICK))
        for tick in range(ticks):
            part = rows[len(rows) * tick // ticks : len(rows) * (tick + 1) // ticks]
            self.now = noon + (evening - noon) * tick / ticks
            await self._send(part)
            await asyncio.sleep(max(0.0, began + (tick + 1) * seconds / ticks - time.monotonic()))
        await self._close(number)
        self.closed = day

    async def settled(self) -> None:
        """Wait until engagement has dealt with everything in the student log."""
        await caught_up(self._offsets, self._settings, "engagement", [self._topics.student_log.name])

    async def _close(self, number: int) -> None:
        """Close a day as the clock does: when intake and roster have passed what the broker had at midnight."""
        midnight = self._civil.end_of(number)
        self.now = midnight
        marks = await self._clock.marks(midnight)
        while await self._clock.behind(marks):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(0.05)
        self.now = midnight + self._settings.close_grace
        await self._clock.close(number)
        await self.settled()

    async def _send(self, rows: Sequence[Row]) -> None:
        if rows:
            self.sample(rows[-1].id_student)
        by_partition: defaultdict[int, list[Message]] = defaultdict(list)
        for row in rows:
            message = (None, row.model_dump_json().encode(), [recorded_at(self.now)])
            by_partition[row.row % self._settings.source_partitions].append(message)
        topic = self._topics.source("oulad").name
        await delivered(
            [s for n, messages in by_partition.items() for s in await self._producer.send(topic, n, messages)]
        )
        self.sent += len(rows)

    def _entry(self, student: Student) -> Message:
        value = student.model_dump_json(exclude_defaults=True).encode()
        about = headers("student", "/leap/demo", f"{student.student}/{self._course.start}")
        return student.student.encode(), value, [*about, recorded_at(self.now)]
