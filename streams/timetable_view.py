"""The timetable as every intake process knows it: all of ``leap.timetable``, kept up to date."""

import asyncio
from collections.abc import Iterable
from typing import Any

from schemas.timetable import TimetableError, read_event
from streams import metrics
from streams.admin import Offsets
from streams.reader import consumer, follow, read_to_end
from streams.settings import Settings
from streams.timetable import Timetable

_AT_ONCE = 2_000


class TimetableView:
    """The timetable; empty before :meth:`start` returns."""

    def __init__(self, settings: Settings) -> None:
        """Prepare; nothing is connected yet."""
        self._topic = settings.topics.timetable.name
        self._kafka = consumer(settings, "timetable")
        self._offsets = Offsets(settings, "timetable")
        self.timetable = Timetable()

    async def start(self) -> None:
        """Connect and read what there is."""
        await self._offsets.start()
        await self._kafka.start()
        async for _, records in read_to_end(self._kafka, await self._offsets.partitions([self._topic])):
            await self._take(records)

    async def stop(self) -> None:
        """Disconnect."""
        await self._kafka.stop()
        await self._offsets.stop()

    async def follow(self) -> None:
        """Take up what comes, for ever."""
        await follow(self._kafka, self._take)

    async def _take(self, records: list[Any]) -> None:
        for start in range(0, len(records), _AT_ONCE):
            self.take(records[start : start + _AT_ONCE])
            await asyncio.sleep(0)
        metrics.timetable_events.set(len(self.timetable))

    def take(self, records: Iterable[Any]) -> None:
        """Take up records. What is no event changes nothing; the waiting room says so."""
        for record in records:
            try:
                event = read_event(record.key, record.value)
            except TimetableError:
                continue
            self.timetable.put(record.key.decode(), event)
