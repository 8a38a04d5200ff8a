"""How long an event takes until the student's view in Redis has it, counted from when it was *to be sent*.

A sender that waits for a slow system sends less and measures only what it still sends (coordinated omission). Here
neither the schedule nor the choice of the sampled events depends on the system, so a stall costs every event that was
due in it.

What is asked of Redis is exact: a sampled event is the n-th of its student on its day, and all of a student's events
take the same way in order, so the event has arrived when the view counts n of that day. A tick asks for at most 64 of
the events under way, in turn. So a time is exact to 5 ms while few are under way, and to 1 % of itself when a stalled
system lets thousands pile up; and Redis is asked at most 13,000 small questions a second, some hundreds when all is
well.
"""

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson
from hdrh.histogram import HdrHistogram
from redis.asyncio import Redis
from redis.exceptions import RedisError

from schemas.redis_keys import Keys

QUANTILES = {"p50": 50.0, "p90": 90.0, "p99": 99.0, "p99.9": 99.9}
_TICK = 0.005
_AT_ONCE = 64
_LONGEST_US = 24 * 3600 * 1_000_000
_SLOW_MS = 1000.0


class Histogram:
    """Times of any number of events, each to three digits, in a fixed amount of memory."""

    def __init__(self) -> None:
        """Begin empty."""
        self._held = HdrHistogram(1, _LONGEST_US, 3)
        self.slow = 0
        """How many took longer than a second."""

    def add(self, seconds: float, events: int = 1) -> None:
        """Take the time of so many events; less than a microsecond counts as one."""
        self._held.record_value(min(max(1, round(seconds * 1e6)), _LONGEST_US), events)
        self.slow += events * (seconds * 1000.0 > _SLOW_MS)

    def __len__(self) -> int:
        """Return how many were taken."""
        return int(self._held.get_total_count())

    def milliseconds(self) -> dict[str, float]:
        """Return the quantiles and the highest (empty if nothing was taken)."""
        if not len(self):
            return {}
        found = {name: self._held.get_value_at_percentile(share) / 1000.0 for name, share in QUANTILES.items()}
        return {**found, "max": self._held.get_max_value() / 1000.0}


class Awaited(NamedTuple):
    """An event under way: the ``number``-th of a student on a day, to be sent ``due`` seconds after the start."""

    student: str
    day: str
    number: int
    due: float


class Sampler:
    """Follows events into Redis."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        """Take a connection; time begins when :attr:`began` says."""
        self._redis = redis
        self._keys = keys
        self.began = 0.0
        """The start on the monotonic clock."""
        self._before: dict[tuple[str, str], int] = {}
        self._sent: defaultdict[tuple[str, str], int] = defaultdict(int)
        self.under_way: deque[Awaited] = deque()
        self.histogram = Histogram()
        self.by_second: defaultdict[int, list[float]] = defaultdict(list)
        """Times in milliseconds by the second in which the event was to be sent."""

    async def start(self, students: Iterable[str]) -> None:
        """Learn what these students' views count so far."""
        for student, doc in await self._ask(list(students)):
            for day, count in _counts(doc).items():
                self._before[student, day] = count

    def expect(self, student: str, day: str, due: float) -> None:
        """Follow an event that is sent now, and was to be sent ``due`` seconds after the start."""
        self._sent[student, day] += 1
        number = self._before.get((student, day), 0) + self._sent[student, day]
        self.under_way.append(Awaited(student, day, number, due))

    async def run(self) -> None:
        """Ask again and again, for ever."""
        while True:
            await asyncio.sleep(_TICK)
            some = [self.under_way.popleft() for _ in range(min(_AT_ONCE, len(self.under_way)))]
            if not some:
                continue
            try:
                found = dict(await self._ask(list({awaited.student for awaited in some})))
            except (RedisError, OSError):  # while it is away, everything under way becomes older
                found = {}
            self.judge(some, found, time.monotonic() - self.began)

    def judge(self, some: Sequence[Awaited], docs: dict[str, bytes | None], now: float) -> None:
        """Take the events that the views have as arrived ``now``; the others are asked for again."""
        for awaited in some:
            if _counts(docs.get(awaited.student)).get(awaited.day, 0) < awaited.number:
                self.under_way.append(awaited)
                continue
            self.histogram.add(now - awaited.due)
            self.by_second[int(awaited.due)].append((now - awaited.due) * 1000.0)

    async def _ask(self, students: Sequence[str]) -> list[tuple[str, bytes | None]]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for student in students:
                pipe.hget(self._keys.view(student), "doc")
            return list(zip(students, await pipe.execute(), strict=True))


def _counts(doc: bytes | None) -> dict[str, int]:
    """Return how many events a view counts, by day."""
    return {day["day"]: sum(day["counts"].values()) for day in orjson.loads(doc)["days"]} if doc else {}
