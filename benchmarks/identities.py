"""What it takes to know who it was: memory and look-ups of the claims that an intake process holds.

    python -m benchmarks.identities CLAIMS

The claims are taken up as the records of the topic that they are, without Kafka. A process of its own, so that its
memory is that of the claims. It prints one JSON object.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Line, console
from schemas import identities
from schemas.identities import Claim, Terms
from streams.identities import IdentityView
from streams.settings import Settings
from windows.civil import CivilDays

_CLAIMS = int(os.environ.get("LEAP_BENCH_CLAIMS", "17000000"))
_STUDENTS_EACH = 5
_SINCE = date(2026, 9, 28)
_AT_ONCE = 100_000
_BATCH = 2_000
_BATCHES = 200
_CHANGES = 20_000
_AT = 1_791_194_400.0
_SECRET = "benchmark-of-identities"  # noqa: S105 - of people who are made up


def measure(kafka: str, redis: str, directory: Path) -> tuple[list[Line], dict[str, Any]]:  # noqa: ARG001
    """Have a process hold the claims, once: it takes minutes."""
    console.print(f"identities: a process takes up {_CLAIMS:,} claims")
    command = [sys.executable, "-m", "benchmarks.identities", str(_CLAIMS)]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own words, and no shell
    found: dict[str, Any] = json.loads(done.stdout)
    what = f"{found['claims']:,} identities"
    return [
        Line(f"{what}, memory of the process / columns", f"{found['resident_mb']:,} / {found['columns_mb']:,} MB"),
        Line(f"{what}, taken up, claims/s of a core", f"{found['taken_per_second']:,}"),
        Line(f"{what}, look-ups/s of a core", f"{found['looked_up_per_second']:,}"),
        Line(f"{what}, {_CHANGES:,} changes merged", f"{found['merge_seconds']} s"),
    ], {"identities": found}


def _resident() -> float:
    """Return this process's memory in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() / 2**20


async def _measure(claims: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    view = IdentityView(Settings(identity_key=_SECRET), CivilDays("Europe/London"))
    terms = identities.encode(Terms(identities.VERSION, int(_AT)))
    before, taking = _resident(), 0.0
    for first in range(0, claims, _AT_ONCE):
        numbers = range(first, min(first + _AT_ONCE, claims))
        digests = _digests(view, numbers)
        records = [
            # A card has a first day, an account was always its student's.
            Claim("moodle", digest, None if number % 2 else _SINCE, f"s{number // _STUDENTS_EACH:07d}").key()
            for number, digest in zip(numbers, digests, strict=True)
        ]
        began = time.process_time()
        for key in records:
            view.take(key, terms)
        taking += time.process_time() - began
    view.table.merge()
    holding = _resident() - before

    known = rng.integers(0, claims, _BATCH * _BATCHES // 2)
    strangers = claims + rng.integers(0, claims, len(known))
    asked = np.concatenate([known, strangers])
    rng.shuffle(asked)
    people = [(str(number), _AT) for number in asked.tolist()]
    began = time.process_time()
    found = sum(
        student is not None
        for start in range(0, len(people), _BATCH)
        for student in view.look_up("moodle", people[start : start + _BATCH])
    )
    looking = time.process_time() - began
    if found != len(known):
        msg = f"{found} of {len(known)} known keys were found"
        raise RuntimeError(msg)

    changed = [Claim("moodle", digest, None, "another").key() for digest in _digests(view, range(_CHANGES))]
    for key in changed:
        view.take(key, terms)
    began = time.perf_counter()
    view.table.merge()
    merging = time.perf_counter() - began
    await view.stop()
    return {
        "claims": claims,
        "students": len(view.table.students),
        "columns_mb": round(view.table.nbytes / 2**20),
        "resident_mb": round(holding),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10 - before),
        "taken_per_second": round(claims / taking),
        "looked_up_per_second": round(len(people) / looking),
        "merge_seconds": round(merging, 2),
    }


def _digests(view: IdentityView, numbers: range) -> list[int]:
    return [view._hashing.of("moodle", str(number))[0] for number in numbers]


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_measure(int(sys.argv[1])))))
