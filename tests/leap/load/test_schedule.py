"""When events are sent is fixed beforehand: by phases and seed alone."""

import numpy as np
import pytest

from leap.load.plan import Plan
from leap.load.population import SAMPLES_A_SECOND, Population
from leap.load.schedule import Phase, Schedule


def times(schedule: Schedule) -> np.ndarray:
    return np.concatenate(list(schedule.blocks()))


def test_the_same_seed_gives_the_same_times_and_another_one_others() -> None:
    phases = [Phase(5, 200)]

    assert np.array_equal(times(Schedule(phases, seed=3)), times(Schedule(phases, seed=3)))
    assert not np.array_equal(times(Schedule(phases, seed=3))[:10], times(Schedule(phases, seed=4))[:10])


def test_evenly_spaced_events_are_as_many_as_asked_and_equally_far_apart() -> None:
    found = times(Schedule([Phase(2.5, 40)], even=True))

    assert len(found) == 100
    assert np.diff(found) == pytest.approx(np.full(99, 1 / 40))


def test_random_events_come_at_the_rate_and_at_independent_times() -> None:
    found = times(Schedule([Phase(100, 100)]))

    # 10,000 expected: 5 standard deviations of a Poisson number are 500.
    assert abs(len(found) - 10_000) < 500
    gaps = np.diff(found)
    assert (gaps >= 0).all()
    # The gaps of a Poisson process vary as much as their mean; those of a regular one do not.
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.1)


def test_a_phase_may_begin_within_a_second() -> None:
    found = times(Schedule([Phase(0.5, 10), Phase(0.25, 1000), Phase(0.75, 10)], even=True))

    assert np.histogram(found, [0, 0.5, 0.75, 1.5])[0].tolist() == pytest.approx([5, 250, 8], abs=1)
    assert found[-1] < 1.5


def test_the_burst_is_twenty_times_the_rate_in_the_middle() -> None:
    found = times(Plan("burst", rate=50, students=100, minutes=1, even=True).schedule)

    before, burst, after = np.histogram(found, [0, 28.5, 31.5, 60])[0]
    assert burst == pytest.approx(20 * 50 * 3, abs=1)
    assert before == pytest.approx(after, abs=1)


def test_a_student_is_either_watched_or_gets_the_other_events() -> None:
    population = Population(500)
    sends = [send for second in population.draw(Schedule([Phase(4, 1000)], even=True)) for send in second]

    watched = [number for number, send in enumerate(sends) if send.student < population.watched]
    # One in twenty: which ones does not depend on how the system does.
    assert watched == list(range(0, 4000, 1000 // SAMPLES_A_SECOND))
    assert {send.student for send in sends} <= set(range(500))
    assert {send.activity for send in sends} == set(range(11))
