"""The processes that are measured, as they run in earnest (`leap worker ROLE`, `leap gateway`), and the yardsticks."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from deploy.servers import free_port
from leap.measure import Samples, scrape
from streams.settings import Settings

WAIT = 300.0
"""Seconds for which anything may take."""
CPU = "process_cpu_seconds_total"
"""The metric of every process that says how much of a core it has used."""


@contextlib.contextmanager
def running(words: Sequence[str], settings: Settings, directory: Path, **more: str) -> Iterator[str]:
    """Run a command of ours as a process of its own; gives the URL of its metrics. ``more``: further settings."""
    port = free_port()
    environment = {
        **os.environ,
        "LEAP_KAFKA": settings.kafka,
        "LEAP_REDIS": settings.redis,
        "LEAP_PREFIX": settings.prefix,
        "LEAP_SOURCES": json.dumps(settings.sources),
        "LEAP_METRICS_PORT": str(port),
        "LEAP_HASH_KEY": "benchmark",
        **more,
    }
    with (directory / f"{settings.prefix}-{words[-1]}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own words, and no shell
            [sys.executable, "-m", "leap.main", *words], env=environment, stdout=log, stderr=log
        )
    try:
        yield f"http://127.0.0.1:{port}/metrics"
    finally:
        process.terminate()
        process.wait(30)


def samples(url: str, *names: str) -> Samples:
    """Return a process's metrics, or those of these names; none while it does not answer yet."""
    try:
        return scrape(url, names)
    except OSError:
        return {}


def until(deadline: float, what: str) -> None:
    """Raise TimeoutError when the deadline (monotonic) is over; ``what``: what has not happened."""
    if time.monotonic() > deadline:
        msg = f"{what} in {WAIT:.0f} s"
        raise TimeoutError(msg)


def yardstick(kind: str, settings: Settings, topic: str, records: int, *more: str) -> dict[str, Any]:
    """Return what one of the readers measured (:mod:`benchmarks.readers`)."""
    command = [sys.executable, "-m", "benchmarks.readers", kind, settings.kafka, topic, str(records), *more]
    done = subprocess.run(command, capture_output=True, timeout=WAIT, check=True)  # noqa: S603 - as above
    last = done.stdout.decode().splitlines()[-1]
    found: dict[str, Any] = json.loads(last[last.index("{") :])  # Faust's spinner writes escape codes in front of it
    return found
