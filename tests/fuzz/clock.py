"""The clock's memory: whatever stands on ``leap.clock``, the clock starts, and with days that can have been closed."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson

from streams.clock import Clock
from streams.settings import Settings
from tests.fuzz.log import _POLICIES
from tests.fuzz.mutation import bent, odd, record, scrambled, text
from windows.civil import date_of, number_of

NAME = "clock"
_NOW = datetime(2026, 10, 20, 12, tzinfo=UTC).timestamp()
_KEYS = (b"closed/0", b"closed/3", b"closed/4", b"closed/-1", b"closed/x", b"feed/f1", b"x", b"", b"\xff", None)


def play(rng: random.Random, inputs: int) -> Iterator[bool]:
    """Play one round; yields for each input whether it was accepted."""
    unused: Any = None
    clock = Clock(Settings(_env_file=None), _POLICIES, unused, unused, lambda: _NOW)  # type: ignore[call-arg]
    yesterday = number_of(datetime(2026, 10, 19, tzinfo=UTC).date())
    clock._closed = dict.fromkeys(range(4), yesterday)
    for _ in range(inputs):
        key = rng.choice(_KEYS)
        day = rng.choice(("2026-10-18", "2099-12-31", "0001-01-01", "9999-12-31", "2025-12-31"))
        good = {"day": day} if key and key.startswith(b"closed") else {"state": rng.choice(("stale", "fresh"))}
        draw = rng.random()
        raw = orjson.dumps(good) if draw < 0.4 else text(rng, bent(rng, good))
        if draw > 0.8:
            raw = scrambled(rng, raw)
        before = dict(clock._closed), set(clock._stale)
        clock.recall(record(0, key, rng.choice((raw, raw, raw, None)), [("x", odd(rng) and b"")]))
        assert clock._closed.keys() == set(range(4))
        for closed in clock._closed.values():
            assert closed <= yesterday
            _POLICIES.on(date_of(closed + 1))
        yield (dict(clock._closed), set(clock._stale)) != before
