"""Days under a simulated clock that runs on while events come: which day it is, and the closes."""

import asyncio
import time
from typing import NamedTuple

from redis.asyncio import Redis

from leap.connect import text
from schemas.policy import PolicySet
from schemas.redis_keys import Keys
from streams.admin import Offsets
from streams.clock import Clock
from streams.producer import Producer
from streams.settings import Settings
from windows.civil import CivilDays, date_of

_ASK_EVERY = 0.1


class Close(NamedTuple):
    """One close of a day: when it began (seconds from the start), and how long until Redis had all of it."""

    day: str
    began: float
    seconds: float


class Days:
    """The simulated time: stands still until :meth:`begin`, then runs ``speed`` times as fast as real time."""

    def __init__(
        self, settings: Settings, policies: PolicySet, producer: Producer, offsets: Offsets, redis: "Redis", start: int
    ) -> None:
        """Stand on the morning of day ``start``; producer and offsets are already started."""
        self._settings = settings
        self._offsets = offsets
        self._redis = redis
        self._keys = Keys(settings.prefix)
        self._clock = Clock(settings, policies, producer, offsets, self.now)
        self.civil = CivilDays(policies.zone)
        self.day = start
        """The day to be closed next."""
        self._from = self.civil.start_of(start) + 8 * 3600.0
        self._began = time.monotonic()
        self._speed = 0.0
        self.closes: list[Close] = []

    async def start(self) -> None:
        """Find out which days are closed (none)."""
        await self._clock.start()

    def now(self) -> float:
        """Return the simulated time (seconds since 1970)."""
        return self._from + (time.monotonic() - self._began) * self._speed

    def begin(self, speed: float, *, before_midnight: float | None = None) -> None:
        """Let time run; if given, from so many (simulated) seconds before the day's end."""
        if before_midnight is not None:
            self._from = self.civil.end_of(self.day) - before_midnight
        self._began, self._speed = time.monotonic(), speed

    async def close(self, *, stagger: float, began: float) -> Close:
        """Close the day as the clock does, and return when Redis has it; ``began`` is the start of the run.

        That is: when intake and roster have passed what the broker has by now, one close a partition, staggered.
        """
        topics = self._settings.topics
        end = self.civil.end_of(self.day)
        if self.now() < end:
            self._from += end - self.now()
        partitions = await self._offsets.partitions(
            [topics.students.name, *(topic.name for topic in topics.sources.values())]
        )
        marks = await self._offsets.ends(partitions)
        while await self._clock.behind(marks):  # noqa: ASYNC110 - the broker tells nobody
            await asyncio.sleep(_ASK_EVERY)
        at = time.monotonic()
        await self._clock.close(self.day, stagger=stagger)
        iso = date_of(self.day).isoformat()
        while not await self._shown(iso):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(_ASK_EVERY)
        self.closes.append(Close(iso, round(at - began, 1), round(time.monotonic() - at, 1)))
        self.day += 1
        return self.closes[-1]

    async def until_midnight(self) -> None:
        """Return when the day is over."""
        while (left := self.civil.end_of(self.day) - self.now()) > 0.0:  # noqa: ASYNC110 - only time tells
            await asyncio.sleep(left / self._speed)

    async def _shown(self, iso: str) -> bool:
        """Say whether Redis has the close of a day in every partition."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for number in range(self._settings.partitions):
                pipe.hget(self._keys.closed(number), "day")
            return all(day is not None and text(day) >= iso for day in await pipe.execute())
