"""Scores and bands: what a day's counts are worth, and which band a mean falls in.

Day score, 0 to 100::

    score = 100 x sum(weight x min(1, count / target)) / sum(weight)     over the activities with a weight

Worked example: weights login 2 (target 2), course 3 (target 10), everything else together 9. A day with one login and
five course views scores 100 x (2 x 0.5 + 3 x 0.5) / 14 = 17.857.

Bands are closed below: with ``partial = 10.0`` a mean of 10.0 is partial. Means are rounded to nine decimals before
they are compared or published, so that 20 / 7 x 7 is 20 whatever the order of the additions.
"""

from datetime import date
from typing import Any

import numpy as np

from schemas.activities import ACTIVITIES
from schemas.policy import Policy, PolicySet
from windows.civil import Floats, date_of, number_of

DECIMALS = 9
_LOWEST = ("low", "partial", "good", "high")

Bools = np.ndarray[Any, np.dtype[np.bool_]]
Codes = np.ndarray[Any, np.dtype[np.int8]]
Counts = np.ndarray[Any, np.dtype[np.uint16]]


def day_scores(counts: Counts, shares: Floats, targets: Floats) -> Floats:
    """Score days: ``counts`` (..., 11), ``shares`` and ``targets`` broadcast to it.

    Shares sum to 100 (or to 0: score 0).
    """
    scores: Floats = np.einsum("...a,...a->...", np.minimum(counts / targets, 1.0), shares)
    return scores


def bands(means: Floats, lowest: Floats) -> Codes:
    """Return the band code (0 very low to 4 high) of each rounded mean.

    ``lowest`` are the bands' lowest scores, rising.
    """
    return np.searchsorted(lowest, means, side="right").astype(np.int8)


class Rules:
    """The policies in array form, by day. Days before the first policy score 0 and count as teaching days."""

    def __init__(self, policies: PolicySet) -> None:
        """Lay the policies out; nothing is read again later."""
        self.policies = policies
        self._first = number_of(policies.policies[0].policy.effective_from)
        self._weights: dict[range, tuple[Floats, Floats]] = {}
        self._span = number_of(date(2100, 1, 1))
        teaching = np.ones(self._span, np.int32)
        for policy in policies.policies:
            start = number_of(policy.policy.effective_from)
            teaching[start:] = not policy.terms
            for term in policy.terms:
                teaching[max(start, number_of(term.first)) : number_of(term.last) + 1] = 1
        self._teaching = teaching.astype(bool)
        self._taught = np.concatenate([[0], np.cumsum(teaching)])

    def policy(self, day: int) -> Policy:
        """Return the policy in force on a day (before the first one: the first)."""
        return self.policies.on(date_of(max(day, self._first)))

    def weights(self, days: range) -> tuple[Floats, Floats]:
        """Return shares and targets, each (days, 11): shares sum to 100 a day."""
        known = self._weights.get(days)
        if known is None:
            shares, targets = zip(*map(self._lay_out, days), strict=True)
            known = self._weights[days] = np.stack(shares), np.stack(targets)
        return known

    def lowest(self, day: int) -> Floats:
        """Return the bands' lowest scores of a day's policy, rising: low, partial, good, high."""
        chosen = self.policy(day).bands
        return np.array([getattr(chosen, name) for name in _LOWEST])

    def teaching(self, day: int) -> bool:
        """Say whether a day lies in a term (always, if the policy has no terms)."""
        return bool(self._teaching[day])

    def taught_since(self, after: Any, through: int) -> Any:
        """Return the number of teaching days in (after, through], elementwise over ``after``."""
        return self._taught[through + 1] - self._taught[np.clip(after, 0, through) + 1]

    def _lay_out(self, day: int) -> tuple[Floats, Floats]:
        shares = np.zeros(len(ACTIVITIES))
        targets = np.ones(len(ACTIVITIES))
        if day < self._first:
            return shares, targets
        policy, on = self.policy(day), date_of(day)
        gone = {off.activity for off in policy.off if off.effect == "leaves" and off.first <= on <= off.last}
        lost = {off.activity for off in policy.off if off.effect == "lowers" and off.first <= on <= off.last}
        for code, name in enumerate(ACTIVITIES):
            indicator = policy.activities.get(name)
            if indicator is not None:
                targets[code] = indicator.target
                if indicator.weight and name not in gone:
                    shares[code] = indicator.weight
        if total := shares.sum():
            shares *= 100.0 / total
        for name in lost:
            shares[ACTIVITIES.index(name)] = 0.0
        return shares, targets
