"""When a source has to pause: too many of its last records were of no use."""

from collections import deque
from collections.abc import Iterable


class Breaker:
    """The outcomes of a source's last ``size`` records; it trips when more than ``share`` of them were unusable.

    Not before there are so many, and never with a share of 1. No clock: a source that sends little is judged by what
    it sent, however long ago.
    """

    def __init__(self, size: int, share: float) -> None:
        """Begin without any outcome."""
        self.size = size
        self._share = share
        self._last: deque[bool] = deque(maxlen=size)

    def add(self, outcomes: Iterable[bool]) -> None:
        """Take the next outcomes, in order; True: the record was unusable."""
        self._last.extend(outcomes)

    @property
    def unusable(self) -> int:
        """How many of the last records were unusable."""
        return sum(self._last)

    @property
    def tripped(self) -> bool:
        """Whether the source has to pause."""
        return len(self._last) == self.size and self.exceeds(self.unusable, self.size)

    def exceeds(self, unusable: int, of: int) -> bool:
        """Say whether so many unusable records of so many are more than the share."""
        return unusable / of > self._share

    def clear(self) -> None:
        """Begin anew."""
        self._last.clear()
