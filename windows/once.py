"""Once: the keys of what was counted, so that a repeat within the window does not count again.

A key is 63 bits of a keyed hash of what makes an activity one event at its source. They are kept by day, as sorted
arrays: 8 bytes a key, and a look-up of a whole batch is two binary searches.
"""

from typing import Any

import numpy as np

Keys = np.ndarray[Any, np.dtype[np.int64]]
_NONE: Keys = np.zeros(0, np.int64)
_MERGE_AT = 4096


class OnceKeys:
    """The keys of one partition by day: membership of whole batches, forgetting of whole days."""

    def __init__(self) -> None:
        """Know nothing."""
        self._days: dict[int, tuple[Keys, Keys]] = {}

    def __len__(self) -> int:
        """Return how many keys are held."""
        return sum(len(large) + len(small) for large, small in self._days.values())

    def seen(self, days: Any, keys: Keys) -> Any:
        """Say of each (day, key) whether it was added before."""
        result = np.zeros(len(keys), bool)
        for day in set(days.tolist()) if len(days) else ():
            large, small = self._days.get(day, (_NONE, _NONE))
            mine = days == day
            wanted = keys[mine]
            result[mine] = _within(large, wanted) | _within(small, wanted)
        return result

    def add(self, day: int, keys: Keys) -> None:
        """Remember keys of a day; a small array takes them until it is worth merging into the large one."""
        large, small = self._days.get(day, (_NONE, _NONE))
        small = merged(small, keys)
        if len(small) > max(_MERGE_AT, len(large) // 8):
            large, small = merged(large, small), _NONE
        self._days[day] = (large, small)

    def count(self, day: int) -> int:
        """Return how many keys of a day are held."""
        return sum(map(len, self._days.get(day, ())))

    def of(self, day: int) -> Keys:
        """Return the keys of a day, sorted."""
        return merged(*self._days.get(day, (_NONE, _NONE)))

    def forget_before(self, day: int) -> None:
        """Forget every day before ``day``."""
        for old in [d for d in self._days if d < day]:
            del self._days[old]


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
