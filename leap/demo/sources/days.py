"""Instants of today and of days before, so that a run comes to the same at every hour of the day.

::

    00:00                 now                    00:00
      |--------------------|-----------------------|        at(0, share): somewhere in here, as far as today has come
      |-------| 2 min                                       or here, if it has only begun: intake allows 5 min ahead

What is written with a minute, or without a zone, still falls on the same day.
"""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from windows.civil import CivilDays, date_of

_LEAST = 120.0
MIDNIGHT_IN = 60.0
"""A run that begins so many seconds before midnight would end on another day than it began on."""


@dataclass(frozen=True)
class Days:
    """Today and the days before it, in an institution's zone; ``now``: seconds since 1970."""

    zone: str
    now: float

    @property
    def _civil(self) -> CivilDays:
        return CivilDays(self.zone)

    @property
    def left(self) -> float:
        """Seconds until midnight."""
        return self._civil.end_of(self._civil.day_of(self.now)) - self.now

    def date(self, back: int) -> date:
        """Return the date of so many days ago."""
        return date_of(self._civil.day_of(self.now) - back)

    def at(self, back: int, share: float) -> float:
        """Return an instant of the day so many days ago, in whole seconds: ``share`` (0 to 1) of the way through it."""
        day = self._civil.day_of(self.now) - back
        start = self._civil.start_of(day)
        length = max(_LEAST, self.now - start) if back == 0 else self._civil.end_of(day) - start
        return start + int(share * (length - 1.0))

    def local(self, at: float) -> datetime:
        """Return an instant in the zone."""
        return datetime.fromtimestamp(at, ZoneInfo(self.zone))
