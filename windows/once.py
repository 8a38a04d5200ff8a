"""Once: the keys of what was counted, so that a repeat within the window does not count again.

A key is 63 bits of a keyed hash of what makes an activity one event at its source. What was taken back has the
complement of its key (``~``, below zero) beside it, so that it is taken back once, and stays so when it is sent again.
They are kept by day, as sorted arrays: 8 bytes a key, and a look-up of a whole batch is two binary searches.
"""

from typing import Any

import numpy as np

from windows.by_day import Array, ByDay

Keys = Array


class OnceKeys(ByDay):
    """The keys of one partition by day: membership of whole batches, forgetting of whole days."""

    def __init__(self) -> None:
        """Know nothing."""
        super().__init__(np.zeros(0, np.int64), merged)

    def seen(self, days: Any, keys: Keys) -> Any:
        """Say of each (day, key) whether it was added before."""
        result = np.zeros(len(keys), bool)
        for day in set(days.tolist()) if len(days) else ():
            mine = days == day
            wanted = keys[mine]
            for part in self.parts(day):
                result[mine] |= _within(part, wanted)
        return result

    def taken_back(self, days: Any, keys: Keys) -> Any:
        """Say of each (day, key) whether its complement was added before. Costs next to nothing where none was."""
        result = np.zeros(len(keys), bool)
        for day in set(days.tolist()) if len(days) else ():
            for part in self.parts(day):
                if len(part) and part[0] < 0:
                    mine = days == day
                    result[mine] |= _within(part, ~keys[mine])
        return result


def merged(left: Keys, right: Keys) -> Keys:
    """Return both in order.

    Two sorted runs: timsort merges them in one pass, where ``np.union1d`` would hash every key.
    """
    if not len(left):
        return np.sort(right)
    return np.sort(np.concatenate([left, right]), kind="stable")


def _within(sorted_keys: Keys, wanted: Keys) -> Any:
    if not len(sorted_keys):
        return np.zeros(len(wanted), bool)
    at = np.searchsorted(sorted_keys, wanted)
    at[at == len(sorted_keys)] = 0
    return sorted_keys[at] == wanted
