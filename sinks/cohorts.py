"""Which of a department's figures can be shown without showing single students."""

from collections.abc import Mapping

SMALLEST_COHORT = 10
"""Fewer rated students than this, and nothing is shown."""
SMALLEST_COUNT = 5
"""A count from 1 to below this is not shown."""

SUPPRESSED = "suppressed"


def publishable(counts: Mapping[str, int]) -> dict[str, int | str]:
    """Return the figures to publish: ``rated``, and each rating's count or ``suppressed``.

    The total is shown, so one hidden count could be worked out from the others, and two that add up to 2 must be 1 and
    1. So the smallest other counts are hidden too, until at least two are and they add up to a count that may be shown.

    >>> publishable({"high": 20, "good": 8, "low": 2})
    {'rated': 30, 'high': 20, 'good': 'suppressed', 'low': 'suppressed'}
    >>> publishable({"high": 6, "good": 3})
    {'rated': 'suppressed', 'high': 'suppressed', 'good': 'suppressed'}
    """
    rated = sum(counts.values())
    if rated < SMALLEST_COHORT:
        return dict.fromkeys(("rated", *counts), SUPPRESSED)
    rising = sorted((name for name, count in counts.items() if count), key=lambda name: counts[name])
    hidden = [name for name in rising if counts[name] < SMALLEST_COUNT]
    if hidden:
        others = iter(rising[len(hidden) :])
        while len(hidden) < 2 or sum(counts[name] for name in hidden) < SMALLEST_COUNT:
            hidden.append(next(others))
    return {"rated": rated} | {name: SUPPRESSED if name in hidden else count for name, count in counts.items()}
