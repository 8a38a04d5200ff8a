"""Civil days: which day of the institution an instant falls on. No other code decides a day.

A day runs from one local midnight to the next, so it has 23 or 25 hours when the clocks change::

    Europe/London, 2026          25 Oct (25 h)
    UTC   22:00   23:00   00:00  ...   23:00   00:00   01:00
    ------------|---------------------------------|----------
      24 Oct    | 25 Oct 00:00 BST ...  23:59 GMT  | 26 Oct
"""

from datetime import UTC, date, datetime
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from schemas.state import FIRST_DAY, LAST_DAY

EPOCH = date(1970, 1, 1).toordinal()
FIRST = FIRST_DAY
LAST = LAST_DAY + 1

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int32]]


def number_of(day: date) -> int:
    """Return a date's day number.

    >>> number_of(date(2026, 10, 5))
    20731
    """
    return day.toordinal() - EPOCH


def date_of(day: int) -> date:
    """Return a day number's date.

    >>> date_of(20731)
    datetime.date(2026, 10, 5)
    """
    return date.fromordinal(day + EPOCH)


class CivilDays:
    """The days of one time zone, 1990 to 2099, as one array of boundaries.

    >>> london = CivilDays("Europe/London")
    >>> date_of(london.day_of(datetime(2026, 7, 1, 23, 30, tzinfo=UTC).timestamp()))
    datetime.date(2026, 7, 2)
    """

    def __init__(self, zone: str) -> None:
        """Lay out the boundaries of ``zone`` (an IANA name; KeyError if there is none)."""
        self.zone = zone
        self._starts = _boundaries(zone)

    def days_of(self, seconds: Floats) -> Ints:
        """Return the day of each instant (seconds since 1970, UTC).

        Before 1990 or after 2099: the nearest day there.
        """
        found = np.searchsorted(self._starts, seconds, side="right") - 1 + FIRST
        return np.clip(found, FIRST, LAST - 1).astype(np.int32)

    def day_of(self, seconds: float) -> int:
        """Return the day of one instant."""
        return int(self.days_of(np.array([seconds]))[0])

    def start_of(self, day: int) -> float:
        """Return the instant at which a day begins: the local midnight, in seconds since 1970."""
        return float(self._starts[day - FIRST])

    def end_of(self, day: int) -> float:
        """Return the instant at which a day ends: the start of the next."""
        return self.start_of(day + 1)


@cache
def _boundaries(zone: str) -> Floats:
    local = ZoneInfo(zone)
    midnights = (date.fromordinal(day + EPOCH) for day in range(FIRST, LAST + 1))
    return np.array(
        [datetime(d.year, d.month, d.day, tzinfo=local).astimezone(UTC).timestamp() for d in midnights], np.float64
    )
