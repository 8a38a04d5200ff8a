"""How many activities a second the engagement role takes, beside what others make of the same log."""

import asyncio
import os
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.load import STUDENTS, fill_log
from benchmarks.processes import WAIT, running, samples, until, yardstick
from benchmarks.report import ROUNDS, Line, console
from leap.measure import total
from streams.admin import create_topics
from streams.producer import Producer
from streams.settings import Settings

_EVENTS = int(os.environ.get("LEAP_BENCH_EVENTS", "1500000"))
_FAUST_EVENTS = 40_000
_TITLES = {
    "engagement": "engagement role, everything",
    "faust": "stock Faust, one table write an event",
    "aiokafka": "aiokafka, read and decode",
    "librdkafka": "librdkafka, read and decode",
}


def measure(kafka: str, redis: str, directory: Path) -> tuple[list[Line], dict[str, Any]]:
    """Fill a log each round, and have each of them read it."""
    rates: dict[str, list[float]] = {kind: [] for kind in _TITLES}
    for number in range(ROUNDS):
        settings = Settings(kafka=kafka, redis=redis, prefix=f"bench{number}")
        records = asyncio.run(_prepare(settings))
        for kind in ("aiokafka", "engagement", "librdkafka", "faust"):
            if kind == "engagement":
                rate = _engagement(settings, directory)
            else:
                wanted = _FAUST_EVENTS if kind == "faust" else records
                found = yardstick(kind, settings, settings.topics.student_log.name, wanted)
                rate = found["records"] / found["seconds"]
            rates[kind].append(rate)
            console.print(f"round {number + 1}: {kind:11} {rate:12,.0f} /s")
    median = {kind: statistics.median(some) for kind, some in rates.items()}
    return [Line.of(f"{title}, events/s", rates[kind]) for kind, title in _TITLES.items()], {
        "events": _EVENTS,
        "students": STUDENTS,
        "events_per_second": {kind: round(rate) for kind, rate in median.items()},
        "times_stock_faust": round(median["engagement"] / median["faust"], 1),
        "share_of_aiokafka": round(median["engagement"] / median["aiokafka"], 2),
        "share_of_librdkafka": round(median["engagement"] / median["librdkafka"], 2),
    }


async def _prepare(settings: Settings) -> int:
    await create_topics(settings)
    producer = Producer(settings, "bench")
    await producer.start()
    try:
        return await fill_log(settings, producer, _EVENTS)
    finally:
        await producer.stop()


def _engagement(settings: Settings, directory: Path) -> float:
    """Return activities a second of the whole engagement role, from the first tenth to the end."""
    marks: list[tuple[float, float]] = []
    with running(("worker", "engagement"), settings, directory) as url:
        deadline = time.monotonic() + WAIT
        while not marks or marks[-1][1] < _EVENTS:
            until(deadline, f"engagement counted {marks[-1][1] if marks else 0:.0f} of {_EVENTS} activities")
            name = "leap_activities_total"
            counted = total(samples(url, name), name, outcome="counted")
            if counted > _EVENTS / 10 and (not marks or counted > marks[-1][1]):
                marks.append((time.perf_counter(), counted))
            time.sleep(0.2)  # a scrape costs the worker some milliseconds
    (began, first), (ended, last) = marks[0], marks[-1]
    return (last - first) / (ended - began)
