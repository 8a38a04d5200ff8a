"""What every measurement has: rounds, lines of the table."""

import os
import statistics
from collections.abc import Sequence
from typing import NamedTuple, Self

from rich.console import Console

ROUNDS = int(os.environ.get("LEAP_BENCH_ROUNDS", "3"))

console = Console(stderr=True)


class Line(NamedTuple):
    """One line of the table: what was measured, its median, and what each round gave."""

    what: str
    median: str
    rounds: str = ""

    @classmethod
    def of(cls, what: str, rounds: Sequence[float], form: str = ",.0f") -> Self:
        """Return the line of a number that each round gave."""
        return cls(what, format(statistics.median(rounds), form), "  ".join(format(one, form) for one in rounds))
