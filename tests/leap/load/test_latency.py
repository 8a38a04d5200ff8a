"""Latency counts from when an event was to be sent, whatever was under way at the time."""

import orjson
import pytest
from redis.asyncio import Redis

from leap.load.latency import Awaited, Histogram, Sampler
from schemas.redis_keys import Keys

DAY, BEFORE = "2026-10-05", "2026-10-04"


def doc(**counts: int) -> bytes:
    return orjson.dumps({"days": [{"day": BEFORE, "counts": {"tap_in": 9}}, {"day": DAY, "counts": counts}]})


@pytest.fixture
def sampler() -> Sampler:
    return Sampler(Redis(), Keys())


def test_quantiles_are_of_all_times_to_three_digits() -> None:
    held = Histogram()
    for ms in range(1, 1001):
        held.add(ms / 1000)

    found = held.milliseconds()
    assert found == pytest.approx({"p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000}, rel=0.002)
    assert held.slow == 0


def test_what_took_longer_than_a_second_is_counted() -> None:
    held = Histogram()
    held.add(1.5, 3)
    held.add(0.5, 2)

    assert (len(held), held.slow) == (5, 3)


def test_nothing_measured_is_no_number() -> None:
    assert Histogram().milliseconds() == {}


def test_an_event_has_arrived_when_the_view_counts_it_and_not_before(sampler: Sampler) -> None:
    sampler.expect("s", DAY, 10.0)
    sampler.expect("s", DAY, 10.5)
    first, second = sampler.under_way
    sampler.under_way.clear()

    sampler.judge([first, second], {"s": doc(zoom=1)}, now=11.0)
    assert list(sampler.under_way) == [second]
    sampler.under_way.clear()
    sampler.judge([second], {"s": doc(zoom=1, tap_in=1)}, now=12.0)

    assert sampler.by_second == {10: [1000.0, 1500.0]}
    assert not sampler.under_way


def test_a_student_without_a_view_or_redis_that_does_not_answer_is_asked_again(sampler: Sampler) -> None:
    awaited = Awaited("s", DAY, 1, 0.0)
    sampler.judge([awaited], {"s": None}, now=1.0)
    sampler.judge([awaited], {}, now=2.0)

    assert list(sampler.under_way) == [awaited, awaited]
    assert len(sampler.histogram) == 0


def test_a_stall_costs_every_event_that_was_due_in_it(sampler: Sampler) -> None:
    """A sender that waited through the stall would have measured one slow event and missed the other nine."""
    for n in range(10):
        sampler.expect(f"s{n}", DAY, float(n))
    stalled = list(sampler.under_way)
    sampler.under_way.clear()
    sampler.judge(stalled, {f"s{n}": doc(zoom=1) for n in range(10)}, now=10.0)

    found = sampler.histogram.milliseconds()
    assert found["max"] == pytest.approx(10_000, rel=0.001)
    assert found["p50"] == pytest.approx(5_000, rel=0.001)
