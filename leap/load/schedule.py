"""When each event is to be sent: fixed before the first one is, whatever the installation makes of it."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

Times = Any
"""Seconds from the start, rising: an array of floats."""


class Phase(NamedTuple):
    """So many seconds at so many events a second."""

    seconds: float
    rate: float


class Schedule:
    """The times of all events, as a Poisson process (independent users) or evenly spaced.

    The same phases and seed give the same times.
    """

    def __init__(self, phases: Sequence[Phase], *, even: bool = False, seed: int = 1) -> None:
        """Lay the phases one after the other."""
        lengths, rates = np.array(phases, float).T
        self._until = np.concatenate([[0.0], np.cumsum(lengths)])
        # How many events are expected up to each of these times; its inverse turns numbers of events into times.
        self._expected = np.concatenate([[0.0], np.cumsum(lengths * rates)])
        self._even = even
        self._seed = seed
        self.seconds = float(self._until[-1])
        self.expected = float(self._expected[-1])

    def blocks(self) -> Iterator[Times]:
        """Yield the times second by second, so that hours of them need not be held at once."""
        for second in range(int(np.ceil(self.seconds))):
            low, high = np.interp([second, second + 1], self._until, self._expected)
            if self._even:
                numbers = np.arange(np.ceil(low), np.ceil(high))
            else:
                rng = np.random.default_rng((self._seed, second))
                numbers = np.sort(rng.uniform(low, high, rng.poisson(high - low)))
            yield np.interp(numbers, self._expected, self._until)
