"""What counts are worth."""

from datetime import date

import numpy as np
import pytest

from schemas.activities import CODES
from schemas.policy import PolicySet
from tests.agents.campus import policy
from windows.civil import number_of
from windows.scoring import Rules, bands, day_scores

ON = number_of(date(2026, 10, 5))
RULES = Rules(PolicySet([policy()]))


@pytest.mark.parametrize(
    ("tap_in", "course", "score"),
    [(0, 0, 0.0), (1, 0, 50.0), (9, 0, 50.0), (0, 5, 25.0), (1, 10, 100.0), (3, 65535, 100.0)],
)
def test_an_activity_gives_its_share_up_to_its_target(tap_in: int, course: int, score: float) -> None:
    counts = np.zeros((1, 1, 11), np.uint16)
    counts[0, 0, CODES["tap_in"]], counts[0, 0, CODES["moodle_course"]] = tap_in, course
    assert day_scores(counts, *RULES.weights(range(ON, ON + 1)))[0, 0] == score


def test_bands_are_closed_below() -> None:
    """low 5, partial 20, good 40, high 60"""
    means = np.array([0.0, 4.999999999, 5.0, 19.999999999, 20.0, 40.0, 59.9, 60.0, 100.0])
    assert bands(means, RULES.lowest(ON)).tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4]


def test_days_before_the_first_policy_score_nothing() -> None:
    shares, _ = RULES.weights(range(number_of(date(2025, 12, 31)), number_of(date(2025, 12, 31)) + 1))
    assert shares.sum() == 0


def test_teaching_days_are_counted_between_two_days() -> None:
    terms = [{"name": "t", "first": "2026-10-05", "last": "2026-10-09"}]
    rules = Rules(PolicySet([policy(terms=terms)]))
    assert rules.taught_since(ON - 3, ON + 6) == 5
    assert rules.taught_since(ON, ON + 6) == 4
    assert rules.taught_since(ON + 6, ON + 6) == 0
