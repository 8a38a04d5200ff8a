"""Adapters of source systems, each by itself: whatever a record holds, one of the three outcomes, and fit for intake."""

import csv
import io
import math
import random
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from schemas.activities import ACTIVITIES
from streams.sources import Adapter, NotForUs, Outcome, Seen, Unusable
from tests.fuzz.mutation import assert_silent, bent, scrambled, text


def play(read: Adapter, good: Callable[[random.Random], bytes], rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it is an activity. ``good`` makes records, most of them usable."""
    for _ in range(inputs):
        raw = good(rng)
        draw = rng.random()
        if draw > 0.95:
            raw = rng.choice(
                (b"", b"[]", b"null", b"{}", b"\n\n", b",", rng.randbytes(30), raw + raw, b"[" * 900, _deep(raw))
            )
        elif draw > 0.7:
            raw = scrambled(rng, raw)
        outcome = read(raw)
        check(outcome)
        yield isinstance(outcome, Seen)


def check(outcome: Outcome) -> None:
    """Whatever an adapter makes of a record, intake can go on with it."""
    if not isinstance(outcome, Seen):
        assert isinstance(outcome, NotForUs | Unusable)
        assert_silent(outcome.reason)
        return
    assert outcome.person.encode()
    assert f"{outcome.event}{outcome.venue}".encode()
    assert outcome.activity in ACTIVITIES
    assert math.isfinite(outcome.at)
    assert 1 <= outcome.count <= 65_535


def _deep(raw: bytes) -> bytes:
    """Return an object with a member as deep as decoders go, which is deeper than recursion of ours may go."""
    return raw[:-1] + b',"x":' + b"[" * 900 + b"]" * 900 + b"}"


def json_record(rng: random.Random, record: dict[str, Any]) -> bytes:
    """Return a record as JSON, half of them with odd values."""
    return text(rng, bent(rng, record) if rng.random() < 0.5 else record)


def csv_record(rng: random.Random, record: Mapping[str, str]) -> bytes:
    """Return a record as a file of one row, half of them with odd values."""
    changed = bent(rng, dict(record)) if rng.random() < 0.5 else record
    out = io.StringIO()
    csv.writer(out, lineterminator=rng.choice(("\n", "\r\n", "\r"))).writerows([changed.keys(), changed.values()])
    return out.getvalue().encode()
