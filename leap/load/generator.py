"""Sends the events of a schedule when they are due, and never later because the installation is slow."""

import asyncio
import secrets
import time
from collections.abc import Callable, Iterable, Sequence

from leap.load.latency import Histogram, Sampler
from leap.load.population import Population, Send
from schemas.cloudevents import Headers, iso, recorded_at
from streams.producer import DeliveryError, Message, Producer
from streams.settings import Settings
from windows.civil import CivilDays, date_of

_TICK = 0.001
_AGAIN_AFTER = 0.5
_SLICE = 20_000


class Generator:
    """Sends what is due.

    A student's events always take the same partition. While a batch of a partition is on its way, what gets due waits
    and goes as the next one, as in any Kafka client: the wait counts, because latency begins when an event was due.
    What the broker did not confirm is sent again under the same id, and then counts once or as a repeat.
    """

    def __init__(
        self,
        settings: Settings,
        producer: Producer,
        population: Population,
        civil: CivilDays,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Take what it works with; ``now`` is the time that events carry (seconds since 1970)."""
        self._settings = settings
        self._topic = settings.topics.source("events").name
        self._producer = producer
        self._population = population
        self._civil = civil
        self.now = now
        self._run = secrets.token_hex(4)
        self._pending: list[list[Message]] = [[] for _ in range(settings.source_partitions)]
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._number = 0
        self.sent = 0
        """Events that the broker has confirmed."""
        self.again = 0
        """Events that were sent a second time, because it had not."""
        self.late = Histogram()
        """How long after its time an event was handed over (at most): what the generator itself adds to the latency."""

    async def run(self, seconds: Iterable[Sequence[Send]], began: float, sampler: Sampler) -> None:
        """Send everything, and return when the broker has it. ``began`` is the start on the monotonic clock."""
        for sends in seconds:
            start = 0
            while start < len(sends):
                now = time.monotonic() - began
                if sends[start].due > now:
                    await asyncio.sleep(max(_TICK, sends[start].due - now))
                    continue
                stop = start + 1
                while stop < len(sends) and sends[stop].due <= now:
                    stop += 1
                self._hand_over(sends[start:stop], now, sampler)
                start = stop
                await asyncio.sleep(0)
        await self.settled()

    async def fill(self, events: int, told: Callable[[int], object]) -> None:
        """Send so many events as fast as the broker takes them, none of a watched student."""
        first, n = self._population.watched, self._population.students - self._population.watched
        for start in range(0, events, _SLICE):
            stop = min(start + _SLICE, events)
            self._take([Send(0.0, first + i % n, i // n % 11) for i in range(start, stop)], self.now())
            await self.settled()
            told(stop)

    async def settled(self) -> None:
        """Return when the broker has all that was handed over."""
        while self._sending:
            await asyncio.gather(*self._sending.values())

    def _hand_over(self, sends: Sequence[Send], now: float, sampler: Sampler) -> None:
        at = self.now()
        today = date_of(self._civil.day_of(at)).isoformat()
        self.late.add(now - sends[0].due, len(sends))
        for send in sends:
            if send.student < self._population.watched:
                sampler.expect(self._population.key(send.student).decode(), today, send.due)
        self._take(sends, at)

    def _take(self, sends: Sequence[Send], now: float) -> None:
        at, headers = iso(now).encode(), [recorded_at(now)] if self._settings.simulated_clock else []
        for send in sends:
            name = b"%b-%d" % (self._run.encode(), self._number)
            self._number += 1
            value = self._population.event(send.student, send.activity, at, name)
            self._pending[send.student % len(self._pending)].append((None, value, headers))
        for partition, messages in enumerate(self._pending):
            if messages and partition not in self._sending:
                self._sending[partition] = asyncio.create_task(self._send(partition))

    async def _send(self, partition: int) -> None:
        try:
            while messages := self._pending[partition]:
                self._pending[partition] = []
                while True:
                    try:
                        await self._producer.deliver(self._topic, partition, messages)
                        break
                    except DeliveryError:
                        self.again += len(messages)
                        await asyncio.sleep(_AGAIN_AFTER)
                self.sent += len(messages)
        finally:
            del self._sending[partition]


def entries(population: Population, students: Iterable[int], headers: Headers) -> Iterable[Message]:
    """Yield the roster records of students."""
    for student in students:
        yield population.key(student), population.entry(student), headers
