"""How long an event takes from the broker's append to Redis, at a steady rate."""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from benchmarks.load import STUDENTS, fill_roster, student
from benchmarks.processes import running, samples
from benchmarks.report import Line
from leap.measure import Samples
from schemas.cloudevents import headers
from streams.admin import Offsets, create_topics
from streams.producer import Producer
from streams.settings import Settings

_RATE, _SECONDS, _WARM_UP = 2000, 30, 10
_BUCKETS = "leap_event_to_redis_seconds_bucket"


def measure(kafka: str, redis: str, directory: Path) -> tuple[list[Line], dict[str, Any]]:
    """Send events at the rate, and ask the read model."""
    found = asyncio.run(_measure(Settings(kafka=kafka, redis=redis, prefix="latency"), directory))
    line = Line(f"event to Redis at {_RATE:,} events/s, p50 / p99", f"{found['p50_ms']} / {found['p99_ms']} ms")
    return [line], {"event_to_redis": found}


async def _measure(settings: Settings, directory: Path) -> dict[str, float]:
    await create_topics(settings)
    producer, offsets = Producer(settings, "bench"), Offsets(settings, "bench")
    await producer.start()
    await offsets.start()
    with contextlib.ExitStack() as roles:
        urls = {
            role: roles.enter_context(running(("worker", role), settings, directory))
            for role in ("roster", "intake", "engagement", "readmodel")
        }
        await fill_roster(settings, producer, offsets)
        before = await _steady(settings, producer, urls["readmodel"], _WARM_UP)
        after = await _steady(settings, producer, urls["readmodel"], _SECONDS)
    await producer.stop()
    await offsets.stop()
    fresh = sorted((bound, count - dict(before).get(bound, 0.0)) for bound, count in after)
    return {
        "events_per_second": _RATE,
        "observed": fresh[-1][1],
        "p50_ms": round(quantile(fresh, 0.50) * 1000, 1),
        "p99_ms": round(quantile(fresh, 0.99) * 1000, 1),
    }


async def _steady(settings: Settings, producer: Producer, url: str, seconds: int) -> list[tuple[float, float]]:
    """Send events at the rate, a hundred times a second (ten times would be bursts).

    Returns the read model's times by then: how many took at most so long.
    """
    topic, ticks = settings.topics.source("events").name, 100
    began = time.monotonic()
    sent = 0
    for tick in range(seconds * ticks):
        due = began + tick / ticks
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        now = time.time()
        batch = []
        for _ in range(_RATE // ticks):
            event = {
                "student": student((sent * 7919) % STUDENTS).decode(),
                "activity": "moodle_course",
                "at": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}Z",
                "id": f"{began}-{sent}",
            }
            batch.append((None, orjson.dumps(event), headers("source", "/bench", str(sent))))
            sent += 1
        await producer.send(topic, tick % settings.source_partitions, batch)
    await asyncio.sleep(2.0)
    return _buckets(samples(url, _BUCKETS))


def _buckets(found: Samples) -> list[tuple[float, float]]:
    return sorted((float(dict(labels)["le"]), count) for (_, labels), count in found.items())


def quantile(buckets: Sequence[tuple[float, float]], share: float) -> float:
    """Return a quantile of a histogram, as Prometheus would: linear within the bucket."""
    wanted = share * buckets[-1][1]
    below_bound = below = 0.0
    for bound, count in buckets:
        if count >= wanted:
            return below_bound + (bound - below_bound) * (wanted - below) / max(count - below, 1.0)
        below_bound, below = bound, count
    return below_bound
