"""What is published of a department shows no single student."""

from itertools import product

import pytest

from sinks.cohorts import SMALLEST_COHORT, SMALLEST_COUNT, SUPPRESSED, publishable


def test_fewer_than_ten_rated_students_are_withheld_with_their_number() -> None:
    assert publishable({"high": 5, "low": 4}) == {"rated": SUPPRESSED, "high": SUPPRESSED, "low": SUPPRESSED}


def test_large_counts_and_zeros_are_shown() -> None:
    assert publishable({"high": 5, "good": 0, "low": 7}) == {"rated": 12, "high": 5, "good": 0, "low": 7}


def test_one_small_count_hides_the_next_smallest_too() -> None:
    shown = publishable({"high": 30, "good": 9, "low": 2})

    assert shown == {"rated": 41, "high": 30, "good": SUPPRESSED, "low": SUPPRESSED}


def test_two_small_counts_of_one_student_each_hide_a_third() -> None:
    shown = publishable({"high": 30, "good": 9, "low": 1, "very_low": 1})

    assert shown["good"] == shown["low"] == shown["very_low"] == SUPPRESSED


@pytest.mark.parametrize("first", [0, 1, 2, 4, 5, 9, 30])
def test_no_hidden_count_can_be_worked_out(first: int) -> None:
    """Every solution of what is shown is tried: a hidden small count must have at least two possible values."""
    for rest in product([0, 1, 3, 5, 12], repeat=2):
        counts = dict(zip(("high", "good", "low"), (first, *rest), strict=True))
        shown = publishable(counts)
        if sum(counts.values()) < SMALLEST_COHORT:
            continue
        hidden = [name for name, value in shown.items() if value == SUPPRESSED]
        left = sum(counts[name] for name in hidden)
        # Zeros are shown, so what is hidden is at least 1.
        solutions = [s for s in product(range(1, left + 1), repeat=len(hidden)) if sum(s) == left]
        for place, name in enumerate(hidden):
            if counts[name] < SMALLEST_COUNT:
                assert len({solution[place] for solution in solutions}) > 1, (counts, shown)
