"""The clock: absence sends no event, so somebody has to say that a day is over.

It writes one ``day-closed`` record a partition and day, when intake and roster have passed, on every partition they
read, what the broker had at midnight, and a grace is over; or after a patience, naming who is behind. Any number of
clocks may run: the first close of a (partition, day) wins. It also says when a feed turns stale or fresh.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import orjson
from aiokafka import TopicPartition

from schemas import log
from schemas.cloudevents import headers
from schemas.policy import PolicySet
from streams import metrics
from streams.admin import Offsets
from streams.producer import Producer, delivered
from streams.reader import connected, read_to_end
from streams.settings import Role, Settings
from windows.civil import CivilDays, date_of, number_of

logger = logging.getLogger(__name__)

_READERS: tuple[Role, ...] = ("intake", "roster")


class Clock:
    """Closes days. ``now`` gives the time (seconds since 1970); the demo and tests give their own."""

    def __init__(
        self, settings: Settings, policies: PolicySet, producer: Producer, offsets: Offsets, now: Callable[[], float]
    ) -> None:
        """Take what it works with; producer and offsets are already started."""
        self._settings = settings
        self._topics = settings.topics
        self._policies = policies
        self._civil = CivilDays(policies.zone)
        self._producer = producer
        self._offsets = offsets
        self._now = now
        self._closed: dict[int, int] = {}
        self._grown: dict[str, tuple[int, float]] = {}
        self._stale: set[str] = set()

    async def start(self) -> None:
        """Read what was closed before. A partition never closed begins with today."""
        self._closed = dict.fromkeys(range(self._settings.partitions), self._yesterday())
        async with connected(self._settings, "clock") as kafka:
            async for _, records in read_to_end(kafka, [TopicPartition(self._topics.clock.name, 0)]):
                for record in records:
                    self.recall(record)

    def recall(self, record: Any) -> None:
        """Take one record of ``leap.clock``.

        One that is not ours is left out: what it says would be taken for a day that is closed, and none after it would
        be.
        """
        try:
            kind, _, name = record.key.decode().partition("/")
            value = orjson.loads(record.value)
            if kind == "closed" and int(name) in self._closed:
                day = number_of(date.fromisoformat(value["day"]))
                # No day closes before its end, or before there was a policy.
                first = number_of(self._policies.policies[0].policy.effective_from)
                self._closed[int(name)] = min(max(day, first - 1), self._yesterday())
            elif kind == "feed":
                (self._stale.add if value["state"] == "stale" else self._stale.discard)(name)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            logger.warning("clock: a record of %s is not ours: %s", self._topics.clock.name, type(error).__name__)

    def _yesterday(self) -> int:
        return self._civil.day_of(self._now()) - 1

    async def run(self) -> None:
        """Close what is due and watch the feeds, for ever."""
        marks: dict[int, Mapping[TopicPartition, int]] = {}
        while True:
            await self.watch_feeds()
            day = min(self._closed.values()) + 1
            end = self._civil.end_of(day)
            now = self._now()
            if now >= end:
                if day not in marks:
                    marks = {day: await self.marks(end)}
                behind = await self.behind(marks[day])
                waited = now - end
                if waited >= self._settings.close_patience or (not behind and waited >= self._settings.close_grace):
                    await self.close(day, behind, stagger=self._settings.close_stagger)
                    continue
            await asyncio.sleep(min(5.0, max(0.2, end - now)))

    async def marks(self, instant: float) -> dict[TopicPartition, int]:
        """Return what intake and roster must have passed: what the broker had at an instant, a partition."""
        topics = [self._topics.students.name, *(topic.name for topic in self._topics.sources.values())]
        return await self._offsets.at(await self._offsets.partitions(topics), instant)

    async def behind(self, marks: Mapping[TopicPartition, int]) -> tuple[str, ...]:
        """Return the partitions on which what must be passed is not yet committed."""
        done: dict[TopicPartition, int] = {}
        roster = self._topics.students.name
        mine = {
            "roster": [tp for tp in marks if tp.topic == roster],
            "intake": [tp for tp in marks if tp.topic != roster],
        }
        for role in _READERS:
            done |= await self._offsets.committed(self._settings.group(role), mine[role])
        starts = await self._offsets.starts(marks)
        return tuple(
            sorted(f"{tp.topic}-{tp.partition}" for tp, mark in marks.items() if done.get(tp, starts[tp]) < mark)
        )

    async def close(self, day: int, behind: tuple[str, ...] = (), *, stagger: float = 0.0) -> None:
        """Write the close of a day to every partition that has not got it, spread over ``stagger`` seconds.

        Raises:
            DeliveryError: the broker did not take one; closing it again is harmless.
        """
        policy = self._policies.on(date_of(day))
        due = [number for number, closed in sorted(self._closed.items()) if closed < day]
        iso = date_of(day).isoformat()
        for number in due:
            named = behind[: log.MOST_BEHIND]
            record = log.DayClosed(iso, policy.version, policy.checksum, self._now(), named)
            message = (None, log.encode(record), headers("day-closed", "/leap/clock", f"{number}/{iso}"))
            await self._producer.deliver(self._topics.student_log.name, number, [message])
            self._closed[number] = day
            await self._remember(f"closed/{number}", {"day": iso})
            if stagger and number != due[-1]:
                await asyncio.sleep(stagger / len(due))
        logger.info(
            "closed %s under policy %s%s", iso, policy.version, f", behind: {', '.join(behind)}" if behind else ""
        )

    async def watch_feeds(self) -> None:
        """Note which source topics grow; say when one is silent for longer than the policy allows, or speaks again."""
        now = self._now()
        today = date_of(max(self._civil.day_of(now), number_of(self._policies.policies[0].policy.effective_from)))
        feeds = self._policies.on(today).feeds
        for source, topic in self._topics.sources.items():
            size = sum((await self._offsets.ends(await self._offsets.partitions([topic.name]))).values())
            known = self._grown.get(source)
            if known is None or size > known[0]:
                self._grown[source] = (size, now)
            seen = self._grown[source][1]
            metrics.feed_last_record.labels(source).set(seen)
            feed = feeds.get(source)
            if feed is None:
                continue
            late = now - seen > feed.expected_delay_hours * 3600
            spoke = known is not None and size > known[0]
            if late and source not in self._stale:
                await self._say_feed(source, "stale")
            elif spoke and source in self._stale:
                await self._say_feed(source, "fresh")
            metrics.feed_stale.labels(source).set(source in self._stale)

    async def _say_feed(self, feed: str, state: str) -> None:
        record = log.FeedState(feed, state, self._now())  # type: ignore[arg-type]
        message = (None, log.encode(record), headers("feed-state", "/leap/clock", f"{feed}/{self._now():.0f}"))
        under_way = []
        for number in range(self._settings.partitions):
            under_way += await self._producer.send(self._topics.student_log.name, number, [message])
        await delivered(under_way)
        (self._stale.add if state == "stale" else self._stale.discard)(feed)
        await self._remember(f"feed/{feed}", {"state": state})

    async def _remember(self, key: str, value: dict[str, str]) -> None:
        await self._producer.deliver(self._topics.clock.name, 0, [(key.encode(), orjson.dumps(value), [])])
