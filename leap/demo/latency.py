"""How long an activity takes from its source to the read model: measured in Redis, on some of the activities."""

import asyncio
import time
from datetime import datetime
from types import TracebackType
from typing import Self

import orjson
from redis.asyncio import Redis

from leap.measure import quantile
from schemas.redis_keys import Keys

_ASK_EVERY = 0.005
_AT_ONCE = 3
_PATIENCE = 30.0
_CLOCK = 0.002
"""Kafka's times are whole milliseconds."""


class Latency:
    """Follows single activities: from just before a row is sent until the student's view in Redis has it."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        """Take a connection of its own."""
        self._redis = redis
        self._keys = keys
        self._under_way: set[asyncio.Task[None]] = set()
        self._seconds: list[float] = []

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        """Give up what is still under way."""
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def follow(self, student: str) -> None:
        """Follow an activity of a student that is sent now, unless enough others are under way."""
        if len(self._under_way) < _AT_ONCE:
            task = asyncio.create_task(self._follow(student, time.time()))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    @property
    def quantiles(self) -> tuple[float, float] | None:
        """The median and the 99th percentile in seconds, once there is a sample."""
        if not self._seconds:
            return None
        return quantile(0.5, self._seconds), quantile(0.99, self._seconds)

    async def _follow(self, student: str, sent: float) -> None:
        while (now := time.time()) - sent < _PATIENCE:
            doc = await self._redis.hget(self._keys.view(student), "doc")
            fresh = orjson.loads(doc)["recorded_at"] if doc else None
            if fresh and datetime.fromisoformat(fresh).timestamp() >= sent - _CLOCK:
                break
            await asyncio.sleep(_ASK_EVERY)
        self._seconds.append(now - sent)
