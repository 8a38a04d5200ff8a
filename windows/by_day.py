"""What is remembered of a partition by day: sorted arrays that grow by batches and leave by whole days."""

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.int64]]

_MERGE_AT = 4096


class ByDay:
    """A sorted array a day, in two parts: a small one takes batches until it is worth merging into the large one."""

    def __init__(self, nothing: Array, merged: Callable[[Array, Array], Array]) -> None:
        """Know nothing. ``merged`` puts two arrays in order; ``nothing`` is an empty one."""
        self._nothing = nothing
        self.merged = merged
        self._days: dict[int, tuple[Array, Array]] = {}

    def __len__(self) -> int:
        """Return how many entries are held."""
        return sum(map(self.count, self._days))

    def parts(self, day: int) -> tuple[Array, ...]:
        """Return the parts of a day, each in order."""
        return self._days.get(day, ())

    def add(self, day: int, entries: Array) -> None:
        """Remember entries of a day."""
        large, small = self._days.get(day, (self._nothing, self._nothing))
        small = self.merged(small, entries)
        if len(small) > max(_MERGE_AT, len(large) // 8):
            large, small = self.merged(large, small), self._nothing
        self._days[day] = (large, small)

    def count(self, day: int) -> int:
        """Return how many entries of a day are held."""
        return sum(map(len, self.parts(day)))

    def of(self, day: int) -> Array:
        """Return the entries of a day, in order."""
        return self.merged(*self._days.get(day, (self._nothing, self._nothing)))

    def forget_before(self, day: int) -> None:
        """Forget every day before ``day``."""
        for old in [d for d in self._days if d < day]:
            del self._days[old]
