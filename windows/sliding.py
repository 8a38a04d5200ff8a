"""The sliding view: the mean day score of the last days, official (at a close) and live.

The *official* mean of the close of day C is the mean of the countable days among the ``w`` days that end on C::

    day      C-6  C-5  C-4  C-3  C-2  C-1   C  | C+1  C+2      w = 7
    score     -    -    40   20    0   60   0  |  80   0       first two days: before the start, not countable
    official  <------- 120 / 5 = 24.0 ------>
    e = C+1        <------- 200 / 6 = 33.3 ------->

The *live* rating is the highest mean over the window ends e from C to the last open day on which the student was
active. So it rises at once with an activity, and falls only at a close or by a correction: the open day's zeroes are
not held against anybody before the day is over.
"""

from typing import Any

import numpy as np

from schemas.state import Row
from windows.civil import Floats, Ints
from windows.daily import OPEN_DAYS
from windows.roster import Absences, Table, countable
from windows.scoring import DECIMALS, Bools, Rules, day_scores


class View:
    """Scores of the rows' days, from the oldest of the longest window to the second open day.

    ``days``: the range of day numbers; ``scores`` and ``countable``: (rows, days).
    """

    def __init__(self, rules: Rules, rows: Row, table: Table, absences: Absences, anchor: int) -> None:
        """Score the days of ``rows`` (all as of ``anchor``)."""
        policies = rules.policies
        self.window, self.longest, self.anchor = policies.window, policies.longest, anchor
        self.days = range(anchor - self.longest + 1, anchor + OPEN_DAYS + 1)
        shares, targets = rules.weights(range(anchor - self.window + 1, anchor + OPEN_DAYS + 1))
        recent = day_scores(rows["counts"], shares, targets)
        self.scores = np.concatenate([rows["older"], recent], axis=1)
        self.countable = countable(table, absences, self.days)
        self._masked = np.where(self.countable, self.scores, 0.0)
        self._part_time = table["part_time"]
        self._counts = rows["counts"]

    def means(self, end: int) -> tuple[Floats, Bools]:
        """Return the mean of each row's window that ends on day ``end``, and whether it has a countable day at all."""
        total, n = self._sums(end, self.window)
        if self.longest != self.window:
            longer, m = self._sums(end, self.longest)
            total, n = np.where(self._part_time, longer, total), np.where(self._part_time, m, n)
        return np.round(total / np.maximum(n, 1), DECIMALS), n > 0

    def live(self) -> tuple[Floats, Ints]:
        """Return each row's live mean and the day its window ends on.

        Meaningless for rows without a countable day at C.
        """
        best, _ = self.means(self.anchor)
        end: Ints = np.full(len(best), self.anchor, np.int32)
        active: Any = self._counts[:, self.window :].any(axis=2)
        for ahead in range(1, OPEN_DAYS + 1):
            reached = active[:, ahead - 1 :].any(axis=1)
            if not reached.any():
                break
            mean, counted = self.means(self.anchor + ahead)
            better = reached & counted & (mean > best)
            best = np.where(better, mean, best)
            end[better] = self.anchor + ahead
        return best, end

    def _sums(self, end: int, window: int) -> tuple[Floats, Floats]:
        stop = end - self.days.start + 1
        part = slice(max(stop - window, 0), stop)
        return self._masked[:, part].sum(axis=1), self.countable[:, part].sum(axis=1)
