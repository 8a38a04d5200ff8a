"""``make bench``: throughput and latency, on real Kafka, both sides in one run, alternating, medians.

Every process runs on this machine, the broker too; what counts is the ratio. The last line is one JSON object.
"""

import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console
from rich.table import Table

from benchmarks.load import STUDENTS, fill_log, student
from deploy.servers import ApacheKafka, EmbeddedValkey, free_port
from schemas.cloudevents import headers
from streams.admin import Offsets, create_topics
from streams.intake import partition_of
from streams.producer import Producer
from streams.settings import Settings

ROUNDS = int(os.environ.get("LEAP_BENCH_ROUNDS", "3"))
EVENTS = int(os.environ.get("LEAP_BENCH_EVENTS", "1500000"))
_FAUST_EVENTS = 40_000
_RATE, _LATENCY_SECONDS, _WARM_UP = 2000, 30, 10
_WAIT = 300.0

console = Console(stderr=True)


@contextlib.contextmanager
def worker(role: str, settings: Settings, directory: Path) -> Iterator[int]:
    """Run one role as a process of its own; gives the port of its metrics."""
    port = free_port()
    environment = {
        **os.environ,
        "LEAP_KAFKA": settings.kafka,
        "LEAP_REDIS": settings.redis,
        "LEAP_PREFIX": settings.prefix,
        "LEAP_METRICS_PORT": str(port),
        "LEAP_HASH_KEY": "benchmark",
    }
    with (directory / f"{settings.prefix}-{role}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words, and no shell
            [sys.executable, "-m", "leap.main", "worker", role], env=environment, stdout=log, stderr=log
        )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(30)


def scrape(port: int) -> dict[str, float]:
    """Return a worker's metrics, name and labels to value (empty while it does not answer yet)."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    return {
        sample.name + "".join(f",{k}={v}" for k, v in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def engagement(settings: Settings, events: int, directory: Path) -> float:
    """Return activities a second of the whole engagement role, from the first tenth to the end."""
    marks: list[tuple[float, float]] = []
    with worker("engagement", settings, directory) as port:
        deadline = time.monotonic() + _WAIT
        while not marks or marks[-1][1] < events:
            if time.monotonic() > deadline:
                msg = f"engagement counted {marks[-1][1] if marks else 0:.0f} of {events} activities in {_WAIT:.0f} s"
                raise TimeoutError(msg)
            counted = scrape(port).get("leap_activities_total,outcome=counted", 0.0)
            if counted > events / 10 and (not marks or counted > marks[-1][1]):
                marks.append((time.perf_counter(), counted))
            time.sleep(0.2)  # a scrape costs the worker some milliseconds
    (began, first), (ended, last) = marks[0], marks[-1]
    return (last - first) / (ended - began)


def yardstick(kind: str, settings: Settings, records: int) -> float:
    """Return records a second of one of the readers."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.readers",
        kind,
        settings.kafka,
        settings.topics.student_log.name,
        str(records),
    ]
    done = subprocess.run(command, capture_output=True, timeout=_WAIT, check=True)  # noqa: S603 - as above
    last = done.stdout.decode().splitlines()[-1]
    result = json.loads(last[last.index("{") :])  # Faust's spinner writes escape codes in front of it
    return float(result["records"] / result["seconds"])


def quantile(samples: dict[str, float], name: str, share: float) -> float:
    """Return a quantile of a histogram, as Prometheus would: linear within the bucket."""
    buckets = sorted(
        (float(key.split("le=")[1]), value) for key, value in samples.items() if key.startswith(f"{name}_bucket")
    )
    wanted = share * buckets[-1][1]
    below_bound = below = 0.0
    for bound, count in buckets:
        if count >= wanted:
            return below_bound + (bound - below_bound) * (wanted - below) / max(count - below, 1.0)
        below_bound, below = bound, count
    return below_bound


async def latency(settings: Settings, directory: Path) -> dict[str, float]:
    """Return p50 and p99 from the broker's append of a source event to Redis, at a steady rate, in milliseconds."""
    await create_topics(settings)
    producer, offsets = Producer(settings, "bench"), Offsets(settings)
    await producer.start()
    await offsets.start()
    with contextlib.ExitStack() as roles:
        ports = {
            role: roles.enter_context(worker(role, settings, directory))
            for role in ("roster", "intake", "engagement", "readmodel")
        }
        await _roster(settings, producer, offsets)
        before = await _steady(settings, producer, ports["readmodel"], _WARM_UP)
        after = await _steady(settings, producer, ports["readmodel"], _LATENCY_SECONDS)
    await producer.stop()
    await offsets.stop()
    name = "leap_event_to_redis_seconds"
    fresh = {key: value - before.get(key, 0.0) for key, value in after.items() if key.startswith(name)}
    return {
        "events_per_second": _RATE,
        "observed": fresh[f"{name}_count"],
        "p50_ms": round(quantile(fresh, name, 0.50) * 1000, 1),
        "p99_ms": round(quantile(fresh, name, 0.99) * 1000, 1),
    }


async def _roster(settings: Settings, producer: Producer, offsets: Offsets) -> None:
    by_place: dict[int, list[Any]] = {}
    for i in range(STUDENTS):
        key = student(i)
        by_place.setdefault(partition_of(key, settings.partitions), []).append(
            (key, orjson.dumps({"student": key.decode()}), headers("student", "/bench", str(i)))
        )
    for place, messages in by_place.items():
        await producer.deliver(settings.topics.students.name, place, messages)
    partitions = await offsets.partitions([settings.topics.students.name])
    async with asyncio.timeout(_WAIT):
        while sum((await offsets.committed(settings.group("roster"), partitions)).values()) < STUDENTS:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def _steady(settings: Settings, producer: Producer, port: int, seconds: int) -> dict[str, float]:
    """Send events at the rate (ten times a second would be bursts.

    A hundred times), then return the read model's metrics.
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
    return scrape(port)


def main() -> None:
    """Run everything and print the table and the JSON line."""
    results: dict[str, list[float]] = {"engagement": [], "faust": [], "aiokafka": [], "librdkafka": []}
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        kafka, valkey = ApacheKafka(directory / "kafka"), EmbeddedValkey(directory / "valkey")
        with kafka, valkey:
            for number in range(ROUNDS):
                settings = Settings(kafka=kafka.address, redis=valkey.url, prefix=f"bench{number}")
                records = asyncio.run(_prepare(settings))
                for kind in ("aiokafka", "engagement", "librdkafka", "faust"):
                    if kind == "engagement":
                        rate = engagement(settings, EVENTS, directory)
                    else:
                        rate = yardstick(kind, settings, _FAUST_EVENTS if kind == "faust" else records)
                    results[kind].append(rate)
                    console.print(f"round {number + 1}: {kind:11} {rate:12,.0f} /s")
            lag = asyncio.run(latency(Settings(kafka=kafka.address, redis=valkey.url, prefix="latency"), directory))
    median = {kind: statistics.median(rates) for kind, rates in results.items()}
    table = Table(
        title=f"{ROUNDS} rounds of {EVENTS:,} events, {STUDENTS:,} students, 4 partitions, {os.cpu_count()} cores"
    )
    for column in ("what", "median /s", "rounds"):
        table.add_column(column, justify="left" if column == "what" else "right")
    titles = {
        "engagement": "engagement role, everything",
        "faust": "stock Faust, one table write an event",
        "aiokafka": "aiokafka, read and decode",
        "librdkafka": "librdkafka, read and decode",
    }
    for kind, title in titles.items():
        table.add_row(title, f"{median[kind]:,.0f}", "  ".join(f"{rate:,.0f}" for rate in results[kind]))
    table.add_row("event to Redis at 2,000 events/s, p50 / p99", f"{lag['p50_ms']} / {lag['p99_ms']} ms", "")
    console.print(table)
    print(
        json.dumps(
            {
                "events_per_second": {kind: round(rate) for kind, rate in median.items()},
                "times_stock_faust": round(median["engagement"] / median["faust"], 1),
                "share_of_aiokafka": round(median["engagement"] / median["aiokafka"], 2),
                "share_of_librdkafka": round(median["engagement"] / median["librdkafka"], 2),
                "event_to_redis": lag,
            }
        )
    )


async def _prepare(settings: Settings) -> int:
    await create_topics(settings)
    producer = Producer(settings, "bench")
    await producer.start()
    try:
        return await fill_log(settings, producer, EVENTS)
    finally:
        await producer.stop()


if __name__ == "__main__":
    main()
