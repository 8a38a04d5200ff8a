"""Keeps the board's picture: rating and alert records from Kafka, figures from the processes' /metrics."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition

from leap.demo.latency import Latency
from leap.demo.picture import Picture
from leap.measure import Samples, scrape, total
from leap.supervisor import Supervisor
from streams.admin import Offsets
from streams.reader import consumer
from streams.settings import Process, Settings

_SCRAPE_EVERY = 0.5


class Watch:
    """Follows the topics and the metrics of one run of the demo."""

    def __init__(
        self, settings: Settings, picture: Picture, supervisor: Supervisor, offsets: Offsets, latency: Latency
    ) -> None:
        """Take the picture to keep and where from; ``offsets`` is already started."""
        self._topics = settings.topics
        self.picture = picture
        self._supervisor = supervisor
        self._offsets = offsets
        self._latency = latency
        self._kafka: AIOKafkaConsumer = consumer(settings, "board")
        self._taken: dict[TopicPartition, int] = {}
        self._took = asyncio.Condition()
        self._samples: dict[Process, Samples] = {}

    async def start(self) -> None:
        """Read the output topics from their beginning."""
        await self._kafka.start()
        names = [topic.name for topic in (self._topics.ratings, self._topics.alerts, self._topics.dead_letters)]
        self._partitions = await self._offsets.partitions(names)
        self._kafka.assign(self._partitions)
        await self._kafka.seek_to_beginning(*self._partitions)

    async def stop(self) -> None:
        """Disconnect."""
        await self._kafka.stop()

    async def follow(self) -> None:
        """Take records as they come, for ever."""
        while True:
            fetched = await self._kafka.getmany(timeout_ms=250)
            for tp, records in fetched.items():
                self._take(tp, records)
            async with self._took:
                self._took.notify_all()

    async def catch_up(self) -> None:
        """Wait until :meth:`follow` has taken everything that the topics have now."""
        ends = await self._offsets.ends(self._partitions)
        while any(self._taken.get(tp, 0) < end for tp, end in ends.items()):
            async with self._took:
                await self._took.wait()

    async def measure(self) -> None:
        """Read the metrics again and again, for ever."""
        before, since = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(_SCRAPE_EVERY)
            await self.scrape()
            counted, now = self.counted, time.monotonic()
            self.picture.rates.append(max(0.0, counted - before) / (now - since))
            before, since = counted, now

    async def scrape(self) -> None:
        """Read every process's metrics once; one that does not answer keeps what it said last."""
        for role in self._supervisor.ports:
            with contextlib.suppress(OSError):
                self._samples[role] = await asyncio.to_thread(scrape, self._supervisor.metrics_url(role))
        picture = self.picture
        picture.lag = int(sum(total(samples, "leap_lag_records") for samples in self._samples.values()))
        picture.latency = self._latency.quantiles
        picture.restarts = self._supervisor.restarts

    @property
    def counted(self) -> float:
        """How many activities engagement has counted."""
        return total(self._samples.get("engagement", {}), "leap_activities_total", outcome="counted")

    def _take(self, tp: TopicPartition, records: Sequence[Any]) -> None:
        self._taken[tp] = records[-1].offset + 1
        if tp.topic == self._topics.dead_letters.name:
            self.picture.dead_letters += len(records)
            return
        take = self.picture.rating if tp.topic == self._topics.ratings.name else self.picture.alert
        for record in records:
            if record.value is not None:
                take(orjson.loads(record.value))
