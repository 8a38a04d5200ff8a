"""Intake of Moodle's log: the adapter alone, and an intake process from the source's topic to the student log.

Everybody is on the roster, and the directory knows all of them. What counts is records a second of CPU time, the
process's own, which depends less than the clock on what else the machine does.
"""

import asyncio
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import orjson

from benchmarks import moodle
from benchmarks.load import STUDENTS, fill_roster, student
from benchmarks.processes import CPU, WAIT, running, samples, until, yardstick
from benchmarks.report import ROUNDS, Line, console
from leap.measure import total
from schemas import identities
from schemas.identities import Claim, Terms
from streams.admin import Offsets, create_topics
from streams.identities import Hashing
from streams.intake import partition_of
from streams.producer import Message, Producer
from streams.settings import Settings
from streams.sources import Options
from streams.sources.moodle import adapter

_ROWS = int(os.environ.get("LEAP_BENCH_ROWS", "600000"))
_SECRET = "benchmark-of-intake"  # noqa: S105 - of people who are made up
_CHUNK = 20_000
_TITLES = {
    "json": "Moodle's rows, orjson alone",
    "adapter": "Moodle's rows, the adapter",
    "passed_on": "Moodle's rows, aiokafka, read, decode and send on",
    "intake": "Moodle's rows, intake role, everything",
    "by_the_clock": "the same by the clock, rows/s",
}


def measure(kafka: str, redis: str, directory: Path) -> tuple[list[Line], dict[str, Any]]:
    """Fill Moodle's topic each round, and have an intake process, and a plain consumer, work it off."""
    rates: dict[str, list[float]] = {kind: [] for kind in _TITLES}
    for number in range(ROUNDS):
        settings = Settings(
            kafka=kafka, redis=redis, prefix=f"intake{number}", sources=("moodle",), identity_key=_SECRET
        )
        asyncio.run(_prepare(settings, directory))
        to = settings.topics.student_log.name
        plain = yardstick("passed-on", settings, settings.topics.source("moodle").name, _ROWS, to)
        round_ = {**_without_kafka(), "passed_on": plain["records"] / plain["cpu"], **_intake(settings, directory)}
        for kind, rate in round_.items():
            rates[kind].append(rate)
            console.print(f"round {number + 1}: {kind:12} {rate:12,.0f} /s")
    median = {kind: statistics.median(some) for kind, some in rates.items()}
    lines = [
        Line.of(title if kind == "by_the_clock" else f"{title}, rows/s of a core", rates[kind])
        for kind, title in _TITLES.items()
    ]
    return lines, {
        "moodle_rows": {
            "rows": _ROWS,
            "share_of_activities": moodle.ACTIVITIES,
            "per_second_of_a_core": {kind: round(rate) for kind, rate in median.items() if kind != "by_the_clock"},
            "intake_per_second": round(median["by_the_clock"]),
            "intake_times_passed_on": round(median["intake"] / median["passed_on"], 1),
        }
    }


def _without_kafka(rows: int = 100_000) -> dict[str, float]:
    made = moodle.rows(rows, STUDENTS, int(time.time()))
    rates = {}
    for kind, read in (("json", orjson.loads), ("adapter", adapter(Options()))):
        began = time.process_time()
        for row in made:
            read(row)
        rates[kind] = rows / (time.process_time() - began)
    return rates


async def _prepare(settings: Settings, directory: Path) -> None:
    """Make the topics; fill identities, roster and Moodle's topic."""
    await create_topics(settings)
    producer, offsets = Producer(settings, "bench"), Offsets(settings, "bench")
    await producer.start()
    await offsets.start()
    try:
        claims: defaultdict[int, list[Message]] = defaultdict(list)
        hashing, terms = Hashing(settings), identities.encode(Terms(identities.VERSION, int(time.time())))
        for i in range(STUDENTS):
            digest = hashing.of("moodle", str(moodle.FIRST_USER + i))[0]
            key = Claim("moodle", digest, None, student(i).decode()).key()
            claims[partition_of(key, settings.source_partitions)].append((key, terms, []))
        for place, messages in claims.items():
            await producer.deliver(settings.topics.identities.name, place, messages)
        with running(("worker", "roster"), settings, directory):
            await fill_roster(settings, producer, offsets)
        topic = settings.topics.source("moodle").name
        for first in range(0, _ROWS, _CHUNK):
            rows = moodle.rows(min(_CHUNK, _ROWS - first), STUDENTS, int(time.time()), first)
            place = first // _CHUNK % settings.source_partitions
            await producer.deliver(topic, place, [(None, row, []) for row in rows])
    finally:
        await producer.stop()
        await offsets.stop()


def _intake(settings: Settings, directory: Path) -> dict[str, float]:
    """Return how fast one intake process works the topic off, from the first tenth to the end."""
    name = "leap_source_records_total"
    marks: list[tuple[float, float, float]] = []
    with running(("worker", "intake"), settings, directory, LEAP_IDENTITY_KEY=_SECRET) as url:
        deadline = time.monotonic() + WAIT
        while not marks or marks[-1][0] < _ROWS:
            until(deadline, f"intake dealt with {marks[-1][0] if marks else 0:.0f} of {_ROWS} rows")
            now = samples(url, name, CPU)
            done = total(now, name)
            if done > _ROWS / 10 and (not marks or done > marks[-1][0]):
                marks.append((done, total(now, CPU), time.perf_counter()))
                unusable = total(now, name, outcome="waiting") + total(now, name, outcome="dead_letter")
                if unusable:
                    msg = f"intake could not use {unusable:.0f} rows"
                    raise RuntimeError(msg)
            time.sleep(0.2)  # a scrape costs the worker some milliseconds
    (first, cpu, began), (last, cpu_end, ended) = marks[0], marks[-1]
    return {"intake": (last - first) / (cpu_end - cpu), "by_the_clock": (last - first) / (ended - began)}
